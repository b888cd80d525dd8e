"""What a fill reads off the image before it paints: the means of its channels, and of its cells for a blur."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numba import carray, njit  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from augdrop.kernels import threads
from augdrop.kernels.blend import working_type
from augdrop.kernels.casts import cast
from augdrop.kernels.job import SOURCES, Job, Kernel, entry
from augdrop.kernels.layout import layout
from augdrop.memory import data, pointer, take
from augdrop.regions.base import Region
from augdrop.regions.spans import bounds

SCALARS = {
    torch.bool: np.uint8,
    torch.uint8: np.uint8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float32: np.float32,
    torch.float64: np.float64,
}
"""The dtypes that compiled kernels compute with, as NumPy names them; the others go by plain torch."""

WIDE = {torch.float32: np.float32, torch.float64: np.float64}


def channel_means(x: Tensor, hit: Tensor) -> Tensor:
    """Mean over frames and pixels of each channel of ``x [B, T, C, H, W]``: ``[B, C]`` in its dtype, 0 if not hit."""
    sums = torch.zeros(len(x), x.shape[2], dtype=torch.float64, device=x.device)
    job = _job(x, hit, sums)
    if job is None:
        sums = x.sum((1, 3, 4), dtype=torch.float64) * hit.to(x.device)[:, None]
    else:
        job.units = job.samples * job.channels
        threads.run(_sums_kernel(SCALARS[x.dtype]), job, threads.threads_for(x.numel() * x.element_size()))
    mean = sums / max(1, x.shape[1] * x.shape[3] * x.shape[4])
    return (mean if x.dtype.is_floating_point else mean.round()).to(x.dtype)


def cell_means(x: Tensor, factor: int, hit: Tensor, region: Region | None = None) -> Tensor:
    """Means of squares of ``factor`` pixels of ``x [B, T, C, H, W]``, smaller ones at the far borders.

    ``[B, T, C, ⌈H / factor⌉, ⌈W / factor⌉]`` in the type that blends of its dtype use; only samples that are hit count,
    and of them the cells that pixels under a region are interpolated from.
    """
    b, t, c, h, w = x.shape
    rows, columns = -(-h // factor), -(-w // factor)
    cells = torch.zeros(b, t, c, rows, columns, dtype=working_type(x.dtype), device=x.device)
    job = _job(x, hit, cells)
    if job is None:
        return cell_means_reference(x, factor)
    job.factor, job.cell_rows, job.cell_columns = factor, rows, columns
    job.units = b * t * job.channels
    windows = np.tile([0, 0, rows, columns], (b, 1)) if region is None else _windows(region, factor, rows, columns)
    job.params = windows.ctypes.data
    kernel = _cells_kernel(SCALARS[x.dtype], WIDE[cells.dtype])
    threads.run(kernel, job, threads.threads_for(x.numel() * x.element_size()))
    return cells


def _windows(region: Region, factor: int, rows: int, columns: int) -> np.ndarray:
    """The cells that the dropped pixels of each sample are interpolated from: first row, column, and past the last."""
    kind, params, bits = region.packed()
    edges = bounds(kind, params.flatten(1).numpy(), bits.numpy(), *region.size)
    # A pixel looks at the cell whose centre is the last before its own, and at the one behind.
    edges[:, 2:] -= 1
    taps = (2 * edges + 1 - factor) // (2 * factor)
    taps[:, 2:] += 2
    return taps.clip(0, [rows, columns, rows, columns])


def cell_means_reference(x: Tensor, factor: int) -> Tensor:
    """`cell_means` in plain torch, the definition: sums go down the rows of a cell, then along, integers' exactly."""
    b, t, c, h, w = x.shape
    wide = working_type(x.dtype)
    rows, columns = -(-h // factor), -(-w // factor)
    padded = torch.zeros(
        b, t, c, rows * factor, columns * factor,
        dtype=wide if x.dtype.is_floating_point else torch.int64, device=x.device,
    )  # fmt: skip
    padded[..., :h, :w] = x
    lines = sum_in_order(padded.view(b, t, c, rows, factor, columns * factor), 4)
    sums = sum_in_order(lines.view(b, t, c, rows, columns, factor), 5)
    high, wide_ = (
        (n - factor * torch.arange(m, device=x.device)).clamp(max=factor) for n, m in ((h, rows), (w, columns))
    )
    return sums.to(wide) / (high[:, None] * wide_).to(wide)


def sum_in_order(x: Tensor, dim: int) -> Tensor:
    """The sum along an axis, one after the other, as a loop adds them up."""
    total = torch.zeros_like(x.select(dim, 0))
    for part in x.unbind(dim):
        total += part
    return total


def _job(x: Tensor, hit: Tensor, result: Tensor) -> Job | None:
    shape = layout(x.shape, x.stride()) if x.device.type == "cpu" and x.dtype in SCALARS else None
    if shape is None:
        return None
    b, t, c, h, w = x.shape
    k = shape.interleaved
    job = Job(samples=b, frames=t, channels=1 if k > 1 else c, height=h, width=w, interleaved=k)
    job.x, job.x_sample, job.x_frame, job.x_channel, job.x_row = x.data_ptr(), *shape[:4]
    job.hit, job.cells = hit.data_ptr(), result.data_ptr()
    return job


@cache
def _sums_kernel(scalar: type) -> Kernel:
    total = np.float64 if issubclass(scalar, np.floating) else np.int32 if scalar is np.uint8 else np.int64
    small, sources = np.dtype(scalar).itemsize <= 2, SOURCES

    @entry
    def run(shared):
        job = carray(shared, 1)[0]
        job.sources = sources
        line = np.empty(job.width * job.interleaved, total)
        sum_planes(shared, job, pointer(job.x, scalar), line, small)

    return run


@cache
def _cells_kernel(scalar: type, wide: type) -> Kernel:
    total = wide if issubclass(scalar, np.floating) else np.int32 if scalar is np.uint8 else np.int64
    small, sources = np.dtype(scalar).itemsize <= 2, SOURCES

    @entry
    def run(shared):
        job = carray(shared, 1)[0]
        job.sources = sources
        line = np.empty(job.width * job.interleaved, total)
        mean_cells(shared, job, pointer(job.x, scalar), line, pointer(job.cells, wide), small)

    return run


@njit(nogil=True)
def sum_planes(shared, job, x, room, small):
    """Add up each channel of each sample that is hit, down the columns and then along."""
    # The array itself is handed over: a caller that had only its address left would free it before the call.
    line = data(room)
    k, n = job.interleaved, job.width * job.interleaved
    hit, sums = pointer(job.hit, np.uint8), pointer(job.cells, np.float64)
    while True:
        piece = take(shared)
        if piece >= job.units:
            return
        b, c = piece // job.channels, piece % job.channels
        if not hit[b]:
            continue
        for t in range(job.frames):
            start = b * job.x_sample + t * job.x_frame + c * job.x_channel
            clear(line, n)
            add_rows(x, start, job.x_row, job.height, n, line, small)
            for i in range(k):
                sums[piece * k + i] += np.float64(sum_run(line, i, k, job.width))


@njit(nogil=True)
def mean_cells(shared, job, x, room, cells, small):
    """The mean of each cell of each plane."""
    line = data(room)  # see sum_planes
    k, factor = job.interleaved, job.factor
    hit, windows = pointer(job.hit, np.uint8), pointer(job.params, np.int64)
    while True:
        piece = take(shared)
        if piece >= job.units:
            return
        c, t, b = piece % job.channels, piece // job.channels % job.frames, piece // (job.channels * job.frames)
        if not hit[b]:
            continue
        top, left, bottom, right = windows[4 * b], windows[4 * b + 1], windows[4 * b + 2], windows[4 * b + 3]
        n = (min(right * factor, job.width) - left * factor) * k
        start = b * job.x_sample + t * job.x_frame + c * job.x_channel + left * factor * k
        for row in range(top, bottom):
            high = min(factor, job.height - row * factor)
            clear(line, n)
            add_rows(x, start + row * factor * job.x_row, job.x_row, high, n, line, small)
            for i in range(k):
                to = ((piece * k + i) * job.cell_rows + row) * job.cell_columns
                for column in range(left, right):
                    wide = min(factor, job.width - column * factor)
                    total = sum_run(line, (column - left) * factor * k + i, k, wide)
                    cells[to + column] = cast(cells[0], total) / cast(cells[0], high * wide)


@njit(nogil=True)
def clear(line, n):
    """Start sums at zero."""
    for j in range(n):
        line[j] = cast(line[0], 0)


@njit(nogil=True)
def add_rows(x, start, stride, rows, n, line, small):
    """Add rows of ``n`` elements to ``line``, in their order; four at a time where elements are ``small``."""
    # Bytes are worth fewer trips to the sums and back; wider ones come from memory, which wants to be read in order.
    y = 0
    while small and y + 4 <= rows:
        o = start + y * stride
        for j in range(n):
            a, b = cast(line[0], x[o + j]), cast(line[0], x[o + stride + j])
            c, d = cast(line[0], x[o + 2 * stride + j]), cast(line[0], x[o + 3 * stride + j])
            line[j] = line[j] + a + b + c + d
        y += 4
    while y < rows:
        o = start + y * stride
        for j in range(n):
            line[j] = line[j] + cast(line[0], x[o + j])
        y += 1


@njit(nogil=True)
def sum_run(line, start, stride, n):
    """The sum of ``n`` elements, one after the other."""
    total = line[start] - line[start]
    for j in range(n):
        total = total + line[start + j * stride]
    return total
