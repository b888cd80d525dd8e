"""Which elements of a tile are dropped, from the packed params that the CPU reads, too: see `augdrop.regions.spans`.

A tile is ``[ROWS, VEC]``: as many vectors of elements that follow each other in a plane. ``y`` is ``[ROWS, 1]`` where
no vector crosses the end of a row, else ``[ROWS, VEC]``. Where ``K`` channels are interleaved, ``column`` counts
elements: the pixel is ``column // K``. Boxes and blocks then are ``K`` times as wide, and nothing is divided.

Params and bits are those of one sample, or ``[ROWS, 1]`` of one for each row (``MANY``).
"""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.tiles import some

BOXES: tl.constexpr = tl.constexpr(0)
BLOCKS: tl.constexpr = tl.constexpr(1)
GRID: tl.constexpr = tl.constexpr(2)
CELLS: tl.constexpr = tl.constexpr(3)


@triton.jit
def dropped(
    params, bits, n_params, bit_rows, bit_columns, height, width, element, y, column, inside, top, bottom,
    KIND: tl.constexpr, K: tl.constexpr, MANY: tl.constexpr,
):  # fmt: skip
    """Whether each element drops, and in which box it is (the last of several; 0 for other kinds).

    ``params`` and ``bits`` point to the sample's own; the tile lies in rows ``top`` to ``bottom``, both included.
    """
    none = ((y + column) < 0) & inside
    which = tl.where(none, 1, 0)
    if KIND == BOXES:
        drops, which = _in_boxes(params, n_params // 4, height, width, y, column, top, bottom, none, which, K, MANY)
    elif KIND == BLOCKS:
        drops = _in_blocks(params, n_params, y, column, top, bottom, none, K, MANY)
    elif KIND == GRID:
        drops = _in_grid(params, y, column // K)
    elif KIND == CELLS:
        drops = _in_cells(params, bits, bit_rows, bit_columns, y, column // K, inside)
    else:
        drops = _in_mask(bits, width, element, y, column, inside, K)
    return drops & inside, which


@triton.jit
def _in_boxes(
    params, count, height, width, y, column, top, bottom, drops, which, K: tl.constexpr, MANY: tl.constexpr
):  # fmt: skip
    for i in range(count):
        y0 = tl.maximum(tl.load(params + 4 * i), 0)
        x0 = tl.maximum(tl.load(params + 4 * i + 1), 0)
        y1 = tl.minimum(tl.load(params + 4 * i + 2), height)
        x1 = tl.minimum(tl.load(params + 4 * i + 3), width)
        if MANY:  # noqa: SIM114 (the one is known when the kernel is compiled, the other is not)
            drops, which = _in_box(y0, x0, y1, x1, i, y, column, drops, which, K)
        elif (y0 <= bottom) & (y1 > top) & (y0 < y1) & (x0 < x1):
            drops, which = _in_box(y0, x0, y1, x1, i, y, column, drops, which, K)
    return drops, which


@triton.jit
def _in_box(y0, x0, y1, x1, i, y, column, drops, which, K: tl.constexpr):
    low, high = (x0 * K).to(tl.int32), (x1 * K).to(tl.int32)
    within = (y >= y0.to(tl.int32)) & (y < y1.to(tl.int32)) & (column >= low) & (column < high)
    return drops | within, tl.where(within, i, which)


@triton.jit
def _in_blocks(params, n_params, y, column, top, bottom, drops, K: tl.constexpr, MANY: tl.constexpr):
    high, wide = tl.load(params).to(tl.int32), tl.load(params + 1).to(tl.int32)
    count = tl.load(params + 2).to(tl.int32)
    # Corners run from the top down: the first whose block ends behind the tile's first row, and the first too low.
    start = _corners_above(params + 3, top - high + 1, count, n_params)
    end = _corners_above(params + 3, bottom + 1, count, n_params)
    for i in range(tl.max(end - start) if MANY else end - start):
        corner, there = params + 3 + 2 * (start + i), start + i < end
        y0 = tl.load(corner, mask=there, other=0).to(tl.int32)
        x0 = tl.load(corner + 1, mask=there, other=0).to(tl.int32)
        within = there & (y >= y0) & (y < y0 + high) & (column >= x0 * K) & (column < (x0 + wide) * K)
        drops = drops | within
    return drops


@triton.jit
def _corners_above(corners, row, count, most):
    """How many of the corners lie above a row, by halving; ``most`` is more than there are."""
    low, high = count * 0, count
    while most > 0:
        left, middle = low < high, (low + high) // 2
        above = left & (tl.load(corners + 2 * middle, mask=left, other=0) < row)
        low = tl.where(above, middle + 1, low)
        high = tl.where(above, high, tl.minimum(middle, high))
        most = most // 2
    return low


@triton.jit
def _in_grid(params, y, x):
    # A period is 2^32, as in `augdrop.regions.grid`: 32-bit integers wrap around where the lattice does.
    down, along = tl.load(params).to(tl.int32), tl.load(params + 1).to(tl.int32)
    cos, sin = tl.load(params + 2).to(tl.int32), tl.load(params + 3).to(tl.int32)
    bar = tl.load(params + 4)
    rows, columns = sin * x + (down + cos * y), cos * x + (along - sin * y)
    on_row, on_column = rows.to(tl.uint32, bitcast=True) < bar, columns.to(tl.uint32, bitcast=True) < bar
    return (on_row | on_column) == (tl.load(params + 5) != 0)


@triton.jit
def _in_cells(params, bits, rows, columns, y, x, inside):
    high, wide = tl.load(params).to(tl.uint32), tl.load(params + 1).to(tl.uint32)
    row = (y.to(tl.uint32) * rows.to(tl.uint32) // high).to(tl.int32)
    column = (x.to(tl.uint32) * columns.to(tl.uint32) // wide).to(tl.int32)
    there = inside & (row < rows) & (column < columns)
    return tl.load(bits + (row * columns + column), mask=there, other=0) != 0


@triton.jit
def _in_mask(bits, width, element, y, column, inside, K: tl.constexpr):
    if K == 1:
        # A vector's bits lie in one byte or two, which are read once.
        first = tl.min(element, 1)[:, None]
        there, place = some(inside), bits + (first >> 3)
        octets = tl.load(place, mask=there, other=0).to(tl.int32)
        if element.shape[1] > 8:
            octets |= tl.load(place + 1, mask=there, other=0).to(tl.int32) << 8
        return ((octets >> ((first & 7) + (element - first))) & 1) != 0
    pixel = y * width + column // K
    octets = tl.load(bits + (pixel >> 3), mask=inside, other=0).to(tl.int32)
    return ((octets >> (pixel & 7)) & 1) != 0
