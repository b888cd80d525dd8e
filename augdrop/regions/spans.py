"""One row of a region as runs of dropped pixels: the compiled geometry that kernels and areas share.

Every region packs itself into ``(kind, params int64 [B, P], bits uint8 [B, h, w])``; `row_spans` turns a row of one
sample into half-open column runs ``(x0, x1, box)`` and says how many rows have the same, so that a kernel's work grows
with what is dropped and not with the canvas. ``box`` is the number of the box (several boxes may overlap, and later
ones paint over earlier ones) and 0 for the other kinds. The torch ``mask()`` of each region is the definition that
these loops are tested against.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.memory import ahead, data, load8, lowest

BOXES, BLOCKS, GRID, CELLS, MASK = range(5)
PERIOD = 1 << 32
"""The period of a grid's lattice, in the unit of its coordinates."""

COS, SIN = 2, 3
"""Where a grid's params hold a step of one pixel along its own axis, and along the other."""

_FAR = np.int64(1) << 40


@njit(cache=True, nogil=True)
def most_spans(kind, n_params, width):
    """More runs than any row of any sample has."""
    return width // 2 + 2 + (n_params // 4 if kind == BOXES else n_params // 2 if kind == BLOCKS else 0)


@njit(cache=True, nogil=True)
def row_spans(kind, params, n_params, bits, rows, columns, y, width, spans):
    """Write the runs of row ``y`` of one sample to ``spans``; return ``(their number, the next row that may differ)``.

    Args:
        kind: of the region.
        params, n_params: pointer to the sample's own params, and their number.
        bits, rows, columns: pointer to the sample's own bits, and their shape.
        y, width: the row, and the canvas' width.
        spans: pointer to int32, three for each run.
    """
    if kind == BOXES:
        return _box_spans(params, n_params, y, width, spans)
    if kind == BLOCKS:
        return _block_spans(params, y, width, spans)
    if kind == GRID:
        return _grid_spans(params, y, width, spans)
    if kind == CELLS:
        return _cell_spans(params, bits, rows, columns, y, width, spans)
    return _mask_spans(bits, y * width, width, spans), y + 1


@njit(cache=True, nogil=True, inline="always")
def _put(spans, n, x0, x1, box):
    spans[3 * n], spans[3 * n + 1], spans[3 * n + 2] = np.int32(x0), np.int32(x1), np.int32(box)
    return n + 1


@njit(cache=True, nogil=True)
def _box_spans(params, n_params, y, width, spans):
    n, until = 0, _FAR
    for i in range(0, n_params, 4):
        x0, x1 = max(params[i + 1], 0), min(params[i + 3], width)
        if params[i] < params[i + 2] and x0 < x1:
            if y < params[i]:
                until = min(until, params[i])
            elif y < params[i + 2]:
                until = min(until, params[i + 2])
                n = _put(spans, n, x0, x1, i // 4)
    return n, until


@njit(cache=True, nogil=True)
def _block_spans(params, y, width, spans):
    # Height, width and number of the blocks, then their corners, top to bottom.
    height, across, count = params[0], params[1], params[2]
    low, high = np.int64(0), count
    while low < high:
        middle = (low + high) // 2
        if params[3 + 2 * middle] + height <= y:
            low = middle + 1
        else:
            high = middle
    n, until = 0, _FAR
    if low < count:
        until = params[3 + 2 * low] + height
    for i in range(low, count):
        if params[3 + 2 * i] > y:
            until = min(until, params[3 + 2 * i])
            break
        n = _clipped(spans, n, params[4 + 2 * i], params[4 + 2 * i] + across, width)
    return n, until


@njit(cache=True, nogil=True, inline="always")
def _enter(value, step, bar):
    """How a walk of ``step`` a pixel begins on one axis.

    Returns ``(is it on a stripe, after how many pixels does that change, how far past the edge is it then)``.
    """
    phase = value & (PERIOD - 1)
    if step < 0:
        # Seen in a mirror the walk goes forward, and the stripe is at the end of the period.
        phase, step = (PERIOD - 1 - phase + bar) & (PERIOD - 1), -step
    on = phase < bar
    if step == 0 or bar == 0 or bar == PERIOD:
        return on, _FAR, np.int64(0)
    rest = (bar if on else PERIOD) - phase
    far = np.int64(np.uint64(rest + step - 1) // np.uint64(step))
    return on, far, far * step - rest


@njit(cache=True, nogil=True)
def _grid_spans(params, y, width, spans):
    cos, sin, bar, stripes = params[COS], params[SIN], params[4], params[5] == 1
    v, u = params[0] + cos * y, params[1] - sin * y
    on_v, far_v, over_v = _enter(v, sin, bar)
    on_u, far_u, over_u = _enter(u, cos, bar)
    until = y + 1
    if sin == 0:
        until = y + _enter(v, cos, bar)[1]
    elif cos == 0:
        until = y + _enter(u, -sin, bar)[1]
    step_v, step_u = abs(sin), abs(cos)
    n, x, start = 0, np.int64(0), np.int64(-1)
    while x < width:
        dropped = (on_v or on_u) == stripes
        if dropped and start < 0:
            start = x
        elif not dropped and start >= 0:
            n = _put(spans, n, start, x, 0)
            start = np.int64(-1)
        step = min(far_v, far_u)
        x += step
        far_v, far_u = far_v - step, far_u - step
        # From edge to edge a walk takes one of two numbers of pixels, which params hold: no division here.
        if far_v == 0:
            on_v = not on_v
            far_v, over_v = _edge(params, 6 if on_v else 8, over_v, step_v)
        if far_u == 0:
            on_u = not on_u
            far_u, over_u = _edge(params, 10 if on_u else 12, over_u, step_u)
    if start >= 0:
        n = _put(spans, n, start, np.int64(width), 0)
    return n, until


@njit(cache=True, nogil=True, inline="always")
def _edge(params, at, over, step):
    """Pixels to the next edge, and how far past it: of this stretch ``params[at]`` steps leave ``params[at + 1]``."""
    whole, rest = params[at], params[at + 1]
    if over < rest:
        return whole + 1, over + step - rest
    return whole, over - rest


@njit(cache=True, nogil=True)
def _cell_spans(params, bits, rows, columns, y, width, spans):
    row = y * rows // params[0]
    until = ((row + 1) * params[0] + rows - 1) // rows
    n, start = 0, np.int64(-1)
    if row >= rows:
        return n, _FAR
    for j in range(columns):
        if bits[row * columns + j]:
            if start < 0:
                start = (j * params[1] + columns - 1) // columns
        elif start >= 0:
            n = _clipped(spans, n, start, (j * params[1] + columns - 1) // columns, width)
            start = np.int64(-1)
    return (n if start < 0 else _clipped(spans, n, start, params[1], width)), until


@njit(cache=True, nogil=True, inline="always")
def _clipped(spans, n, start, end, width):
    end = min(end, width)
    return _put(spans, n, start, end, 0) if start < end else n


@njit(cache=True, nogil=True)
def _mask_spans(bits, first, width, spans):
    n, x, start = 0, np.int64(0), np.int64(-1)
    while x < width:
        # Most of a mask is empty: to the next edge, as far as eight bytes reach.
        place = first + x
        skip = place & 7
        word = load8(ahead(bits, place >> 3))
        alike = lowest((word if start < 0 else ~word) >> np.uint64(skip))
        x += min(alike, 64 - skip)
        if x >= width:
            break
        if alike < 64 - skip:
            if start >= 0:
                n = _put(spans, n, start, x, 0)
            start = x if start < 0 else np.int64(-1)
    return n if start < 0 else _put(spans, n, start, width, 0)


@njit(cache=True, nogil=True)
def count(kind, params, bits, height, width):
    """Dropped pixels of each sample, int64 ``[B]``; a pixel under several boxes counts once."""
    samples, n_params = params.shape
    rows, columns = bits.shape[1:]
    overlapping = (kind == BOXES and n_params > 4) or kind == BLOCKS
    spans = np.empty(3 * most_spans(kind, n_params, width), np.int32)
    line = np.zeros(width if overlapping else 1, np.uint8)
    out = np.zeros(samples, np.int64)
    for b in range(samples):
        own = ahead(data(params), b * n_params)
        flags = ahead(data(bits), b * rows * columns if len(bits) > 1 else 0)
        y = np.int64(0)
        while y < height:
            n, until = row_spans(kind, own, n_params, flags, rows, columns, y, width, data(spans))
            dropped = 0
            if overlapping and n > 1:
                line[:] = 0
                for i in range(n):
                    line[spans[3 * i] : spans[3 * i + 1]] = 1
                dropped = line.sum()
            else:
                for i in range(n):
                    dropped += spans[3 * i + 1] - spans[3 * i]
            until = min(until, height)
            out[b] += dropped * (until - y)
            y = until
    return out


@njit(cache=True, nogil=True)
def bounds(kind, params, bits, height, width):
    """What holds all dropped pixels of each sample, int64 ``[B, 4]``: top, left, bottom, right; all 0 without any.

    For grids and masks, which mostly reach everywhere, it is the canvas.
    """
    samples, n_params = params.shape
    rows, columns = bits.shape[1:]
    spans = np.empty(3 * most_spans(kind, n_params, width), np.int32)
    out = np.zeros((samples, 4), np.int64)
    for b in range(samples):
        if kind in (GRID, MASK):
            out[b, 2], out[b, 3] = height, width
            continue
        own = ahead(data(params), b * n_params)
        flags = ahead(data(bits), b * rows * columns if len(bits) > 1 else 0)
        top, left, bottom, right = height, width, np.int64(0), np.int64(0)
        y = np.int64(0)
        while y < height:
            n, until = row_spans(kind, own, n_params, flags, rows, columns, y, width, data(spans))
            if n:
                top, bottom = min(top, y), min(until, height)
            for i in range(n):
                left, right = min(left, np.int64(spans[3 * i])), max(right, np.int64(spans[3 * i + 1]))
            y = until
        if bottom:
            out[b, 0], out[b, 1], out[b, 2], out[b, 3] = top, left, bottom, right
    return out
