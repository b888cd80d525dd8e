"""The blur fill: cells interpolated bilinearly, along and then down, as in `augdrop.kernels.blur`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def smooth(cells, rows, columns, y, x, drops, FACTOR: tl.constexpr, WIDE: tl.constexpr):
    """The smooth image at pixels, in the working type; ``cells`` points to the plane's own."""
    above, here, below = _weights(y, FACTOR, WIDE)
    left, there, right = _weights(x, FACTOR, WIDE)
    upper, lower = tl.maximum(above, 0) * columns, tl.minimum(above + 1, rows - 1) * columns
    first, second = tl.maximum(left, 0), tl.minimum(left + 1, columns - 1)
    top = _at(cells, upper + first, drops) * there + _at(cells, upper + second, drops) * right
    bottom = _at(cells, lower + first, drops) * there + _at(cells, lower + second, drops) * right
    return top * here + bottom * below


@triton.jit
def _at(cells, place, drops):
    return tl.load(cells + place, mask=drops, other=0.0)


@triton.jit
def _weights(n, FACTOR: tl.constexpr, WIDE: tl.constexpr):
    """The cell before a pixel (-1 before the first), and how much that one and the one behind count."""
    steps = 2 * n + (1 + FACTOR)
    rest = steps % (2 * FACTOR)
    if FACTOR & (FACTOR - 1) == 0:
        behind = rest.to(WIDE) * (0.5 / FACTOR)  # exact
        return steps // (2 * FACTOR) - 1, 1 - behind, behind
    share = rest.to(tl.float64) / tl.full((), 2 * FACTOR, tl.float64)
    return steps // (2 * FACTOR) - 1, (1 - share).to(WIDE), share.to(WIDE)
