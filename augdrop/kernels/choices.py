"""Runs of elements of which each is chosen by a mask: what lies there, or a colour, or another image's element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types

from augdrop.kernels.moves import BYTE, LINE, item_size, put_vector, splat, vector, whole_lines
from augdrop.memory import address, ahead, intrinsic


@njit(nogil=True)
def choose_run(out, x, mask, n, value):
    """``out[j] = value if mask[j] else x[j]``; ``mask`` points to bytes, and ``out`` may be ``x``."""
    step = LINE // item_size(out)
    j = 0
    while j + step <= n:
        _choose(address(out) + j * item_size(out), address(x) + j * item_size(out), address(mask) + j, value)
        j += step
    while j < n:
        out[j] = value if mask[j] else x[j]
        j += 1


@njit(nogil=True)
def stream_choice(out, x, mask, n, value):
    """`choose_run` for what nobody reads soon, see `stream_run`."""
    size = item_size(out)
    head, end = whole_lines(address(out), n, size)
    choose_run(out, x, mask, head, value)
    for j in range(head, end, LINE // size):
        _stream_choice(address(out) + j * size, address(x) + j * size, address(mask) + j, value)
    choose_run(ahead(out, end), ahead(x, end), ahead(mask, end), n - end, value)


@njit(nogil=True)
def stream_pick(out, x, other, mask, n):
    """``out[j] = other[j] if mask[j] else x[j]`` for what nobody reads soon, see `stream_run`."""
    size = item_size(out)
    head, end = whole_lines(address(out), n, size)
    for j in range(head):
        out[j] = other[j] if mask[j] else x[j]
    for j in range(head, end, LINE // size):
        to, of, there = address(out) + j * size, address(x) + j * size, address(other) + j * size
        _stream_pick(to, of, there, address(mask) + j, out)
    for j in range(end, n):
        out[j] = other[j] if mask[j] else x[j]


@njit(nogil=True)
def choose_where_any(out, mask, n, value):
    """``out[j] = value`` where ``mask[j]``: lines of ``out`` without any are not touched."""
    step = LINE // item_size(out)
    j = 0
    while j + step <= n:
        if _any(address(mask) + j, out):
            to = address(out) + j * item_size(out)
            _choose(to, to, address(mask) + j, value)
        j += step
    while j < n:
        if mask[j]:
            out[j] = value
        j += 1


def _on(builder: Any, mask: Any, count: int) -> Any:
    """Which bytes of a mask are not 0."""
    flags = builder.load(vector(builder, mask, BYTE, count), align=1)
    return builder.icmp_unsigned("!=", flags, ir.Constant(flags.type, [0] * count))


def _chooser(past_caches: bool = False) -> Callable[[int, int, int, Any], None]:
    """One line: the value where a byte of the mask is not 0, else what was there."""

    @intrinsic
    def choose(typingctx, to, of, mask, value):
        def codegen(context, builder, signature, args):
            to, of, mask, value = args
            count = LINE // context.get_abi_sizeof(value.type)
            own = builder.load(vector(builder, of, value.type, count), align=1)
            chosen = builder.select(_on(builder, mask, count), splat(builder, value, count), own)
            put_vector(builder, chosen, to, past_caches)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp, value), codegen

    return choose


_choose, _stream_choice = _chooser(), _chooser(past_caches=True)


@intrinsic
def _stream_pick(typingctx, to, of, other, mask, like):
    """One line past the caches: another image's elements where a byte of the mask is not 0, else its own."""

    def codegen(context, builder, signature, args):
        to, of, other, mask, _ = args
        element = context.get_data_type(signature.args[4].dtype)
        count = LINE // context.get_abi_sizeof(element)
        own, others = (builder.load(vector(builder, at, element, count), align=1) for at in (of, other))
        put_vector(builder, builder.select(_on(builder, mask, count), others, own), to, past_caches=True)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, like), codegen


@intrinsic
def _any(typingctx, mask, like):
    """Whether any byte of the mask of one line of elements is not 0."""

    def codegen(context, builder, signature, args):
        count = LINE // context.get_abi_sizeof(context.get_data_type(signature.args[1].dtype))
        bits = builder.bitcast(_on(builder, args[0], count), ir.IntType(count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(types.intp, like), codegen
