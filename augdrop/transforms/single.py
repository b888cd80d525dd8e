"""One image after the other: a job is made once for all images that lie alike in memory, and pointed at the next.

A data set calls a transform image by image. The pixels of one take a few microseconds, and Python, asked to check and
describe everything anew, would take ten times as long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors

from augdrop.fills import Constant, Fill, Noise, PerChannel
from augdrop.kernels import cpu, dispatch, threads
from augdrop.kernels.job import Job, Kernel
from augdrop.kernels.paint import prepare
from augdrop.plan import Plan
from augdrop.regions.base import Region
from augdrop.samples import edge

_KINDS = (Tensor, tv_tensors.Image, PIL.Image.Image, np.ndarray)

_MOST = 256
"""Shapes that are remembered; photographs at their own sizes would fill any number."""


class Lane(NamedTuple):
    """A job for images that lie alike: all of it but the addresses of this image and its region."""

    job: bytes
    kernel: Kernel
    threads: int
    fill: Fill
    keep: list[Tensor]


Lanes = dict[tuple, Lane]


def knows(fill: Fill) -> bool:
    """Whether a fill needs to know nothing of the image."""
    return isinstance(fill, (Constant, PerChannel)) or (isinstance(fill, Noise) and fill.per == "pixel")


def image_of(leaf: Any) -> Tensor | None:
    """The pixels ``[C, H, W]`` of a transform's input, if it is one image on the host and needs no gradient."""
    if type(leaf) not in _KINDS or torch.compiler.is_compiling() or dispatch.forced() is not None:
        return None
    # A plain tensor first: every question to a tv_tensor goes by way of Python.
    x = edge.to_image(leaf)
    fits = x.ndim == 3 and x.is_cpu and not (x.requires_grad and torch.is_grad_enabled())
    return x if fits else None


def lane(lanes: Lanes, x: Tensor, out: Tensor, fill: Fill) -> Lane | None:
    """The lane of an image ``x [C, H, W]`` that is painted into ``out``, if one like it went before."""
    found = lanes.get((x.shape, x.stride(), x.dtype, out is x, torch.get_num_threads()))
    return found if found is not None and found.fill is fill else None


def remember(lanes: Lanes, x: Tensor, out: Tensor, plan: Plan) -> None:
    """Keep the job of an image that has just been painted, and so is known to be in order."""
    batch = x.view(1, 1, *x.shape)
    target = batch if out is x else out.view(1, 1, *out.shape)
    task = cpu.ready(batch, target, plan.region, torch.ones(1, dtype=torch.bool), prepare(plan.fill, batch, plan))
    if task is not None:
        if len(lanes) >= _MOST:
            lanes.clear()
        key = (x.shape, x.stride(), x.dtype, out is x, torch.get_num_threads())
        lanes[key] = Lane(bytes(task.job), task.kernel, task.threads, plan.fill, task.keep)


def paint(lane: Lane, x: Tensor, out: Tensor, region: Region, noise: np.ndarray) -> None:
    """Paint ``region`` of ``x`` into ``out``; ``noise`` is its key, int64 ``[1]``."""
    job = Job.from_buffer_copy(lane.job)
    _, params, bits = region.packed()
    job.x, job.out, job.params, job.bits = x.data_ptr(), out.data_ptr(), params.data_ptr(), bits.data_ptr()
    job.n_params, (_, job.bit_rows, job.bit_columns) = params.numel(), bits.shape
    job.keys = noise.__array_interface__["data"][0]
    threads.run(lane.kernel, job, lane.threads)
