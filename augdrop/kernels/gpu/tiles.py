"""Where the elements of a tile lie: in planes whose rows touch, with channels interleaved, or with any strides."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile(
    number, height, width,
    K: tl.constexpr, WHOLE: tl.constexpr, EVEN: tl.constexpr, ROWS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """A tile of ``ROWS`` vectors of ``VEC`` elements of a plane of ``height * width * K``.

    Returns the elements, the number of each vector's first, row and column of each, whether they are inside, and the
    first and last row. ``WHOLE``: vectors divide rows. ``EVEN``: they divide the plane.
    """
    start = number * (ROWS * VEC)
    first = start + tl.arange(0, ROWS)[:, None] * VEC
    element, y, column, inside = elements(first, height, width, K, WHOLE, EVEN, VEC)
    return element, first, y, column, inside, start // (width * K), (start + (ROWS * VEC - 1)) // (width * K)


@triton.jit
def elements(first, height, width, K: tl.constexpr, WHOLE: tl.constexpr, EVEN: tl.constexpr, VEC: tl.constexpr):
    """Of vectors that begin at ``first [ROWS, 1]``: the elements, row and column of each, whether they are inside."""
    line = width * K
    lane = tl.arange(0, VEC)[None, :]
    element = first + lane
    if WHOLE:
        y = first // line
        column = (first - y * line) + lane
    else:
        y = element // line
        column = element - y * line
    return element, y, column, (first if EVEN else element) < height * line


@triton.jit
def offsets(element, y, column, row_stride, column_stride, DENSE: tl.constexpr):
    """Where elements lie, from the start of their plane."""
    if DENSE:
        return element
    return y * row_stride + column * column_stride


@triton.jit
def store(out, value, drops, inside, SPLIT: tl.constexpr):
    """Write what drops and nothing else: whole vectors where all of one drops, else element by element."""
    if SPLIT:
        whole = (tl.min((drops & inside).to(tl.int32), 1) != 0)[:, None]
        tl.store(out, value, mask=whole & inside)
        tl.store(out, value, mask=drops & (whole == 0))
    else:
        tl.store(out, value, mask=drops)


@triton.jit
def some(flags):
    """Whether any element of a vector is set, ``[ROWS, 1]``."""
    return (tl.max(flags.to(tl.int32), 1) != 0)[:, None]
