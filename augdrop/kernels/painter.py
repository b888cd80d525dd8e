"""Painters: one rectangle of one plane, with whatever the job's fill is."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from augdrop.kernels.blend import blend
from augdrop.kernels.blur import blur
from augdrop.kernels.noise import noise_run
from augdrop.kernels.place import place, source_at
from augdrop.memory import ahead, copy_run, fill_run, like

TABLE, NOISE, SOURCE, BLEND, BLUR = range(5)


def paint(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1, box, scratch):
    """Paint rows ``y0`` to ``y1`` and columns ``x0`` to ``x1`` of a plane; ``scratch`` has room for some rows of values."""
    raise NotImplementedError


@overload(paint)
def _paint(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1, box, scratch):
    if isinstance(wide, types.NoneType):
        return move
    return compute


def compute(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1, box, scratch):
    """Paint what takes arithmetic, and so a kernel for each dtype."""
    if job.fill == BLEND:
        blend(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1)
    else:
        blur(job, out, wide, b, t, c, y0, y1, x0, x1, scratch)


def move(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1, box, scratch):
    """Paint with a colour, noise, or the same pixels of another image: bytes, which one kernel moves for every dtype."""
    k, n = job.interleaved, np.int64(x1 - x0)
    o, row = place(job, b, t, c, y0, x0), job.out_row
    if job.fill == TABLE:
        _colour(job, out, o, row, y1 - y0, n, b, c, box)
    elif job.fill == SOURCE:
        source, stride = source_at(job, out, from_saved, b, t, c, y0)
        for y in range(y1 - y0):
            copy_run(out, o + y * row, source, y * stride + x0 * k, n * k)
    else:
        for y in range(y0, y1):
            for i in range(k):
                plane = (t * job.channels * k + c * k + i) * job.height
                noise_run(job, b, (plane + y) * job.width + x0, n, out, o + (y - y0) * row + i, k, scratch)


@njit(nogil=True)
def _colour(job, out, o, row, lines, n, b, c, box):
    """Write ``lines`` runs of ``n`` pixels in the sample's and box's own colour."""
    k = job.interleaved
    at = (b if job.table_samples > 1 else 0) * job.table_boxes + (box if job.table_boxes > 1 else 0)
    table = ahead(like(job.table, out), at * job.table_channels)
    if k == 1 or _grey(table, k):
        value = table[c if k == 1 else 0]
        for y in range(lines):
            fill_run(out, o + y * row, n * k, value)
        return
    # The first line pixel by pixel, the others from the first.
    for x in range(n):
        for i in range(k):
            out[o + x * k + i] = table[i]
    for y in range(1, lines):
        copy_run(out, o + y * row, out, o, n * k)


@njit(nogil=True)
def _grey(table, n):
    """Whether all channels of a colour are equal, so that interleaved pixels are one run of one value."""
    for i in range(1, n):
        if table[i] != table[0]:
            return False
    return True
