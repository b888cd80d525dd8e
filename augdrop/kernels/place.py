"""Where things lie: the pixels of a job's images, and the runs of its region."""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.memory import ahead, like, pointer
from augdrop.regions.spans import row_spans


@njit(nogil=True)
def place(job, b, t, c, y, x):
    """The element of ``out`` that pixel ``(y, x)`` of one plane is (or begins, where channels are interleaved)."""
    o = b * job.out_sample + t * job.out_frame + c * job.out_channel
    return o + y * job.out_row + x * job.interleaved


@njit(nogil=True)
def source_at(job, out, from_saved, b, t, c, y):
    """Where row ``y`` of the image that sample ``b`` copies from begins, and the stride of its rows."""
    if from_saved:
        row = job.width * job.interleaved
        return ahead(like(job.saved, out), ((t * job.channels + c) * job.height + y) * row), row
    s = pointer(job.index, np.int64)[b] * job.source_sample + t * job.source_frame + c * job.source_channel
    return ahead(like(job.source, out), s + y * job.source_row), job.source_row


@njit(nogil=True)
def runs(job, b, y, spans):
    """`augdrop.regions.spans.row_spans` of row ``y`` of sample ``b``."""
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    return row_spans(
        job.kind, params, job.n_params, own_bits(job, b), job.bit_rows, job.bit_columns, y, job.width, spans
    )


@njit(nogil=True)
def own_bits(job, b):
    """The bits of sample ``b``."""
    return ahead(pointer(job.bits, np.uint8), b * job.bit_rows * job.bit_columns if job.bit_samples > 1 else 0)
