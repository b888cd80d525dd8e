"""Counter-based random numbers: what a sample draws depends on (seed, stream, key, epoch, draw) and on nothing else.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3"). The 64-bit Philox key
names a seed and a stream; the 128-bit counter is (sample key, epoch, block). A block gives four 32-bit words, or two
uniforms of 53 bits.

Block 0 of every stream belongs to the transform itself (is the sample hit; its place among its partners), block 1 is
the key of its noise fill, and a region sampler draws from block ``FIRST`` on.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

FIRST = 2
"""The first block that a region sampler may use."""

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_S5, _S6, _S26 = np.uint64(5), np.uint64(6), np.uint64(26)
_TO_UNIT = 2.0**-53
BOOL, UINT8, INT64 = np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.int64)
"""Dtypes that plans need often: of a type NumPy makes one each time."""


class Draws(NamedTuple):
    """The random numbers of one batch: a stream's key with a sample key and an epoch for each sample."""

    stream: np.uint64
    keys: np.ndarray  # int64 [B]
    epochs: np.ndarray  # int64 [B]

    def uniforms(self, n: int, first: int = FIRST) -> np.ndarray:
        """``n`` uniforms in [0, 1) a sample, float64 ``[B, n]``, from block ``first`` on (two a block)."""
        return uniforms(self.stream, self.keys, self.epochs, first, n)

    def words(self, n: int = 1, first: int = 0) -> np.ndarray:
        """``n`` unsigned 64-bit words a sample, uint64 ``[B, n]``: the first halves of the blocks from ``first`` on."""
        return words(self.stream, self.keys, self.epochs, first, n)

    def header(self, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Blocks 0 and 1: whether each sample is hit, bool ``[B]``, and the key of its noise, int64 ``[B]``.

        ``chances``: float64 ``[B]``, or ``[1]`` for all.
        """
        stream, keys, epochs = self
        hit, noise = np.empty(len(keys), BOOL), np.empty(len(keys), INT64)
        _header(stream, keys, epochs, chances, hit, noise)
        return hit, noise

    def noise(self) -> np.ndarray:
        """Block 1: the key of each sample's noise, int64 ``[B]``."""
        return self.words(1, first=1)[:, 0].view(INT64)

    def order(self) -> np.ndarray:
        """Block 0: by what the samples of a batch are put in order, float64 ``[B]``."""
        return self.uniforms(2, first=0)[:, 1]

    def __len__(self) -> int:
        return len(self.keys)


@lru_cache(1024)
def stream_key(seed: int, name: str) -> np.uint64:
    """The Philox key of stream ``name`` under ``seed`` (any integer; its low 64 bits count).

    Example:
        >>> len({int(stream_key(0, name)) for name in ("Cutout", "Cutout", "0/Cutout")})
        2
    """
    digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    counter = [digest >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)]
    w = philox_reference(
        np.array(counter, np.uint32), np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], np.uint32)
    )
    return np.uint64(int(w[0]) | int(w[1]) << 32)


@njit(cache=True, nogil=True, inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox4x32 on uint64 values below 2**32; four such values."""
    for _ in range(10):
        p0 = c0 * _M0
        p1 = c2 * _M1
        c0, c1, c2, c3 = (p1 >> _S32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _S32) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True, nogil=True, inline="always")
def block(stream, key, epoch, index):
    """Block ``index`` of one sample: four 32-bit words, as uint64."""
    k, e, i = np.uint64(key), np.uint64(epoch) & _LOW, np.uint64(index) & _LOW
    return philox(k & _LOW, k >> _S32, e, i, stream & _LOW, stream >> _S32)


@njit(cache=True, nogil=True, inline="always")
def uniform_pair(stream, key, epoch, index):
    """The two uniforms in [0, 1) of block ``index`` of one sample."""
    a, b, c, d = block(stream, key, epoch, index)
    return (
        np.float64(((a >> _S5) << _S26) | (b >> _S6)) * _TO_UNIT,
        np.float64(((c >> _S5) << _S26) | (d >> _S6)) * _TO_UNIT,
    )


@njit(cache=True, nogil=True)
def words_run(stream, key, epoch, first, blocks, out):
    """The words of some blocks of one sample, four a block, to a pointer to uint32; a loop for wide registers."""
    for i in range(blocks):
        a, b, c, d = block(stream, key, epoch, first + i)
        out[4 * i], out[4 * i + 1] = np.uint32(a), np.uint32(b)
        out[4 * i + 2], out[4 * i + 3] = np.uint32(c), np.uint32(d)


@njit(cache=True, nogil=True)
def uniforms(stream, keys, epochs, first, n):
    """``n`` uniforms in [0, 1) for each sample key, float64 ``[B, n]``, two a block from block ``first`` on."""
    out = np.empty((len(keys), n))
    for b in range(len(keys)):
        for i in range(0, n, 2):
            u, v = uniform_pair(stream, keys[b], epochs[b], first + i // 2)
            out[b, i] = u
            if i + 1 < n:
                out[b, i + 1] = v
    return out


@njit(cache=True, nogil=True)
def words(stream, keys, epochs, first, n):
    """``n`` words of 64 bits for each sample key, uint64 ``[B, n]``: the first halves of blocks ``first`` and on."""
    out = np.empty((len(keys), n), np.uint64)
    for b in range(len(keys)):
        for i in range(n):
            w0, w1, _, _ = block(stream, keys[b], epochs[b], first + i)
            out[b, i] = w0 | (w1 << _S32)
    return out


def philox_reference(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10 in NumPy, the definition: uint32 counters ``[..., 4]`` and key ``[2]`` to uint32 ``[..., 4]``."""
    c = counter.astype(np.uint64)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c0, c1, c2, c3 = (c[..., i] for i in range(4))
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _S32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _S32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def uniforms_reference(stream: np.uint64, keys: np.ndarray, epochs: np.ndarray, first: int, n: int) -> np.ndarray:
    """`uniforms` in NumPy, equal bit for bit: what the compiled version is tested against."""
    blocks = (n + 1) // 2
    counter = np.empty((len(keys), blocks, 4), np.uint64)
    k = keys.astype(np.int64).view(np.uint64)[:, None]
    counter[..., 0], counter[..., 1] = k & _LOW, k >> _S32
    counter[..., 2] = epochs.astype(np.int64).view(np.uint64)[:, None] & _LOW
    counter[..., 3] = np.arange(first, first + blocks, dtype=np.uint64)
    key = np.array([int(stream) & 0xFFFFFFFF, int(stream) >> 32], np.uint32)
    w = philox_reference(counter, key).astype(np.uint64)
    pairs = ((w[..., 0::2] >> _S5) << _S26) | (w[..., 1::2] >> _S6)
    return (pairs.astype(np.float64) * _TO_UNIT).reshape(len(keys), -1)[:, :n]


@njit(cache=True, nogil=True)
def _header(stream, keys, epochs, chances, hit, noise):
    for b in range(len(keys)):
        chance = chances[b if len(chances) > 1 else 0]
        hit[b] = uniform_pair(stream, keys[b], epochs[b], 0)[0] < chance
        w0, w1, _, _ = block(stream, keys[b], epochs[b], 1)
        noise[b] = np.int64(w0 | (w1 << _S32))
