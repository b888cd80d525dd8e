"""Painters: one rectangle of one plane, with whatever the job's fill is."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from augdrop.kernels.blend import blend
from augdrop.kernels.blur import blur
from augdrop.kernels.moves import copy_block, fill_block
from augdrop.kernels.noise import noise_run
from augdrop.kernels.place import place, source_at
from augdrop.memory import address, ahead, like

TABLE, NOISE, SOURCE, BLEND, BLUR = range(5)


def paint(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch):
    """Paint the runs ``spans [n, 3]`` of rows ``y0`` to ``y1`` of a plane; ``scratch`` has room for some rows."""
    raise NotImplementedError


@overload(paint)
def _paint(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch):
    if isinstance(wide, types.NoneType):
        return move
    return compute


def compute(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch):
    """Paint what takes arithmetic, and so a kernel for each dtype."""
    if job.fill == BLEND:
        blend(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch)
    else:
        blur(job, out, wide, b, t, c, y0, y1, spans, n, scratch)


def move(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch):
    """Paint with a colour, noise, or the same pixels of another image: bytes, whatever the dtype."""
    if job.fill == TABLE:
        colour(job, out, b, t, c, y0, y1, spans, n)
    elif job.fill == SOURCE:
        paste(job, out, from_saved, b, t, c, y0, y1, spans, n)
    else:
        speckle(job, out, b, t, c, y0, y1, spans, n, scratch)


@njit(nogil=True)
def colour(job, out, b, t, c, y0, y1, spans, n):
    """Paint with the sample's and box's own colour."""
    k, row, o = job.interleaved, job.out_row, place(job, b, t, c, y0, 0)
    table = like(job.table, out)
    if job.table_samples > 1:
        table = ahead(table, b * job.table_boxes * job.table_channels)
    if k == 1 and job.table_boxes == 1:
        for i in range(n):
            fill_block(out, o + spans[3 * i], row, y1 - y0, spans[3 * i + 1] - spans[3 * i], table[c])
        return
    for i in range(n):
        own = ahead(table, spans[3 * i + 2] * job.table_channels if job.table_boxes > 1 else 0)
        start, width = o + spans[3 * i] * k, np.int64(spans[3 * i + 1] - spans[3 * i])
        if k == 1 or _grey(own, k):
            fill_block(out, start, row, y1 - y0, width * k, own[c if k == 1 else 0])
        else:
            # The first row pixel by pixel, the others from the first.
            for x in range(width):
                for channel in range(k):
                    out[start + x * k + channel] = own[channel]
            copy_block(out, start + row, row, out, start, 0, y1 - y0 - 1, width * k)


@njit(nogil=True)
def paste(job, out, from_saved, b, t, c, y0, y1, spans, n):
    """Paint with the same pixels of another image."""
    k, row, o = job.interleaved, job.out_row, place(job, b, t, c, y0, 0)
    source, stride = source_at(job, out, from_saved, b, t, c, y0)
    for i in range(n):
        x0 = spans[3 * i] * k
        copy_block(out, o + x0, row, source, x0, stride, y1 - y0, (spans[3 * i + 1] - spans[3 * i]) * k)


@njit(nogil=True)
def speckle(job, out, b, t, c, y0, y1, spans, n, scratch):
    """Paint with the sample's noise."""
    k, aside = job.interleaved, like(address(scratch) + 40 * (job.width + 16), out)
    for channel in range(k):
        plane = ((t * job.channels + c) * k + channel) * job.height
        o = place(job, b, t, c, y0, 0) + channel
        for y in range(y0, y1):
            for i in range(n):
                x0, width = np.int64(spans[3 * i]), np.int64(spans[3 * i + 1] - spans[3 * i])
                start, to = (plane + y) * job.width + x0, ahead(out, o + (y - y0) * job.out_row + x0 * k)
                if k == 1:
                    noise_run(job, b, start, width, to, scratch)
                else:
                    noise_run(job, b, start, width, aside, scratch)
                    for x in range(width):
                        to[x * k] = aside[x]


@njit(nogil=True)
def _grey(table, n):
    """Whether all channels of a colour are equal, so that interleaved pixels are one run of one value."""
    for i in range(1, n):  # noqa: SIM110 (generators do not compile)
        if table[i] != table[0]:
            return False
    return True
