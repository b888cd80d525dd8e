"""The blur fill: means of squares, interpolated bilinearly wherever a pixel is dropped, and only there.

Along, then down, with one rounding after each operation: compiled code and plain torch agree to the last bit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.kernels.casts import rounded
from augdrop.kernels.place import place
from augdrop.memory import address, ahead, like, pointer


def smooth(cells: Tensor, factor: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Cells ``[..., h, w]`` of `augdrop.kernels.statistics.cell_means` as an image of ``dtype``: the definition."""
    rows, columns = (_taps(n, factor).to(cells.device) for n in (height, width))
    down, along = (weights(n, factor, cells.dtype).to(cells.device) for n in (height, width))
    left, right = (cells[..., (columns + i).clamp(0, cells.shape[-1] - 1)] for i in (0, 1))
    lines = left * along[0] + right * along[1]
    above, below = (lines[..., (rows + i).clamp(0, cells.shape[-2] - 1), :] for i in (0, 1))
    image = above * down[0, :, None] + below * down[1, :, None]
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
def blur(job, out, wide, b, t, c, y0, y1, spans, n, scratch):
    """Paint runs with the interpolated cells, in type ``wide``."""
    k, factor, width = job.interleaved, job.factor, job.width
    down = pointer(job.y_weights, wide)
    # What the scratch holds: which two rows of cells, and these rows, stretched to the image's width.
    held, lines = pointer(address(scratch), np.int64), pointer(address(scratch) + 64, wide)
    for channel in range(k):
        plane = ((b * job.frames + t) * job.channels + c) * k + channel
        o = place(job, b, t, c, y0, 0) + channel
        for y in range(y0, y1):
            tap = _tap(y, factor)
            above, below = plane * job.cell_rows + max(tap, 0), plane * job.cell_rows + min(tap + 1, job.cell_rows - 1)
            if held[0] != above + 1 or held[1] != below + 1:
                held[0], held[1] = above + 1, below + 1
                _stretch(job, above, lines)
                _stretch(job, below, ahead(lines, width))
            first, second = down[y], down[job.height + y]
            for i in range(n):
                to = o + (y - y0) * job.out_row
                for x in range(spans[3 * i], spans[3 * i + 1]):
                    out[to + x * k] = rounded(out[0], lines[x] * first + lines[width + x] * second)


@njit(nogil=True)
def _stretch(job, row, line):
    """Interpolate a row of cells to the width of the image."""
    columns, width, factor = job.cell_columns, job.width, job.factor
    cells, along = ahead(like(job.cells, line), row * columns), like(job.x_weights, line)
    x = np.int64(0)
    while x < width:
        tap = _tap(x, factor)
        until = min(width, factor * (tap + 1) + factor // 2)
        left, right = cells[max(tap, 0)], cells[min(tap + 1, columns - 1)]
        for j in range(x, until):
            line[j] = left * along[j] + right * along[width + j]
        x = until


@njit(nogil=True, inline="always")
def _tap(x, factor):
    return (2 * np.int64(x) + 1 - factor) // (2 * factor)
