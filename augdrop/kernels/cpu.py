"""The CPU backend: one compiled pass that copies a batch and paints its regions.

Fills that only move bytes share one compilation for every dtype of an item size; blends and blurs have one a dtype.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from augdrop.kernels import noise, threads
from augdrop.kernels.blend import working_type
from augdrop.kernels.blur import weights as blur_weights
from augdrop.kernels.job import Job, Kernel
from augdrop.kernels.layout import layout
from augdrop.kernels.order import in_order, read_order, write_order
from augdrop.kernels.paint import Paint
from augdrop.kernels.painter import BLEND, BLUR, NOISE, SOURCE, TABLE
from augdrop.kernels.statistics import SCALARS, WIDE
from augdrop.kernels.walk import kernel
from augdrop.regions.base import Region
from augdrop.regions.spans import BLOCKS, BOXES, GRID, MASK

_WORDS = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}
_SLAB = 1 << 20
"""Bytes of a sample from which on its rows may be shared out."""

_NEAR = 1 << 23
"""Bytes beyond which a result is not taken to stay in the caches, beside its source, the next batch and whatever else
runs there, till somebody reads it."""

_HANDFUL = 4
"""Samples that a thread takes at once, if there are many."""


def supports(x: Tensor) -> bool:
    """Whether this backend can read ``x`` at all."""
    return x.is_cpu and not x.is_complex() and x.layout is torch.strided


class Task(NamedTuple):
    """A job, the kernel that does it, on how many threads, and what must stay alive until it is done."""

    job: Job
    kernel: Kernel
    threads: int
    keep: list[Tensor]


def apply(x: Tensor, out: Tensor, region: Region, hit: Tensor, how: Paint) -> bool:
    """Paint ``x [B, T, C, H, W]`` into ``out`` (which may be ``x``); False where this backend has no way to do it."""
    task = ready(x, out, region, hit, how)
    if task is not None:
        threads.run(task.kernel, task.job, task.threads)
    return task is not None


def ready(x: Tensor, out: Tensor, region: Region, hit: Tensor, how: Paint) -> Task | None:
    """Everything that `apply` does but the work itself."""
    inplace, how = out is x, how.drawn(x, noise.words_compiled)
    computed = how.opacity is not None or how.cells is not None
    if computed and x.dtype not in SCALARS:
        return None
    kind, params, bits = region.packed()
    if inplace and how.opacity is not None and (kind == BLOCKS or (kind == BOXES and params.shape[1] > 1)):
        return None  # a pixel under two boxes would be mixed twice
    shape, strides = x.shape, x.stride()
    b, t, c, h, w = shape
    job = _lying(shape, strides, strides if inplace else out.stride())
    if job is None:
        return None
    job = Job.from_buffer_copy(job)
    job.x, job.out, job.copy = x.data_ptr(), out.data_ptr(), not inplace
    job.kind, job.params, job.n_params = kind, params.data_ptr(), params.numel() // b
    job.bits, (job.bit_samples, job.bit_rows, job.bit_columns) = bits.data_ptr(), bits.shape
    keep = [hit := hit.contiguous(), params, bits]
    job.hit, order, chained = hit.data_ptr(), in_order(b), False
    if how.source is not None and how.index is not None:
        lie = layout(shape, how.source.stride())
        if lie is None or lie.interleaved != job.interleaved:
            return None
        job.fill, job.source = SOURCE, how.source.data_ptr()
        job.source_sample, job.source_frame, job.source_channel, job.source_row, _ = lie
        keep += [index := how.index.contiguous()]
        job.index = index.data_ptr()
        chained = inplace and how.source is x
        if how.source is x:
            order = torch.from_numpy((write_order if chained else read_order)(index.numpy(), hit.numpy()))
        if chained:
            keep += [saved := torch.empty(t * c * h * w if order[:, 1].any() else 0, dtype=x.dtype)]
            job.saved = saved.data_ptr()
        if how.opacity is not None:
            keep += [opacity := how.opacity.contiguous()]
            job.fill, job.opacity = BLEND, opacity.data_ptr()
    else:
        keep += _fill(job, how)
    size = x.numel() * x.element_size()
    # Whole lines of elements must be able to begin where lines of memory do.
    whole = job.out_row == w * job.interleaved and job.out % x.element_size() == 0
    job.stream = job.copy and size > _NEAR and whole
    job.select = _selects(job, how.table)
    keep.append(order)
    job.order = order.data_ptr()
    n = threads.threads_for(size)
    # Samples that are written over while others read them go together, some rows of all of them at a time. Others share
    # rows only if they are large, and else are taken by the handful: a thread then goes on where it was.
    job.slabs = min(h, n if chained else 1 if n == 1 else max(1, size // b // _SLAB))
    job.group = b if chained else max(1, min(_HANDFUL, b // (4 * n))) if job.slabs == 1 else 1
    job.units = -(-b // job.group) * job.slabs
    word, wide = (SCALARS[x.dtype], WIDE[working_type(x.dtype)]) if computed else (_WORDS[x.element_size()], None)
    return Task(job, kernel(word, wide), n, keep)


@lru_cache(256)
def _lying(shape: tuple[int, ...], strides: tuple[int, ...], to: tuple[int, ...]) -> Job | None:
    """A job that knows the shape of images, and by strides how they lie and how their results do; to be copied."""
    lie, target = layout(shape, strides), layout(shape, to)
    if lie is None or target is None or lie.interleaved != target.interleaved:
        return None
    (b, t, c, h, w), k = shape, lie.interleaved
    job = Job(samples=b, frames=t, channels=1 if k > 1 else c, height=h, width=w, interleaved=k)
    job.x_sample, job.x_frame, job.x_channel, job.x_row, _ = lie
    job.out_sample, job.out_frame, job.out_channel, job.out_row, _ = target
    return job


def _selects(job: Job, table: Tensor | None) -> bool:
    """Whether to choose element by element: partners past the caches, and colours that are one number a row."""
    if job.fill != TABLE:
        return job.fill == SOURCE and job.stream
    grey = job.interleaved == 1 or (table is not None and table.numel() > 1 and bool((table == table[..., :1]).all()))
    return job.table_boxes == 1 and grey and (job.stream or job.kind in (GRID, MASK))


def _fill(job: Job, how: Paint) -> list[Tensor]:
    """Tell a job of a fill that needs no other image; returns what it is told of by address."""
    if how.table is not None:
        job.fill, job.table = TABLE, how.table.data_ptr()
        job.table_samples, job.table_boxes, job.table_channels = how.table.shape
        return [how.table]
    if how.cells is not None:
        job.fill, job.cells, job.factor = BLUR, how.cells.data_ptr(), how.factor
        job.cell_rows, job.cell_columns = how.cells.shape[-2:]
        down, along = (blur_weights(n, how.factor, how.cells.dtype) for n in (job.height, job.width))
        job.y_weights, job.x_weights = down.data_ptr(), along.data_ptr()
        return [down, along]
    assert how.noise is not None and how.keys is not None
    keys = how.keys.contiguous()
    job.fill, job.keys = NOISE, keys.data_ptr()
    job.form, job.normal, job.narrow, job.first, job.second, job.low, job.high = how.noise
    job.quantiles = noise.quantiles().data_ptr() if how.noise.normal else 0
    return [keys]
