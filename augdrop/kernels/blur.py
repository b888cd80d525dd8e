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
from augdrop.kernels.moves import copy_run
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
    left, right = np.int64(0), width
    if y1 - y0 > 1:  # one run or a few for many rows: a box, say
        left, right = width, np.int64(0)
        for i in range(n):
            left, right = min(left, np.int64(spans[3 * i])), max(right, np.int64(spans[3 * i + 1]))
    # What the scratch holds: two rows of cells from left to right, and these rows as wide as the image.
    held, lines = pointer(address(scratch), np.int64), pointer(address(scratch) + 64, wide)
    for channel in range(k):
        plane = ((b * job.frames + t) * job.channels + c) * k + channel
        o = place(job, b, t, c, y0, 0) + channel
        for y in range(y0, y1):
            tap = _tap(y, factor)
            above, below = plane * job.cell_rows + max(tap, 0), plane * job.cell_rows + min(tap + 1, job.cell_rows - 1)
            same = held[2] == left and held[3] == right
            if not (same and held[0] == above + 1 and held[1] == below + 1):
                if same and held[1] == above + 1:
                    copy_run(lines, left, lines, width + left, right - left)
                else:
                    _stretch(job, above, left, right, lines)
                _stretch(job, below, left, right, ahead(lines, width))
                held[0], held[1], held[2], held[3] = above + 1, below + 1, left, right
            first, second = down[y], down[job.height + y]
            to = o + (y - y0) * job.out_row
            for i in range(n):
                x0, x1 = spans[3 * i], spans[3 * i + 1]
                _mix(ahead(out, to + x0 * k), k, ahead(lines, x0), ahead(lines, width + x0), x1 - x0, first, second)


@njit(nogil=True)
def _mix(out, k, above, below, n, first, second):
    """Write to every ``k``-th element."""
    if k == 1:  # a loop of its own, for wide registers
        for j in range(n):
            out[j] = rounded(out[0], above[j] * first + below[j] * second)
    else:
        for j in range(n):
            out[j * k] = rounded(out[0], above[j] * first + below[j] * second)


@njit(nogil=True)
def _stretch(job, row, left, right, line):
    """Interpolate a row of cells to pixels ``left`` to ``right``."""
    columns, width, factor = job.cell_columns, job.width, job.factor
    cells, along = ahead(like(job.cells, line), row * columns), like(job.x_weights, line)
    x = left
    while x < right:
        tap = _tap(x, factor)
        until = min(right, factor * (tap + 1) + factor // 2)
        before, behind = cells[max(tap, 0)], cells[min(tap + 1, columns - 1)]
        for j in range(x, until):
            line[j] = before * along[j] + behind * along[width + j]
        x = until


@njit(nogil=True, inline="always")
def _tap(x, factor):
    return (2 * np.int64(x) + 1 - factor) // (2 * factor)
