"""Mixing at partial opacity: ``own * (1 - w) + source * w`` where a region drops, in float32 or wider.

Integers are rounded to the nearest, ties to even. 8 and 16-bit integers and float32 are mixed in float32, the others in
float64, with one rounding after each operation: the reference backend does the same in torch.
"""

from __future__ import annotations

import torch
from numba import njit

from augdrop.kernels.casts import cast, rounded
from augdrop.kernels.place import place, source_at
from augdrop.memory import ahead, like, pointer


def working_type(dtype: torch.dtype) -> torch.dtype:
    """The type to mix images of ``dtype`` in."""
    return torch.float32 if dtype.itemsize <= 2 or dtype == torch.float32 else torch.float64


def weights(opacity: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the sample itself and of its source, in the type that ``dtype`` is mixed in."""
    wide = working_type(dtype)
    return (1 - opacity).to(wide), opacity.to(wide)


@njit(nogil=True)
def blend(job, out, wide, from_saved, b, t, c, y0, y1, x0, x1):
    """Mix one rectangle of one plane in type ``wide``."""
    own, other = pointer(job.own, wide)[b], pointer(job.other, wide)[b]
    k = job.interleaved
    o = place(job, b, t, c, y0, x0)
    i = b * job.x_sample + t * job.x_frame + c * job.x_channel + y0 * job.x_row + x0 * k
    source, stride = source_at(job, out, from_saved, b, t, c, y0)
    x, n = like(job.x, out), (x1 - x0) * k
    for y in range(y1 - y0):
        to, of = ahead(out, o + y * job.out_row), ahead(source, y * stride + x0 * k)
        if job.copy:
            _mix(to, ahead(x, i + y * job.x_row), of, n, own, other)
        else:
            # Naming the one pointer twice lets LLVM see that reading and writing go in step.
            _mix(to, to, of, n, own, other)


@njit(nogil=True)
def _mix(out, x, source, n, own, other):
    for j in range(n):
        out[j] = rounded(out[j], cast(own, x[j]) * own + cast(own, source[j]) * other)
