"""Copy and paint in one go: instead of copying rows and then painting them, each element is chosen as it goes by.

So a result goes straight past the caches, whatever its region; one that stays in them is chosen only where a region has
many runs. In place only the lines of memory are touched that have something to paint.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.kernels.choices import choose_run, choose_where_any, stream_choice, stream_pick
from augdrop.kernels.copies import copy_band
from augdrop.kernels.painter import SOURCE
from augdrop.kernels.place import runs, source_at
from augdrop.kernels.row_mask import draw_rows
from augdrop.memory import ahead, like, pointer
from augdrop.regions.spans import COS, GRID, MASK, SIN

BAND = 1 << 14
"""Bytes done at once, of a mask or an image: they stay in the innermost cache while every plane goes by."""


@njit(nogil=True)
def worth(job, b):
    """Whether to choose in sample ``b``, where that is possible at all: past the caches, or among many runs."""
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    return job.stream or job.kind == MASK or (job.kind == GRID and params[COS] != 0 and params[SIN] != 0)


@njit(nogil=True)
def select_sample(job, x, out, b, top, bottom, spans, mask):
    """Copy and paint rows ``top`` to ``bottom`` of a sample; ``mask`` has room for a piece or a row."""
    row = job.width * job.interleaved
    start = top
    while start < bottom:
        n = min(max(1, BAND // row), bottom - start)
        runs_here, until = runs(job, b, start, spans)
        empty = job.copy and runs_here == 0 and until > start + 1
        if empty:
            n = min(until, bottom) - start
        else:
            draw_rows(job, b, start, n, spans, mask)
        for t in range(job.frames):
            for c in range(job.channels):
                if empty:
                    copy_band(job, x, out, b, t, c, start, start + n, job.stream)
                else:
                    _choose_rows(job, x, out, b, t, c, start, n, mask)
        start += n


@njit(nogil=True)
def _choose_rows(job, x, out, b, t, c, start, lines, mask):
    """Choose the elements of some rows of a plane, all at once where they touch."""
    row = job.width * job.interleaved
    own = ahead(x, b * job.x_sample + t * job.x_frame + c * job.x_channel + start * job.x_row)
    to = ahead(out, b * job.out_sample + t * job.out_frame + c * job.out_channel + start * job.out_row)
    other, other_row, value = own, row, own[0]
    if job.fill == SOURCE:
        other, other_row = source_at(job, out, False, b, t, c, start)
    else:
        value = like(job.table, out)[(b if job.table_samples > 1 else 0) * job.table_boxes * job.table_channels + c]
    if job.x_row == row and job.out_row == row and other_row == row:
        lines, row = 1, lines * row
    for y in range(lines):
        line, below, flags = ahead(to, y * job.out_row), ahead(own, y * job.x_row), ahead(mask, y * row)
        if job.fill == SOURCE:
            stream_pick(line, below, ahead(other, y * other_row), flags, row)
        elif job.stream:
            stream_choice(line, below, flags, row, value)
        elif job.copy:
            choose_run(line, below, flags, row, value)
        else:
            choose_where_any(line, flags, row, value)
