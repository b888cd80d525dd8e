"""Noise: element ``e`` of a sample is word ``e % 4`` of Philox block ``e // 4``, as in `augdrop.kernels.noise`.

Where a byte is enough (``NARROW``) it is byte ``e % 16`` of block ``e // 16``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.values import INTEGER, encode, nearest


@triton.jit
def words(key, element, NARROW: tl.constexpr):
    """A word, or a byte, for each of some elements, int64."""
    if NARROW:
        return (_word(key, element >> 2) >> ((element & 3) << 3).to(tl.uint32)) & 0xFF
    return _word(key, element)


@triton.jit
def _word(key, element):
    a, b, c, d = _block(key, (element >> 2).to(tl.uint32))
    lane = (element & 3).to(tl.int32)
    return tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))


@triton.jit
def runs_of_words(key, first, ROWS: tl.constexpr, VEC: tl.constexpr, NARROW: tl.constexpr):
    """`words` of ``VEC`` elements from the block ``first [ROWS, 1]`` on, for the price of a quarter as many words."""
    blocks: tl.constexpr = VEC // 16 if NARROW else VEC // 4
    a, b, c, d = _block(key, first + tl.arange(0, blocks)[None, :].to(tl.uint32))
    out = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (ROWS, 4 * blocks))
    if NARROW:
        out = tl.reshape(tl.join(tl.join(out, out >> 16), tl.join(out >> 8, out >> 24)) & 0xFF, (ROWS, VEC))
    return out


@triton.jit
def _block(key, block):
    zero = block * 0
    return tl.philox(key, block, zero, zero, zero)


@triton.jit
def noise(
    words, drops, first, second, low, high, base, choices, quantiles,
    FORM: tl.constexpr, NORMAL: tl.constexpr, NARROW: tl.constexpr, WORD: tl.constexpr,
):  # fmt: skip
    """Elements from words, under a law; only those that drop are looked up."""
    if NORMAL:
        knot = (words >> 16).to(tl.int32)
        fraction = (words & 0xFFFF).to(tl.int32).to(tl.float32) * 1.52587890625e-05  # 2^-16
        left = tl.load(quantiles + knot, mask=drops, other=0.0)
        right = tl.load(quantiles + knot + 1, mask=drops, other=0.0)
        value = first + second * (left + (right - left) * fraction)
        if FORM == INTEGER:
            whole = nearest(value.to(tl.float64)).to(tl.int64)
            return tl.minimum(tl.maximum(whole, low.to(tl.int64)), high.to(tl.int64)).to(WORD)
        return encode(value, FORM, WORD)
    if FORM == INTEGER:
        step = (words.to(tl.uint64) * choices.to(tl.uint64)) >> (8 if NARROW else 32)
        return (base + step.to(tl.int64)).to(WORD)
    return encode(first + second * ((words >> 8).to(tl.int32).to(tl.float32) * 5.960464477539063e-08), FORM, WORD)
