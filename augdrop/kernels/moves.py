"""Runs of elements moved at memory speed: copied, filled with a colour, or streamed past the caches.

A run is a few dozen bytes in a box and a few megabytes in a copy. Both are done in vectors of 64 bytes whose last one
overlaps the one before: no loop over single elements at the end, and no call of a library function at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types

from augdrop.memory import address, intrinsic

BYTE, _WORD = ir.IntType(8), ir.IntType(32)
LINE = 64
"""Bytes of a vector, and of a line of the caches."""


def vector(builder: Any, place: Any, element: Any, count: int) -> Any:
    """A pointer to a vector at an address."""
    return builder.inttoptr(place, ir.VectorType(element, count).as_pointer())


def splat(builder: Any, value: Any, count: int) -> Any:
    """A vector of one value."""
    kind = ir.VectorType(value.type, count)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_WORD, count), [0] * count))


def put_vector(builder: Any, value: Any, place: Any, past_caches: bool) -> None:
    """Store a vector; past the caches only where it lies on a multiple of a line."""
    to = builder.inttoptr(place, value.type.as_pointer())
    stored = builder.store(value, to, align=LINE if past_caches else 1)
    if past_caches:
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_WORD, 1)]))


def _mover(width: int, past_caches: bool = False) -> Callable[[int, int], None]:
    """Copy ``width`` bytes between two addresses; past the caches only to a multiple of ``width``."""

    @intrinsic
    def move(typingctx, to, of):
        def codegen(context, builder, signature, args):
            put_vector(builder, builder.load(vector(builder, args[1], BYTE, width), align=1), args[0], past_caches)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp), codegen

    return move


def _filler(width: int) -> Callable[[int, Any], None]:
    """Write one value to all of ``width`` bytes."""

    @intrinsic
    def fill(typingctx, to, value):
        def codegen(context, builder, signature, args):
            count = width // context.get_abi_sizeof(args[1].type)
            builder.store(splat(builder, args[1], count), vector(builder, args[0], args[1].type, count), align=1)
            return context.get_dummy_value()

        return types.void(types.intp, value), codegen

    return fill


def _copies(width: int) -> Callable[[int, int, int, int, int, int], None]:
    """Copy lines of ``width`` to ``2 * width`` bytes: a vector from the start, and one up to the end."""
    move = _mover(width)

    @njit(nogil=True)
    def copy(to, down, of, along, lines, n):
        for y in range(lines):
            move(to + y * down, of + y * along)
            move(to + y * down + n - width, of + y * along + n - width)

    return copy


def _fills(width: int) -> Callable[[int, int, int, int, Any], None]:
    """Fill lines of ``width`` to ``2 * width`` bytes in the same way."""
    put = _filler(width)

    @njit(nogil=True)
    def fill(to, down, lines, n, value):
        for y in range(lines):
            put(to + y * down, value)
            put(to + y * down + n - width, value)

    return fill


_move64, _move1, _fill64 = _mover(LINE), _mover(1), _filler(LINE)
_copy32, _copy16, _copy8, _copy4 = (_copies(n) for n in (32, 16, 8, 4))
_fill32, _fill16, _fill8 = (_fills(n) for n in (32, 16, 8))
_stream64 = _mover(LINE, past_caches=True)


@intrinsic
def item_size(typingctx, start):
    """Bytes of an element that a pointer points to."""

    def codegen(context, builder, signature, args):
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        return context.get_constant(types.intp, size)

    return types.intp(start), codegen


@njit(nogil=True)
def copy_run(out, o, x, i, n):
    """Copy ``n`` elements from ``x[i:]`` to ``out[o:]``, pointers of one item size whose runs do not overlap."""
    copy_block(out, o, 0, x, i, 0, 1, n)


@njit(nogil=True)
def copy_block(out, o, out_stride, x, i, x_stride, lines, n):
    """`copy_run` of each of some lines, so and so many elements apart."""
    size = item_size(out)
    _copy_lines(address(out) + o * size, out_stride * size, address(x) + i * size, x_stride * size, lines, n * size)


@njit(nogil=True)
def whole_lines(to, n, size):
    """From and to which of ``n`` elements of ``size`` bytes at an address there are whole lines of memory."""
    head, step = min((-to & (LINE - 1)) // size, n), LINE // size
    return head, head + (n - head) // step * step


@njit(nogil=True)
def stream_run(out, o, x, i, n):
    """`copy_run` for what nobody reads soon: whole lines go straight to memory, which need not be read first."""
    size = item_size(out)
    to, of, n = address(out) + o * size, address(x) + i * size, n * size
    head, end = whole_lines(to, n, 1)
    _copy_lines(to, 0, of, 0, 1, head)
    for j in range(head, end, LINE):
        _stream64(to + j, of + j)
    _copy_lines(to + end, 0, of + end, 0, 1, n - end)


@njit(nogil=True)
def _copy_lines(to, down, of, along, lines, n):
    """Copy ``n`` bytes of each line, ``down`` and ``along`` bytes apart."""
    if n >= 64:
        for y in range(lines):
            for j in range(0, n - 63, 64):
                _move64(to + y * down + j, of + y * along + j)
            _move64(to + y * down + n - 64, of + y * along + n - 64)
    elif n >= 32:
        _copy32(to, down, of, along, lines, n)
    elif n >= 16:
        _copy16(to, down, of, along, lines, n)
    elif n >= 8:
        _copy8(to, down, of, along, lines, n)
    elif n >= 4:
        _copy4(to, down, of, along, lines, n)
    else:
        for y in range(lines):
            for j in range(n):
                _move1(to + y * down + j, of + y * along + j)


@njit(nogil=True)
def fill_run(out, o, n, value):
    """Write ``value``, of the type that ``out`` points to, to ``n`` elements from ``out[o]`` on."""
    fill_block(out, o, 0, 1, n, value)


@njit(nogil=True)
def fill_block(out, o, stride, lines, n, value):
    """`fill_run` of each of some lines, ``stride`` elements apart."""
    size = item_size(out)
    to, down, n = address(out) + o * size, stride * size, n * size
    if n >= 64:
        for y in range(lines):
            for j in range(0, n - 63, 64):
                _fill64(to + y * down + j, value)
            _fill64(to + y * down + n - 64, value)
    elif n >= 32:
        _fill32(to, down, lines, n, value)
    elif n >= 16:
        _fill16(to, down, lines, n, value)
    elif n >= 8:
        _fill8(to, down, lines, n, value)
    else:
        for y in range(lines):
            for j in range(n // size):
                out[o + y * stride + j] = value


@intrinsic
def fence(typingctx):
    """Wait until streamed lines can be seen by other threads."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
