"""One image after the other: a job is made once for all images that lie alike in memory, and pointed at the next.

A data set calls a transform image by image. The pixels of one take a few microseconds, and Python, asked to check and
describe everything anew, would take ten times as long. Where the sampler has a compiled form for one image (see
`augdrop.regions.alone`), all that is left to Python is the key.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import numba
import numpy as np
import PIL.Image
import torch
from numba import carray, cfunc  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor
from torch.compiler import is_compiling
from torchvision import tv_tensors

from augdrop.fills import Constant, Fill, Noise, PerChannel
from augdrop.kernels import cpu, threads
from augdrop.kernels.backend import forced
from augdrop.kernels.job import RECORD, SOURCES, Job, Kernel
from augdrop.kernels.paint import prepare
from augdrop.memory import address, data, invoke
from augdrop.plan import Plan
from augdrop.regions.base import Region
from augdrop.samples import edge

_KINDS = (Tensor, tv_tensors.Image, PIL.Image.Image, np.ndarray)

_MOST = 256
"""Shapes that are remembered; photographs at their own sizes would fill any number."""


class Lane(NamedTuple):
    """A job for images that lie alike: all of it but the addresses of this image and its region.

    ``under`` is the number of torch's threads that it is for, 0 if it does not matter. ``alone`` is the sampler's
    compiled form, or None; ``painter`` and ``numbers`` are what it takes besides the image and the draw.
    """

    job: Job
    kernel: Kernel
    threads: int
    under: int
    fill: Fill
    where: Any
    keep: list[Tensor]
    alone: Callable[..., bool] | None
    painter: tuple[int, int, int]
    numbers: tuple[float, ...]


Lanes = dict[tuple, Lane]


def knows(fill: Fill) -> bool:
    """Whether a fill needs to know nothing of the image."""
    return isinstance(fill, (Constant, PerChannel)) or (isinstance(fill, Noise) and fill.per == "pixel")


def image_of(leaf: Any) -> Tensor | None:
    """The pixels ``[C, H, W]`` of a transform's input, if it is one image on the host and needs no gradient."""
    if type(leaf) not in _KINDS or is_compiling() or forced() is not None:
        return None
    # A plain tensor first: every question to a tv_tensor goes by way of Python.
    x = leaf if type(leaf) is Tensor else edge.to_image(leaf)
    fits = x.ndim == 3 and x.is_cpu and not (x.requires_grad and torch.is_grad_enabled())
    return x if fits else None


def lane(lanes: Lanes, x: Tensor, out: Tensor, fill: Fill, where: Any) -> Lane | None:
    """The lane of an image ``x [C, H, W]`` that is painted into ``out``, if one like it went before."""
    found = lanes.get((x.shape, x.stride(), x.dtype, out is x))
    if found is None or found.fill is not fill or found.where is not where:
        return None
    return found if not found.under or found.under == torch.get_num_threads() else None


def remember(lanes: Lanes, x: Tensor, out: Tensor, plan: Plan, where: Any, blind: bool) -> None:
    """Keep the job of an image that has just been painted, and so is known to be in order.

    ``blind``: the sampler is told nothing but draws and canvas.
    """
    batch = x.view(1, 1, *x.shape)
    target = batch if out is x else out.view(1, 1, *out.shape)
    task = cpu.ready(batch, target, plan.region, torch.ones(1, dtype=torch.bool), prepare(plan.fill, batch, plan))
    if task is None:
        return
    if len(lanes) >= _MOST:
        lanes.clear()
    # A subclass of a sampler may draw otherwise, so the compiled form must be its own.
    fused = blind and task.threads == 1 and "alone" in type(where).__dict__
    numbers = where.numbers(plan.size) if fused else ()
    under = 0 if x.numel() * x.element_size() < threads.SMALL else torch.get_num_threads()
    lanes[x.shape, x.stride(), x.dtype, out is x] = Lane(
        *(task.job, task.kernel, task.threads, under, plan.fill, where, task.keep),
        _knowing(where.alone, *map(type, numbers)) if fused else None,
        (painter().address, task.kernel.address, ctypes.addressof(task.job)),
        numbers,
    )


@cache
def _knowing(alone: Any, *kinds: type) -> Callable[..., bool]:
    """A sampler's compiled form that knows the kinds of its numbers; called as it is, it would look at each of them."""
    numbers = tuple(kind() for kind in kinds)
    return alone.compile(tuple(map(numba.typeof, ((0, 0), (0, 0, 0, 0.0), (0, 0, 0), numbers))))


def paint(lane: Lane, x: Tensor, out: Tensor, region: Region, noise: np.ndarray) -> None:
    """Paint ``region`` of ``x`` into ``out``; ``noise`` is its key, int64 ``[1]``."""
    job = Job.from_buffer_copy(lane.job)
    _, params, bits = region.packed()
    job.x, job.out, job.params, job.bits = x.data_ptr(), out.data_ptr(), params.data_ptr(), bits.data_ptr()
    job.n_params, (_, job.bit_rows, job.bit_columns) = params.numel(), bits.shape
    job.keys = noise.__array_interface__["data"][0]
    threads.run(lane.kernel, job, lane.threads)


@cache
def painter() -> Kernel:
    """What a sampler hands an image's region to, all memory by address: `paint`, compiled, and on one thread."""
    sources = SOURCES

    @cfunc(numba.void(numba.intp, numba.types.CPointer(RECORD), *[numba.intp] * 8), cache=True)
    def run(kernel, lane, x, out, noise, params, n_params, bits, bit_rows, bit_columns):
        jobs = np.empty(1, RECORD)
        jobs[0] = carray(lane, 1)[0]  # images of other threads go by this lane, too
        job = jobs[0]
        job.sources = sources
        job.x, job.out, job.keys = x, out, noise
        job.params, job.n_params = params, n_params
        job.bits, job.bit_rows, job.bit_columns = bits, bit_rows, bit_columns
        invoke(kernel, (address(data(jobs)),))
        job.sources = jobs.size  # the job lives until here

    return cast(Kernel, run)
