"""Per-pixel noise without an image-sized buffer: element ``e`` of a sample is word ``e`` of the sample's own Philox.

The words of a sample come four to a block: counter ``(block, 0, 0, 0)``, key = the sample's noise key. `Law` says how a
32-bit word becomes a value. Uniform floats take 24 bits. The normal law interpolates a table of 65 537 quantiles, for
arithmetic that is the same on every device; it reaches |z| = 6.3. Where a byte is enough, element ``e`` is byte ``e``.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from scipy.special import ndtri
from torch import Tensor

from augdrop.errors import fail
from augdrop.kernels.casts import cast
from augdrop.memory import address, ahead, data, pointer
from augdrop.rng import philox

INTEGER, FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = range(5)
FORMS = {torch.float16: FLOAT16, torch.bfloat16: BFLOAT16, torch.float32: FLOAT32, torch.float64: FLOAT64}
_BELOW_ONE = np.float32(1 - 2.0**-24)


class Law(NamedTuple):
    """How a 32-bit word becomes a value of one dtype.

    ``narrow``: a byte is enough, for images of bytes whose values are 2, 4, … or 256 whole numbers. ``first`` and
    ``second`` are low and high (the width for floats, the count for integers), or mean and standard deviation; ``low``
    and ``high`` bound what an integer dtype can hold.
    """

    form: int
    normal: bool
    narrow: bool
    first: float
    second: float
    low: int
    high: int


@cache
def law(dtype: torch.dtype, normal: bool, first: float | None, second: float | None) -> Law:
    """The law of a noise fill for images of ``dtype``; None takes the default of that dtype."""
    if dtype.is_floating_point:
        first, second = 0.0 if first is None else first, 1.0 if second is None else second
        _check_range(dtype, normal, first, second)
        return Law(FORMS[dtype], normal, False, float(first), float(second if normal else second - first), 0, 0)
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    # A 32-bit word cannot span int64: its noise has the range of int32, as an image of counts would.
    top = min(high, 2**31 - 1)
    if normal:
        first, second = top / 2 if first is None else first, top / 4 if second is None else second
        return Law(INTEGER, True, False, first, second, low, top)
    first, second = 0 if first is None else first, top if second is None else second
    _check_range(dtype, normal, first, second)
    choices = int(second) - int(first) + 1
    narrow = dtype.itemsize == 1 and choices in (2, 4, 8, 16, 32, 64, 128, 256)
    return Law(INTEGER, False, narrow, float(int(first)), float(choices), low, high)


def _check_range(dtype: torch.dtype, normal: bool, low: float, high: float) -> None:
    if not normal and low > high:
        raise fail(
            "Noise", got=f"low={low:g}, high={high:g} for {dtype}", expected="low <= high", fix="Give both ends."
        )


@cache
def quantiles() -> Tensor:
    """float32 ``[65537]``: standard normal quantiles at i / 65536, the two infinite ends at half a 32-bit step."""
    p = np.arange(65537) / 65536
    p[0], p[-1] = 2.0**-33, 1 - 2.0**-33
    return torch.from_numpy(ndtri(p).astype(np.float32))


def words(keys: Tensor, count: int, narrow: bool = False) -> Tensor:
    """The first ``count`` words, or bytes, of each sample, int64 ``[B, count]``: the definition, on any device."""
    if narrow:
        whole = words(keys, (count + 3) // 4)
        return torch.stack([whole >> shift & 0xFF for shift in (0, 8, 16, 24)], -1).flatten(1)[:, :count]
    blocks = torch.arange((count + 3) // 4, device=keys.device)
    c = [blocks.expand(len(keys), -1), *(torch.zeros_like(blocks).expand(len(keys), -1) for _ in range(3))]
    k0, k1 = keys[:, None] & 0xFFFFFFFF, keys[:, None] >> 32 & 0xFFFFFFFF
    for _ in range(10):
        # int64 products wrap, which leaves both halves of the unsigned product in place.
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32 & 0xFFFFFFFF) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32 & 0xFFFFFFFF) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return torch.stack(c, -1).flatten(1)[:, :count]


def words_compiled(keys: Tensor, count: int, narrow: bool = False) -> Tensor:
    """`words` of keys on the host, where a hundred small operations would take longer than an image."""
    drawn = _first_words(keys.numpy(), (count + 3) // 4 if narrow else count)
    return torch.from_numpy(drawn.view(np.uint8) if narrow else drawn).to(torch.int64)[:, :count]


@njit(cache=True, nogil=True)
def _first_words(keys, count):
    blocks = (count + 3) // 4
    out = np.empty((len(keys), 4 * blocks), np.uint32)
    for b in range(len(keys)):
        _words(ahead(data(out), 4 * blocks * b), 0, blocks, np.uint64(keys[b]))
    return out


def values(law: Law, words: Tensor, dtype: torch.dtype) -> Tensor:
    """What words are worth: the definition, on any device."""
    first, second = (torch.tensor(v, dtype=torch.float32, device=words.device) for v in (law.first, law.second))
    if law.normal:
        table = quantiles().to(words.device)
        i = words >> 16
        fraction = (words & 0xFFFF).to(torch.float32) * 2.0**-16
        result = first + second * (table[i] + (table[i + 1] - table[i]) * fraction)
        return result.to(dtype) if law.form else result.to(torch.float64).round().clamp(law.low, law.high).to(dtype)
    if law.form:
        return (first + second * ((words >> 8).to(torch.float32) * 2.0**-24)).to(dtype)
    return (int(law.first) + (words * int(law.second) >> (8 if law.narrow else 32) & 0xFFFFFFFF)).to(dtype)


@njit(nogil=True)
def noise_run(job, b, start, n, out, scratch):
    """Write elements ``start`` to ``start + n`` of sample ``b`` to ``out``."""
    # One loop a step, each of which LLVM turns into wide registers.
    words = pointer(address(scratch), np.uint32)
    if job.narrow:
        skip = start & 15
        _words(words, start >> 4, ((skip + n + 127) >> 7) << 3, pointer(job.keys, np.uint64)[b])
        _scale_bytes(out, ahead(pointer(address(words), np.uint8), skip), n, np.int64(job.first), np.int64(job.second))
        return
    skip = start & 3
    # Whole registers of eight blocks: one block alone takes as long as five of them do together.
    _words(words, start >> 2, ((skip + n + 31) >> 5) << 3, pointer(job.keys, np.uint64)[b])
    words = ahead(words, skip)
    raw = ahead(pointer(address(words), np.float32), n + 8)
    first, second = np.float32(job.first), np.float32(job.second)
    if job.form == INTEGER and not job.normal:
        whole, choices = np.int64(job.first), np.uint64(job.second)
        for j in range(n):
            out[j] = cast(out[0], whole + np.int64((words[j] * choices) >> np.uint64(32)))
        return
    if job.normal:
        table = pointer(job.quantiles, np.float32)
        for j in range(n):
            knot = words[j] >> np.uint32(16)
            fraction = np.float32(words[j] & np.uint32(0xFFFF)) * np.float32(2.0**-16)
            raw[j] = first + second * (table[knot] + (table[knot + 1] - table[knot]) * fraction)
    else:
        for j in range(n):
            raw[j] = first + second * (np.float32(words[j] >> np.uint32(8)) * np.float32(2.0**-24))
    if job.form == INTEGER:
        low, high = np.float64(job.low), np.float64(job.high)
        for j in range(n):
            out[j] = cast(out[0], min(max(np.rint(np.float64(raw[j])), low), high))
    else:
        _as_bits(job.form, raw, n, out, scratch)


@njit(nogil=True)
def _scale_bytes(out, bytes_, n, first, choices):
    """Bytes as ``choices`` numbers from ``first`` on."""
    if first == 0 and choices == 256:
        for j in range(n):
            out[j] = cast(out[0], bytes_[j])
    else:
        for j in range(n):
            out[j] = cast(out[0], first + ((np.int64(bytes_[j]) * choices) >> 8))


@njit(nogil=True)
def _words(words, first, blocks, key):
    """Four words for each of some blocks."""
    zero, low = np.uint64(0), np.uint64(0xFFFFFFFF)
    k0, k1 = key & low, key >> np.uint64(32)
    for i in range(blocks):
        a, b, c, d = philox(np.uint64(first + i) & low, zero, zero, zero, k0, k1)
        words[4 * i], words[4 * i + 1] = np.uint32(a), np.uint32(b)
        words[4 * i + 2], words[4 * i + 3] = np.uint32(c), np.uint32(d)


@njit(nogil=True)
def _as_bits(form, raw, n, out, scratch):
    """Write float32 values, rounded to ``form`` (nearest, ties to even), as the integers of their bytes."""
    bits = pointer(address(raw), np.int32)
    if form == FLOAT32:
        for j in range(n):
            out[j] = cast(out[0], bits[j])
    elif form == FLOAT64:
        behind = address(scratch) + 16 * (n + 16)
        wide, exact = pointer(behind, np.float64), pointer(behind, np.int64)
        for j in range(n):
            wide[j] = raw[j]
        for j in range(n):
            out[j] = cast(out[0], exact[j])
    elif form == BFLOAT16:
        for j in range(n):
            out[j] = cast(out[0], (bits[j] + 0x7FFF + ((bits[j] >> 16) & 1)) >> 16)
    else:
        for j in range(n):
            out[j] = cast(out[0], _half(np.int64(bits[j]) & 0xFFFFFFFF))


@njit(cache=True, nogil=True, inline="always")
def _half(v):
    sign = (v >> 16) & 0x8000
    v &= 0x7FFFFFFF
    if v >= 0x477FF000:  # rounds to at least 65536
        return sign | 0x7C00
    exponent = (v >> 23) - 112
    mantissa = (v & 0x7FFFFF) | 0x800000
    shift = np.int64(13) if exponent > 0 else 14 - exponent
    if shift > 24:
        return sign
    kept = mantissa >> shift
    rest = mantissa & ((np.int64(1) << shift) - 1)
    tie = np.int64(1) << (shift - 1)
    if rest > tie or (rest == tie and kept & 1):
        kept += 1
    # The mantissa's leading one is the exponent's last unit, so that a carry rounds up into the next power of two.
    return sign | (kept + ((exponent - 1) << 10) if exponent > 0 else kept)
