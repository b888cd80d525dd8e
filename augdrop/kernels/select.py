"""One colour on many runs: instead of copying rows and then painting them, each element is chosen as it goes by.

In place only the lines of memory are touched that have something to paint.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.kernels.moves import choose_run, choose_where_any, fill_run, item_size, stream_run
from augdrop.kernels.place import own_bits, runs
from augdrop.memory import ahead, like, pointer
from augdrop.regions.spans import COS, MASK, SIN

BAND = 1 << 14
"""Bytes done at once, of a mask or an image: they stay in the innermost cache while every plane goes by."""


@njit(nogil=True)
def many_runs(job, b):
    """Whether most rows of sample ``b`` have runs of their own: any mask, and a grid that is turned."""
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    return job.kind == MASK or (params[COS] != 0 and params[SIN] != 0)


@njit(nogil=True)
def select_sample(job, x, out, b, top, bottom, spans, mask, aside):
    """Copy and paint rows ``top`` to ``bottom`` of a sample; ``mask`` and ``aside`` have room for a piece or a row."""
    row = job.width * job.interleaved
    lines = max(1, (BAND // item_size(out) if job.stream else BAND) // row)
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
                if job.stream:
                    _choose_lines(job, aside, row, ahead(x, i), mask, n, row, value)
                    stream_run(out, o, aside, 0, n * row)
                else:
                    _choose_lines(job, ahead(out, o), job.out_row, ahead(x, i), mask, n, row, value)


@njit(nogil=True)
def _choose_lines(job, out, stride, x, mask, lines, row, value):
    """Choose the elements of some rows, all at once where they touch."""
    if job.x_row == row and stride == row:
        lines, row = 1, lines * row
    for y in range(lines):
        if job.copy:
            choose_run(ahead(out, y * stride), ahead(x, y * job.x_row), ahead(mask, y * row), row, value)
        else:
            choose_where_any(ahead(out, y * stride), ahead(mask, y * row), row, value)


@njit(nogil=True)
def _draw(job, b, start, lines, spans, mask):
    """The mask of some rows, a byte an element."""
    row, k = job.width * job.interleaved, job.interleaved
    y = start
    while y < start + lines:
        n, until = runs(job, b, y, spans)
        until = min(until, start + lines)
        fill_run(mask, (y - start) * row, (until - y) * row, np.uint8(0))
        for line in range(y - start, until - start):
            for i in range(n):
                fill_run(mask, line * row + spans[3 * i] * k, (spans[3 * i + 1] - spans[3 * i]) * k, np.uint8(1))
        y = until
