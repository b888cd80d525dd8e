"""Between the words that images are moved as and the numbers that they mean.

Kernels see images as integers of their elements' size; ``FORM`` says what the bits are, see `augdrop.kernels.noise`.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTEGER: tl.constexpr = tl.constexpr(0)
FLOAT16: tl.constexpr = tl.constexpr(1)
BFLOAT16: tl.constexpr = tl.constexpr(2)
FLOAT32: tl.constexpr = tl.constexpr(3)


@triton.jit
def decode(words, FORM: tl.constexpr, WIDE: tl.constexpr):
    """Elements as numbers of the working type."""
    if FORM == INTEGER:
        return words.to(WIDE)
    elif FORM == FLOAT16:
        return words.to(tl.float16, bitcast=True).to(WIDE)
    elif FORM == BFLOAT16:
        return (words.to(tl.int32) << 16).to(tl.float32, bitcast=True).to(WIDE)
    elif FORM == FLOAT32:
        return words.to(tl.float32, bitcast=True).to(WIDE)
    else:
        return words.to(tl.float64, bitcast=True).to(WIDE)


@triton.jit
def encode(value, FORM: tl.constexpr, WORD: tl.constexpr):
    """Numbers as elements: to the nearest, ties to even."""
    if FORM == INTEGER:
        return nearest(value).to(WORD)
    elif FORM == FLOAT16:
        return value.to(tl.float32).to(tl.float16).to(WORD, bitcast=True)
    elif FORM == BFLOAT16:
        # By hand: the interpreter cuts off.
        bits = value.to(tl.float32).to(tl.int32, bitcast=True)
        bits = tl.where(value == value, bits + 0x7FFF + ((bits >> 16) & 1), 0x7FC00000)
        return (bits >> 16).to(WORD)
    elif FORM == FLOAT32:
        return value.to(tl.float32).to(WORD, bitcast=True)
    else:
        return value.to(tl.float64).to(WORD, bitcast=True)


@triton.jit
def nearest(value):
    """Whole numbers, ties to even: far out there are no others, and an addition gets the rest there and back."""
    far: tl.constexpr = 2251799813685248.0 if value.dtype == tl.float64 else 4194304.0
    there = value + 3 * far
    return tl.where(tl.abs(value) < far, there - 3 * far, value)


@triton.jit
def quotient(a, b, WIDE: tl.constexpr):
    """``a / b``, rounded as IEEE wants it: for float32 the plain sign is an estimate."""
    if WIDE == tl.float32:  # noqa: SIM300
        return tl.div_rn(a.to(WIDE), b.to(WIDE))
    else:
        return a.to(WIDE) / b.to(WIDE)
