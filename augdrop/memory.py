"""Raw memory for the compiled kernels: typed pointers, and what is done with them.

Kernels work on pointers instead of arrays. An index into an array may be negative, which keeps LLVM from wide
registers, and a slice counts references, which threads fight over; a pointer has neither trouble.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils


def intrinsic(build: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic`, for readers of types: what is called has one argument less than what builds it."""
    return numba.extending.intrinsic(build)


@intrinsic
def pointer(typingctx, address, scalar):
    """The memory at an integer ``address`` as elements of a scalar type, say ``np.int64``."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(scalar.dtype)(types.intp, scalar), codegen


@intrinsic
def like(typingctx, address, other):
    """The memory at an integer ``address`` as elements of the type that the pointer ``other`` has."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return other(types.intp, other), codegen


@intrinsic
def address(typingctx, start):
    """Where a pointer points to, to look at the same bytes as another type."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], context.get_value_type(signature.return_type))

    return types.intp(start), codegen


@intrinsic
def ahead(typingctx, start, n):
    """The pointer ``n`` elements after ``start``."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return start(start, types.intp), codegen


@intrinsic
def data(typingctx, array):
    """The first element of a C-contiguous array; numba frees an array after its last use, so it must be used again."""

    def codegen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def invoke(typingctx, function, arguments):
    """Call the C function at an integer address, which returns nothing, with a tuple of integers."""

    def codegen(context, builder, signature, args):
        values = cgutils.unpack_tuple(builder, args[1])
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), codegen


@intrinsic
def load8(typingctx, bytes_):
    """Eight bytes at once, as uint64, from anywhere."""

    def codegen(context, builder, signature, args):
        word = builder.load(builder.bitcast(args[0], ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(bytes_), codegen


@intrinsic
def lowest(typingctx, word):
    """The number of the lowest bit of a uint64 that is 1; 64 if there is none."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(word), codegen


@intrinsic
def take(typingctx, counter):
    """Add one to the int64 that a record begins with, and return what it was: how threads share out work."""

    def codegen(context, builder, signature, args):
        place = builder.bitcast(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), codegen
