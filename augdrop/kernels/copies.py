"""Samples, and rows of planes, copied as they are: at once where they touch."""

from __future__ import annotations

from numba import njit

from augdrop.kernels.moves import copy_block, copy_run, stream_run
from augdrop.memory import like


@njit(nogil=True)
def copy_sample(job, x, out, b, top, bottom):
    """Copy rows of every plane, at once where planes touch."""
    if in_one_piece(job, top, bottom):
        n = job.frames * job.channels * job.height * job.width * job.interleaved
        _copy(job.stream, out, b * job.out_sample, x, b * job.x_sample, n)
        return
    for t in range(job.frames):
        for c in range(job.channels):
            copy_band(job, x, out, b, t, c, top, bottom, job.stream)


@njit(nogil=True)
def in_one_piece(job, top, bottom):
    """Whether these rows are whole planes, and all planes of a sample lie one after the other in both images."""
    row = job.width * job.interleaved
    plane = job.height * row
    frame = job.channels * plane
    return (
        bottom - top == job.height
        and (job.x_row == row and job.out_row == row)
        and (job.channels == 1 or (job.x_channel == plane and job.out_channel == plane))
        and (job.frames == 1 or (job.x_frame == frame and job.out_frame == frame))
    )


@njit(nogil=True)
def copy_band(job, x, out, b, t, c, top, bottom, stream):
    """Copy rows of one plane, at once where they touch."""
    i = b * job.x_sample + t * job.x_frame + c * job.x_channel + top * job.x_row
    o = b * job.out_sample + t * job.out_frame + c * job.out_channel + top * job.out_row
    copy_lines(stream, out, o, job.out_row, x, i, job.x_row, bottom - top, job.width * job.interleaved)


@njit(nogil=True)
def save_sample(job, x, b, top, bottom):
    """Put rows of every plane of a sample aside."""
    saved = like(job.saved, x)
    row = job.width * job.interleaved
    for t in range(job.frames):
        for c in range(job.channels):
            i = b * job.x_sample + t * job.x_frame + c * job.x_channel + top * job.x_row
            o = ((t * job.channels + c) * job.height + top) * row
            copy_lines(False, saved, o, row, x, i, job.x_row, bottom - top, row)


@njit(nogil=True)
def copy_lines(stream, out, o, out_stride, x, i, x_stride, lines, n):
    """Copy ``n`` elements of each of some lines, at once where they touch."""
    if out_stride == n and x_stride == n:
        _copy(stream, out, o, x, i, lines * n)
    else:
        copy_block(out, o, out_stride, x, i, x_stride, lines, n)


@njit(nogil=True)
def _copy(stream, out, o, x, i, n):
    if stream:
        stream_run(out, o, x, i, n)
    else:
        copy_run(out, o, x, i, n)
