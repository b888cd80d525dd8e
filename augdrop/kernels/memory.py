"""The innermost moves: runs of elements copied or filled at memory speed.

Numba must allow for negative indices in ``a[i + j]``, which keeps LLVM from wide registers; memcpy and unsigned indices
do not have that trouble. Slices do not either, but they count references, and threads would fight over the counter.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def copy_run(typingctx, out, o, x, i, n):
    """Copy ``n`` elements from ``x[i:]`` to ``out[o:]``, flat arrays of one item size that do not overlap there."""

    def codegen(context, builder, signature, args):
        target, source = signature.args[0], signature.args[2]
        to = context.make_array(target)(context, builder, args[0])
        of = context.make_array(source)(context, builder, args[2])
        size = context.get_abi_sizeof(context.get_data_type(target.dtype))
        cgutils.raw_memcpy(builder, builder.gep(to.data, [args[1]]), builder.gep(of.data, [args[3]]), args[4], size)
        return context.get_dummy_value()

    return types.void(out, types.intp, x, types.intp, types.intp), codegen


@njit(cache=True, nogil=True, inline="always")
def fill_run(out, o, n, value):
    """Write ``value`` to ``n`` elements from ``out[o]`` on."""
    for j in range(np.uint64(o), np.uint64(o + n)):
        out[j] = value
