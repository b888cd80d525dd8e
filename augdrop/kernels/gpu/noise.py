"""Noise: element ``e`` of a sample is word ``e % 4`` of Philox block ``e // 4``, as in `augdrop.kernels.noise`."""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.values import INTEGER, encode, nearest


@triton.jit
def words(key, element):
    """A word for each of some elements, int64."""
    a, b, c, d = _block(key, (element >> 2).to(tl.uint32))
    lane = (element & 3).to(tl.int32)
    return tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))


@triton.jit
def runs_of_words(key, first, ROWS: tl.constexpr, VEC: tl.constexpr):
    """Words of ``VEC`` elements from the block ``first [ROWS, 1]`` on, for the price of a quarter as many."""
    a, b, c, d = _block(key, first + tl.arange(0, VEC // 4)[None, :].to(tl.uint32))
    return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (ROWS, VEC))


@triton.jit
def _block(key, block):
    zero = block * 0
    return tl.philox(key, block, zero, zero, zero)


@triton.jit
def noise(
    words, drops, first, second, low, high, base, choices, quantiles,
    FORM: tl.constexpr, NORMAL: tl.constexpr, WORD: tl.constexpr,
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
        step = (words.to(tl.uint64) * choices.to(tl.uint64)) >> 32
        return (base + step.to(tl.int64)).to(WORD)
    return encode(first + second * ((words >> 8).to(tl.int32).to(tl.float32) * 5.960464477539063e-08), FORM, WORD)
