"""Rare events: not a draw for every place, but one for every gap from an event to the next.

The logarithm is worked out here, by a series, and not by the machine's library: it then fills wide registers, takes a
third of the time, and a gap is the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from augdrop.memory import address, ahead, pointer
from augdrop.rng import uniform_pair

_ROOT = np.int64(0x3FE6A09E667F3BCD)
"""The bits of the square root of one half: mantissas are taken from there to twice it, so that logarithms are small."""

_LN2 = math.log(2.0)

_MOST = 64
"""Blocks of draws at once; what they need stays in the fastest cache."""

ROOM = 6 * _MOST
"""Float64 numbers that `gaps` needs room for."""


@njit(cache=True, nogil=True)
def skip_scale(probability):
    """What `gaps` needs to know of a probability above 0."""
    return 1.0 / math.log1p(-probability) if probability < 1.0 else -0.0


@njit(cache=True, nogil=True)
def blocks_for(events):
    """How many blocks of draws to take at once where so many events are expected: two a block, and some to spare."""
    return min(_MOST, np.int64(events / 2) + 4)


@njit(cache=True, nogil=True, error_model="numpy")
def gaps(stream, key, epoch, first, blocks, scale, limit, room):
    """How many failures come before each next success, at most ``limit``: two a block, a pointer to int64 in ``room``.

    A uniform is a multiple of 2**-53, so 1 - u is exact.
    """
    # One loop a step, each of which LLVM turns into wide registers.
    n, most = 2 * blocks, np.float64(limit)
    raw, mantissa, exponent = room, ahead(room, n), ahead(room, 2 * n)
    for i in range(blocks):
        u, v = uniform_pair(stream, key, epoch, first + i)
        raw[2 * i], raw[2 * i + 1] = 1.0 - u, 1.0 - v
    bits, without = pointer(address(raw), np.int64), pointer(address(mantissa), np.int64)
    for i in range(n):
        power = (bits[i] - _ROOT) >> 52
        without[i] = bits[i] - (power << 52)
        exponent[i] = np.float64(power)
    for i in range(n):
        f = mantissa[i] - 1.0
        s = f / (2.0 + f)
        # log(1 + f) = 2 (s + s^3 / 3 + s^5 / 5 + ...), where 2 s = f - s f.
        log = exponent[i] * _LN2 + (f - s * (f - _series(s * s)))
        raw[i] = min(np.floor(log * scale), most)
    for i in range(n):
        bits[i] = np.int64(raw[i])
    return bits


@njit(cache=True, nogil=True, inline="always")
def _series(z):
    total = 2.0 / 21.0
    total = total * z + 2.0 / 19.0
    total = total * z + 2.0 / 17.0
    total = total * z + 2.0 / 15.0
    total = total * z + 2.0 / 13.0
    total = total * z + 2.0 / 11.0
    total = total * z + 2.0 / 9.0
    total = total * z + 2.0 / 7.0
    total = total * z + 2.0 / 5.0
    total = total * z + 2.0 / 3.0
    return total * z
