"""The walk over a batch that every kernel shares: copy what stays, and hand the dropped rectangles to a painter.

The runs of a sample are found once and painted plane by plane, a band of rows at a time: memory is walked in order, and
a band is painted while it is still in the innermost cache.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray, njit  # pyright: ignore[reportPrivateImportUsage]

from augdrop.kernels.copies import copy_band, copy_sample, in_one_piece, save_sample
from augdrop.kernels.job import SOURCES, Kernel, entry
from augdrop.kernels.moves import fence, stream_run
from augdrop.kernels.painter import BLEND, paint
from augdrop.kernels.place import place, runs
from augdrop.kernels.select import BAND, select_sample, worth
from augdrop.memory import address, ahead, data, like, pointer, take
from augdrop.regions.spans import most_spans

_AT_ONCE = 1 << 20
"""Bytes of a sample that is copied whole before it is painted: it fits a second-level cache. A larger one goes band by
band, in half a first-level cache."""

_SPANS, _GROUPS = 4096, 1024
"""Runs, and groups of rows with the same runs, kept at once: scratch that does not grow with the image."""


@cache
def kernel(word: type, wide: type | None) -> Kernel:
    """The kernel for elements of type ``word``, to compute in type ``wide``; None only moves bytes."""
    size, sources = np.dtype(word).itemsize, SOURCES

    @entry
    def run(shared):
        job = carray(shared, 1)[0]
        job.sources = sources
        walk(shared, job, pointer(job.x, word), pointer(job.out, word), wide, size)

    return run


@njit(nogil=True)
def walk(shared, job, x, out, wide, size):
    """Do pieces of a job until none is left."""
    widest = most_spans(job.kind, job.n_params, job.width)
    capacity = max(_SPANS, 2 * widest)
    spans = np.empty(3 * capacity, np.int32)
    groups = np.empty(3 * _GROUPS, np.int32)
    mask = np.empty(max(BAND, job.width * job.interleaved) if job.select else 1, np.uint8)
    scratch = np.zeros(scratch_bytes(job.width, job.interleaved), np.uint8)
    room = np.empty(64 + max(BAND, job.width * job.interleaved * size) if job.stream else 1, np.uint8)
    aside = like((address(data(room)) + 63) & -64, out)
    hit, order = pointer(job.hit, np.uint8), pointer(job.order, np.int64)
    while True:
        piece = take(shared)
        if piece >= job.units:
            break
        first, slab = piece // job.slabs * job.group, piece % job.slabs
        last = min(first + job.group, job.samples)
        top, bottom = job.height * slab // job.slabs, job.height * (slab + 1) // job.slabs
        for item in range(first, last):
            b = order[3 * item]
            if not hit[b]:
                if job.copy:
                    copy_sample(job, x, out, b, top, bottom)
                continue
            if order[3 * item + 1]:
                save_sample(job, x, b, top, bottom)
            if job.select and worth(job, b):
                select_sample(job, x, out, b, top, bottom, data(spans), data(mask))
            else:
                paint_sample(
                    job, x, out, wide, b, order[3 * item + 2], top, bottom,
                    data(spans), capacity - widest, data(groups), data(scratch), aside, size,
                )  # fmt: skip
    if job.stream:
        fence()
    job.sources = room.size  # its memory lives until here


@njit(nogil=True)
def paint_sample(job, x, out, wide, b, from_saved, top, bottom, spans, room, groups, scratch, aside, size):
    """Copy and paint rows ``top`` to ``bottom`` of sample ``b``."""
    row = job.width * job.interleaved
    copy, band = job.copy != 0, max(1, BAND // (row * size))
    small = job.frames * job.channels * (bottom - top) * row * size <= _AT_ONCE
    # A blend often covers all of a sample, and then nothing is copied.
    if copy and small and job.fill != BLEND and not job.stream and in_one_piece(job, top, bottom):
        copy_sample(job, x, out, b, top, bottom)
        copy = False
    if not copy:
        band = bottom - top
    y = top
    while y < bottom:
        start, count, n_spans = y, 0, 0
        while y < bottom and count < _GROUPS and n_spans <= room:
            n, until = runs(job, b, y, ahead(spans, 3 * n_spans))
            until = min(until, bottom)
            if n:
                n_spans += n
                groups[3 * count], groups[3 * count + 1] = np.int32(y), np.int32(until)
                groups[3 * count + 2] = np.int32(n_spans)
                count += 1
            y = until
        for t in range(job.frames):
            for c in range(job.channels):
                paint_plane(
                    job, x, out, wide, b, from_saved, t, c, start, y, copy, band, spans, groups, count, scratch, aside
                )


@njit(nogil=True)
def paint_plane(job, x, out, wide, b, from_saved, t, c, top, bottom, copy, band, spans, groups, count, scratch, aside):
    """Copy and paint rows ``top`` to ``bottom`` of one plane, ``band`` rows at a time."""
    width = job.width
    group = 0
    for start in range(top, bottom, band):
        stop = min(start + band, bottom)
        covered = group < count and groups[3 * group] <= start and stop <= groups[3 * group + 1]
        run = 3 * groups[3 * group - 1] if group else 0
        covered = covered and spans[run] == 0 and spans[run + 1] == width
        # What is mixed all over goes past the caches by itself.
        streamed = job.stream and group < count and groups[3 * group] < stop and not (covered and job.fill == BLEND)
        o, n = place(job, b, t, c, start, 0), (stop - start) * job.out_row
        # Painted aside, as if that were where the band lies.
        to = ahead(aside, -o) if streamed else out
        if copy and not covered:
            copy_band(job, x, to, b, t, c, start, stop, job.stream and not streamed)
        while group < count and groups[3 * group] < stop:
            y0, y1 = max(groups[3 * group], start), min(groups[3 * group + 1], stop)
            first, last = groups[3 * group - 1] if group else 0, groups[3 * group + 2]
            paint(job, to, wide, from_saved, b, t, c, y0, y1, ahead(spans, 3 * first), last - first, scratch)
            if groups[3 * group + 1] > stop:
                break
            group += 1
        if streamed:
            stream_run(out, o, aside, 0, n)


@njit(nogil=True)
def scratch_bytes(width, interleaved):
    """Room for some rows of a painter's intermediate values, zero at first."""
    return 64 * (width + 16) * interleaved
