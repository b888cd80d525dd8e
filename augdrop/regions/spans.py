"""One row of a region as runs of dropped pixels: the compiled geometry that kernels and areas share.

Every region packs itself into ``(kind, params int64 [B, P], bits uint8 [B, h, w])``; `row_spans` turns a row of one
sample into half-open column runs ``(x0, x1, box)``, so that a kernel's work grows with what is dropped and not with the
canvas. ``box`` is the number of the box (several boxes may overlap, and later ones paint over earlier ones) and 0 for
the other kinds, whose runs are disjoint and ascending. The torch ``mask()`` of each region is the definition that
these loops are tested against.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BOXES, GRID, CELLS, MASK = 0, 1, 2, 3
ANGLE_BITS = 30
"""Binary places of the cosine and sine of a rotated grid: integers, so that every device draws the same lattice."""

_FAR = np.int64(1) << 40


@njit(cache=True, nogil=True)
def row_range(kind, params, b, height):
    """The rows outside of which sample ``b`` drops nothing: ``(top, bottom)``."""
    if kind != BOXES:
        return np.int64(0), np.int64(height)
    top, bottom = np.int64(height), np.int64(0)
    for i in range(0, params.shape[1], 4):
        if params[b, i] < params[b, i + 2] and params[b, i + 1] < params[b, i + 3]:
            top, bottom = min(top, params[b, i]), max(bottom, params[b, i + 2])
    return top, bottom


@njit(cache=True, nogil=True)
def row_spans(kind, params, bits, b, y, width, spans):
    """Write the runs of row ``y`` of sample ``b`` to ``spans [n, 3]`` and return their number."""
    # Whole arrays and an index, no slices: a slice counts references, and threads would fight over the counter.
    if kind == BOXES:
        return _box_spans(params, b, y, spans)
    if kind == GRID:
        return _grid_spans(params, b, y, width, spans)
    if kind == CELLS:
        return _cell_spans(params, bits, b, y, width, spans)
    return _mask_spans(bits, b, y, width, spans)


@njit(cache=True, nogil=True, inline="always")
def _put(spans, n, x0, x1, box):
    spans[n, 0], spans[n, 1], spans[n, 2] = x0, x1, box
    return n + 1


@njit(cache=True, nogil=True)
def _box_spans(params, b, y, spans):
    n = 0
    for i in range(0, params.shape[1], 4):
        if params[b, i] <= y < params[b, i + 2] and params[b, i + 1] < params[b, i + 3]:
            n = _put(spans, n, params[b, i + 1], params[b, i + 3], i // 4)
    return n


@njit(cache=True, nogil=True, inline="always")
def _phase(value, step, period, width):
    """Is ``value`` on a stripe, and after how many steps does that change (all in fixed point)?"""
    phase = value % period
    on = phase < width
    if step == 0:
        return on, _FAR
    if step > 0:
        edge = width if on else period
        return on, (edge - phase + step - 1) // step
    edge = np.int64(0) if on else width
    return on, (phase - edge) // -step + 1


@njit(cache=True, nogil=True)
def _grid_spans(params, b, y, width, spans):
    period, bar = params[b, 0] << (ANGLE_BITS + 1), params[b, 1] << (ANGLE_BITS + 1)
    cos, sin, side = params[b, 4], params[b, 5], params[b, 6]
    stripes = params[b, 7] == 1
    # Doubled coordinates from the canvas centre, so that pixel centres are whole numbers.
    y2, x2 = 2 * (y + params[b, 8]) + 1 - side, 2 * params[b, 9] + 1 - side
    half = side << ANGLE_BITS
    v = sin * x2 + cos * y2 + half - (params[b, 2] << (ANGLE_BITS + 1))
    u = cos * x2 - sin * y2 + half - (params[b, 3] << (ANGLE_BITS + 1))
    n, x, start = 0, np.int64(0), np.int64(-1)
    on_v, far_v = _phase(v, 2 * sin, period, bar)
    on_u, far_u = _phase(u, 2 * cos, period, bar)
    while x < width:
        dropped = (on_v or on_u) == stripes
        if dropped and start < 0:
            start = x
        elif not dropped and start >= 0:
            n = _put(spans, n, start, x, 0)
            start = np.int64(-1)
        # Step to the nearer edge; only the axis that has reached it needs a division.
        step = min(far_v, far_u)
        x += step
        far_v, far_u = far_v - step, far_u - step
        if far_v == 0:
            on_v, far_v = _phase(v + 2 * sin * x, 2 * sin, period, bar)
        if far_u == 0:
            on_u, far_u = _phase(u + 2 * cos * x, 2 * cos, period, bar)
    if start >= 0:
        n = _put(spans, n, start, np.int64(width), 0)
    return n


@njit(cache=True, nogil=True)
def _cell_spans(params, bits, b, y, width, spans):
    rows, columns = bits.shape[1:]
    row = y * rows // params[b, 0]
    n, start = 0, np.int64(-1)
    if row >= rows:
        return n
    for j in range(columns):
        if bits[b, row, j]:
            if start < 0:
                start = (j * params[b, 1] + columns - 1) // columns
        elif start >= 0:
            n = _clipped(spans, n, start, (j * params[b, 1] + columns - 1) // columns, width)
            start = np.int64(-1)
    return n if start < 0 else _clipped(spans, n, start, params[b, 1], width)


@njit(cache=True, nogil=True, inline="always")
def _clipped(spans, n, start, end, width):
    end = min(end, width)
    return _put(spans, n, start, end, 0) if start < end else n


@njit(cache=True, nogil=True)
def _mask_spans(bits, b, y, width, spans):
    n, x = 0, 0
    while x < width:
        while x + 8 <= width and load8(bits, b, y, x) == 0:
            x += 8
        while x < width and not bits[b, y, x]:
            x += 1
        if x == width:
            break
        start = x
        while x < width and bits[b, y, x]:
            x += 1
        n = _put(spans, n, start, x, 0)
    return n


@intrinsic
def load8(typingctx, bits, b, y, x):
    """Eight bytes of a row at once, as uint64: most of a mask is empty, and is skipped this way."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        at = cgutils.get_item_pointer(context, builder, signature.args[0], array, list(args[1:]))
        word = builder.load(builder.bitcast(at, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(bits, types.intp, types.intp, types.intp), codegen


@njit(cache=True, nogil=True)
def count(kind, params, bits, height, width):
    """Dropped pixels of each sample, int64 ``[B]``; a pixel under several boxes counts once."""
    boxes = params.shape[1] // 4 if kind == BOXES else 1
    spans = np.empty((width // 2 + 2 + boxes, 3), np.int64)
    row = np.zeros(width, np.uint8)
    out = np.zeros(len(params), np.int64)
    for b in range(len(params)):
        if kind == BOXES and boxes == 1:
            out[b] = max(params[b, 2] - params[b, 0], 0) * max(params[b, 3] - params[b, 1], 0)
            continue
        top, bottom = row_range(kind, params, b, height)
        for y in range(top, bottom):
            n = row_spans(kind, params, bits, b, y, width, spans)
            if boxes == 1:
                for i in range(n):
                    out[b] += spans[i, 1] - spans[i, 0]
            elif n:
                row[:] = 0
                for i in range(n):
                    row[spans[i, 0] : spans[i, 1]] = 1
                out[b] += row.sum()
    return out
