"""Mixing at partial opacity: ``own * (1 - w) + source * w`` where a region drops, in float32 or wider.

Integers are rounded to the nearest, ties to even. 8 and 16-bit integers and float32 are mixed in float32, the others in
float64, with one rounding after each operation: the reference backend does the same in torch.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, types
from numba.extending import overload

from augdrop.kernels.casts import cast, rounded
from augdrop.kernels.fixed_point import mix_bytes, numerator, stream_mixed_bytes
from augdrop.kernels.moves import LINE, copy_run, item_size, put_vector, splat, vector, whole_lines
from augdrop.kernels.place import place, source_at
from augdrop.memory import address, ahead, intrinsic, like, pointer


def working_type(dtype: torch.dtype) -> torch.dtype:
    """The type to mix images of ``dtype`` in."""
    return torch.float32 if dtype.itemsize <= 2 or dtype == torch.float32 else torch.float64


def weights(opacity: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the sample itself and of its source, in the type that ``dtype`` is mixed in."""
    wide = working_type(dtype)
    return (1 - opacity).to(wide), opacity.to(wide)


@njit(nogil=True)
def blend(job, out, wide, from_saved, b, t, c, y0, y1, spans, n, scratch):
    """Paint runs by mixing them with another image, in type ``wide``."""
    opacity = pointer(job.opacity, np.float64)[b]
    own, other = wide(1 - opacity), wide(opacity)
    k, o = job.interleaved, place(job, b, t, c, y0, 0)
    i = b * job.x_sample + t * job.x_frame + c * job.x_channel + y0 * job.x_row
    source, stride = source_at(job, out, from_saved, b, t, c, y0)
    x, aside = like(job.x, out), like(address(scratch), out)
    q = numerator(other) if item_size(out) == 1 else 0
    rows, row, past = y1 - y0, job.width * k, False
    if n == 1 and spans[1] - spans[0] == job.width and job.x_row == row and job.out_row == row and stride == row:
        rows, k = 1, k * rows  # whole rows that touch are one
        past = job.stream and address(out) == job.out
    for y in range(rows):
        for run in range(n):
            x0, length = spans[3 * run] * k, (spans[3 * run + 1] - spans[3 * run]) * k
            to, of = ahead(out, o + y * job.out_row + x0), ahead(x, i + y * job.x_row + x0)
            with_ = ahead(source, y * stride + x0)
            if q > 0 and past:
                stream_mixed_bytes(address(to), address(of), address(with_), length, q)
            elif past:
                stream_mixed(to, of, with_, length, own, other)
            elif q > 0:
                mix_bytes(address(to), address(of), address(with_), length, q)
            else:
                _mix(job, to, of, with_, length, own, other, aside)


@njit(nogil=True)
def _mix(job, out, x, source, n, own, other, aside):
    if job.copy:
        _mix_run(out, x, source, n, own, other)
        return
    # Reading and writing one place keeps LLVM from wide registers: a row goes by way of the scratch.
    row = job.width * job.interleaved
    for start in range(0, n, row):
        some = min(row, n - start)
        _mix_run(aside, ahead(x, start), ahead(source, start), some, own, other)
        copy_run(out, start, aside, 0, some)


@njit(nogil=True)
def _mix_run(out, x, source, n, own, other):
    for j in range(n):
        out[j] = rounded(out[j], cast(own, x[j]) * own + cast(own, source[j]) * other)


def stream_mixed(out, x, source, n, own, other):
    """`_mix_run` for what nobody reads soon: floats go straight to memory."""
    raise NotImplementedError


@overload(stream_mixed)
def _stream_mixed(out, x, source, n, own, other):
    if not isinstance(out.dtype, types.Float):
        return lambda out, x, source, n, own, other: _mix_run(out, x, source, n, own, other)

    def stream(out, x, source, n, own, other):
        size = item_size(out)
        head, end = whole_lines(address(out), n, size)
        _mix_run(out, x, source, head, own, other)
        for j in range(head, end, LINE // size):
            _stream_line(address(out) + j * size, address(x) + j * size, address(source) + j * size, own, other)
        _mix_run(ahead(out, end), ahead(x, end), ahead(source, end), n - end, own, other)

    return stream


@intrinsic
def _stream_line(typingctx, to, of, source, own, other):
    """One line of floats past the caches: each product is rounded, and then the sum."""

    def codegen(context, builder, signature, args):
        to, of, source, own, other = args
        count = LINE // context.get_abi_sizeof(own.type)
        parts = [
            builder.fmul(builder.load(vector(builder, at, own.type, count), align=1), splat(builder, weight, count))
            for at, weight in ((of, own), (source, other))
        ]
        put_vector(builder, builder.fadd(*parts), to, past_caches=True)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, own, other), codegen
