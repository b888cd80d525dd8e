"""The blur fill: means of squares, interpolated bilinearly wherever a pixel is dropped, and only there.

Down, then along, with one rounding after each operation: compiled code and plain torch agree to the last bit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.kernels.casts import rounded
from augdrop.kernels.place import place
from augdrop.memory import address, pointer


def smooth(cells: Tensor, factor: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Cells ``[..., h, w]`` of `augdrop.kernels.statistics.cell_means` as an image of ``dtype``: the definition."""
    rows, columns = (_taps(n, factor).to(cells.device) for n in (height, width))
    down, along = (weights(n, factor, cells.dtype).to(cells.device) for n in (height, width))
    a, b = (cells[..., (rows + i).clamp(0, cells.shape[-2] - 1), :] for i in (0, 1))
    lines = a * down[0, :, None] + b * down[1, :, None]
    a, b = (lines[..., (columns + i).clamp(0, cells.shape[-1] - 1)] for i in (0, 1))
    image = a * along[0] + b * along[1]
    return (image if dtype.is_floating_point else image.round()).to(dtype)


def _taps(n: int, factor: int) -> Tensor:
    """For each of ``n`` pixels the cell whose centre is the last before its own; -1 before the first."""
    return (2 * torch.arange(n) + 1 - factor).div(2 * factor, rounding_mode="floor")


@lru_cache(maxsize=64)
def weights(n: int, factor: int, wide: torch.dtype) -> Tensor:
    """How much the cell before and the cell behind count in each of ``n`` pixels, ``[2, n]``."""
    behind = ((2 * torch.arange(n) + 1 - factor) % (2 * factor)).double() / (2 * factor)
    return torch.stack([1 - behind, behind]).to(wide)


@njit(nogil=True)
def blur(job, out, wide, b, t, c, y0, y1, x0, x1, scratch):
    """Interpolate one rectangle of one plane in type ``wide``."""
    k, factor = job.interleaved, job.factor
    rows, columns = job.cell_rows, job.cell_columns
    down, along = pointer(job.y_weights, wide), pointer(job.x_weights, wide)
    cells, line = pointer(job.cells, wide), pointer(address(scratch), wide)
    first, last = max(_tap(x0, factor), 0), min(_tap(x1 - 1, factor) + 2, columns)
    for i in range(k):
        plane = ((b * job.frames + t) * job.channels * k + c * k + i) * rows * columns
        for y in range(y0, y1):
            tap = _tap(y, factor)
            above = plane + max(tap, 0) * columns
            below = plane + min(tap + 1, rows - 1) * columns
            for j in range(first, last):
                line[j] = cells[above + j] * down[y] + cells[below + j] * down[job.height + y]
            o = place(job, b, t, c, y, 0) + i
            x = np.int64(x0)
            while x < x1:
                tap = _tap(x, factor)
                until = min(np.int64(x1), factor * (tap + 1) + factor // 2)
                left, right = line[max(tap, 0)], line[min(tap + 1, columns - 1)]
                for j in range(x, until):
                    out[o + j * k] = rounded(out[0], left * along[j] + right * along[job.width + j])
                x = until


@njit(nogil=True, inline="always")
def _tap(x, factor):
    return (2 * np.int64(x) + 1 - factor) // (2 * factor)
