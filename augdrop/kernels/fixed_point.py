"""Mixing bytes in 16-bit integers: the numbers of float32 arithmetic, in a fraction of its time.

Where the weight is an odd multiple of ``2 ** -15``, as `augdrop.Mixup` draws it, float32 holds each product and the sum
exactly (8 bits by 15), and no mean lies halfway between two bytes. So integers round to the very same bytes.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types

from augdrop.kernels.moves import LINE, put_vector, whole_lines
from augdrop.memory import intrinsic

_BYTE, _SHORT, _INT = (ir.IntType(bits) for bits in (8, 16, 32))
_NARROW = 16
_ONE = 1 << 15


@njit(nogil=True)
def numerator(weight):
    """``weight * 2 ** 15`` if that is an odd number below ``2 ** 15``, else 0."""
    scaled = weight * _ONE
    return np.int64(scaled) if 0 < scaled < _ONE and scaled % 2 == 1 else 0


def _splat(number, kind, count):
    return ir.Constant(ir.VectorType(kind, count), [number] * count)


def _mixer(count, past_caches=False):
    """Mix ``count`` bytes at three addresses: to, of the sample itself, of its source; ``q`` is the numerator."""

    @intrinsic
    def mix(typingctx, to, of, source, q):
        def codegen(context, builder, signature, args):
            to, of, source, q = args
            bytes_, shorts, ints = (ir.VectorType(kind, count) for kind in (_BYTE, _SHORT, _INT))
            at = [builder.inttoptr(place, bytes_.as_pointer()) for place in (of, source)]
            own, other = (builder.zext(builder.load(place, align=1), shorts) for place in at)
            # The difference takes 9 bits with its sign: 7 bits further up, the upper half of its product with q keeps
            # 6 bits behind the point, and rounding those is rounding the product.
            apart = builder.shl(builder.sub(other, own), _splat(7, _SHORT, count))
            one = builder.insert_element(ir.Constant(shorts, ir.Undefined), builder.trunc(q, _SHORT), _INT(0))
            weight = builder.shuffle_vector(one, one, _splat(0, _INT, count))
            product = builder.mul(builder.sext(apart, ints), builder.sext(weight, ints))
            upper = builder.trunc(builder.lshr(product, _splat(16, _INT, count)), shorts)
            step = builder.ashr(builder.add(upper, _splat(32, _SHORT, count)), _splat(6, _SHORT, count))
            put_vector(builder, builder.trunc(builder.add(own, step), bytes_), to, past_caches)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp, types.int64), codegen

    return mix


_mix_wide, _mix_narrow, _mix_byte = _mixer(LINE), _mixer(_NARROW), _mixer(1)
_stream_wide = _mixer(LINE, past_caches=True)


@njit(nogil=True)
def mix_bytes(to, of, source, n, q):
    """Mix ``n`` bytes from two addresses to a third, which may be the first."""
    i = 0
    while i + LINE <= n:
        _mix_wide(to + i, of + i, source + i, q)
        i += LINE
    while i + _NARROW <= n:
        _mix_narrow(to + i, of + i, source + i, q)
        i += _NARROW
    while i < n:
        _mix_byte(to + i, of + i, source + i, q)
        i += 1


@njit(nogil=True)
def stream_mixed_bytes(to, of, source, n, q):
    """`mix_bytes` for what nobody reads soon, see `augdrop.kernels.moves.stream_run`."""
    head, end = whole_lines(to, n, 1)
    mix_bytes(to, of, source, head, q)
    for i in range(head, end, LINE):
        _stream_wide(to + i, of + i, source + i, q)
    mix_bytes(to + end, of + end, source + end, n - end, q)
