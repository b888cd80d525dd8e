"""Some rows of one sample's region as a mask, a byte an element."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types

from augdrop.kernels.moves import BYTE, LINE, copy_run, fill_run, vector
from augdrop.kernels.place import own_bits, runs
from augdrop.memory import address, ahead, intrinsic, load8, pointer
from augdrop.regions.spans import COS, GRID, MASK, PERIOD, SIN


@njit(nogil=True)
def draw_rows(job, b, start, lines, spans, mask):
    """Write the mask of ``lines`` rows from ``start`` on; ``spans`` has room for a row's runs."""
    row, k = job.width * job.interleaved, job.interleaved
    if job.kind == MASK and k == 1:
        spread(own_bits(job, b), start * row, lines * row, mask)
        return
    params = ahead(pointer(job.params, np.int64), b * job.n_params)
    line, until = 0, 0
    while line < lines:
        own, y = ahead(mask, line * row), start + line
        if job.kind == GRID and k == 1 and params[COS] != 0 and params[SIN] != 0:
            draw_grid(params, y, row, own)
            line += 1
            continue
        n, until = runs(job, b, y, spans)
        fill_run(own, 0, row, np.uint8(0))
        for i in range(n):
            fill_run(own, spans[3 * i] * k, (spans[3 * i + 1] - spans[3 * i]) * k, np.uint8(1))
        line += 1
        while line < min(until - start, lines):
            copy_run(mask, line * row, own, 0, row)
            line += 1


@njit(nogil=True)
def draw_grid(params, y, width, mask):
    """One row of a turned grid, as its definition in `augdrop.regions.grid` has it: that takes less than its runs."""
    bar, other = params[4], np.uint8(params[5] == 0)
    if bar == 0 or bar == PERIOD:
        fill_run(mask, 0, width, np.uint8(bar != 0) ^ other)
        return
    v, u = np.uint32(params[0] + params[COS] * y), np.uint32(params[1] - params[SIN] * y)
    _draw_lattice(mask, width, v, u, np.uint32(params[SIN]), np.uint32(params[COS]), np.uint32(bar - 1), other)


@njit(nogil=True)
def _draw_lattice(mask, width, v, u, sin, cos, last, other):
    # 32-bit integers wrap around where the lattice does. Taken in as such, they stay as narrow in wide registers.
    for j in range(width):
        x = np.uint32(j)
        on_v, on_u = np.uint32(v + np.uint32(sin * x)) <= last, np.uint32(u + np.uint32(cos * x)) <= last
        mask[j] = np.uint8(on_v | on_u) ^ other


@njit(nogil=True)
def spread(bits, first, n, mask):
    """Write ``n`` bits from the ``first`` on as bytes; from any bit on there are eight bytes to read."""
    for j in range(0, n - LINE + 1, LINE):
        skip = (first + j) & 7
        place = ahead(bits, (first + j) >> 3)
        word = load8(place)
        if skip:
            word = (word >> np.uint64(skip)) | (np.uint64(place[8]) << np.uint64(64 - skip))
        _spread(address(mask) + j, word)
    for j in range(n // LINE * LINE, n):
        mask[j] = (bits[(first + j) >> 3] >> np.uint8((first + j) & 7)) & np.uint8(1)


@intrinsic
def _spread(typingctx, to, word):
    """The bits of a uint64 as 64 bytes at an address."""

    def codegen(context, builder, signature, args):
        to, word = args
        flags = builder.bitcast(word, ir.VectorType(ir.IntType(1), LINE))
        builder.store(builder.zext(flags, ir.VectorType(BYTE, LINE)), vector(builder, to, BYTE, LINE), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64), codegen
