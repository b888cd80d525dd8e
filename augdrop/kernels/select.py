"""One colour on many runs: instead of copying rows and then painting them, each element is chosen as it goes by.

In place only the lines of memory are touched that have something to paint.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.kernels.moves import choose_run, choose_where_any, copy_run, fill_run, stream_choice
from augdrop.kernels.place import own_bits, runs
from augdrop.memory import ahead, like, pointer
from augdrop.regions.spans import COS, MASK, PERIOD, SIN

BAND = 1 << 14
"""Bytes done at once, of a mask or an image: they stay in the innermost cache while every plane goes by."""


@njit(nogil=True)
def many_runs(job, b):
    """Whether most rows of sample ``b`` have runs of their own: any mask, and a grid that is turned."""
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    return job.kind == MASK or job.stream or (params[COS] != 0 and params[SIN] != 0)


@njit(nogil=True)
def select_sample(job, x, out, b, top, bottom, spans, mask):
    """Copy and paint rows ``top`` to ``bottom`` of a sample; ``mask`` has room for a piece or a row."""
    row = job.width * job.interleaved
    lines = max(1, BAND // row)
    ready = job.kind == MASK and job.interleaved == 1
    for start in range(top, bottom, lines):
        n = min(lines, bottom - start)
        if ready:
            mask = ahead(own_bits(job, b), start * row)
        else:
            _draw(job, b, start, n, spans, mask)
        for t in range(job.frames):
            for c in range(job.channels):
                i = b * job.x_sample + t * job.x_frame + c * job.x_channel + start * job.x_row
                o = b * job.out_sample + t * job.out_frame + c * job.out_channel + start * job.out_row
                at = (b if job.table_samples > 1 else 0) * job.table_boxes * job.table_channels + c
                value = like(job.table, out)[at]
                _choose_lines(job, ahead(out, o), job.out_row, ahead(x, i), mask, n, row, value)


@njit(nogil=True)
def _choose_lines(job, out, stride, x, mask, lines, row, value):
    """Choose the elements of some rows, all at once where they touch."""
    if job.x_row == row and stride == row:
        lines, row = 1, lines * row
    for y in range(lines):
        if job.stream:
            stream_choice(ahead(out, y * stride), ahead(x, y * job.x_row), ahead(mask, y * row), row, value)
        elif job.copy:
            choose_run(ahead(out, y * stride), ahead(x, y * job.x_row), ahead(mask, y * row), row, value)
        else:
            choose_where_any(ahead(out, y * stride), ahead(mask, y * row), row, value)


@njit(nogil=True)
def _draw(job, b, start, lines, spans, mask):
    """The mask of some rows, a byte an element."""
    width, k = job.width, job.interleaved
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    for line in range(lines):
        own = ahead(mask, line * width * k)
        if k == 1:
            if line and params[SIN] == 0 and _striped(params, start + line) == _striped(params, start + line - 1):
                copy_run(own, 0, ahead(own, -width), 0, width)
            else:
                _draw_grid(params, start + line, width, own)
            continue
        n, _ = runs(job, b, start + line, spans)
        fill_run(own, 0, width * k, np.uint8(0))
        for i in range(n):
            fill_run(own, spans[3 * i] * k, (spans[3 * i + 1] - spans[3 * i]) * k, np.uint8(1))


@njit(nogil=True)
def _striped(params, y):
    """Whether a stripe of an upright grid runs along row ``y``."""
    return (params[0] + params[COS] * y) & (PERIOD - 1) < params[4]


@njit(nogil=True)
def _draw_grid(params, y, width, mask):
    """One row of a turned grid, as its definition in `augdrop.regions.grid` has it: that takes less than its runs."""
    bar, other = params[4], np.uint8(params[5] == 0)
    if bar == 0 or bar == PERIOD:
        fill_run(mask, 0, width, np.uint8(bar != 0) ^ other)
        return
    v, u = np.uint32(params[0] + params[COS] * y), np.uint32(params[1] - params[SIN] * y)
    _draw_lattice(mask, width, v, u, np.uint32(params[SIN]), np.uint32(params[COS]), np.uint32(bar - 1), other)


@njit(nogil=True)
def _draw_lattice(mask, width, v, u, sin, cos, last, other):
    # 32-bit integers wrap around where the lattice does. Taken in as such, they stay as narrow in wide registers.
    for j in range(width):
        x = np.uint32(j)
        on_v, on_u = np.uint32(v + np.uint32(sin * x)) <= last, np.uint32(u + np.uint32(cos * x)) <= last
        mask[j] = np.uint8(on_v | on_u) ^ other
