"""Mixing two images, in the working type and with one rounding after each operation: see `augdrop.kernels.blend`."""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.values import decode, encode


@triton.jit
def mix(own, other, weight, FORM: tl.constexpr, WIDE: tl.constexpr):
    """``own * (1 - weight) + other * weight``, the weight being float64."""
    mixed = decode(own, FORM, WIDE) * (1 - weight).to(WIDE) + decode(other, FORM, WIDE) * weight.to(WIDE)
    return encode(mixed, FORM, own.dtype)
