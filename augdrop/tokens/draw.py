"""Draws of tokens by key: what a sample keeps depends on (seed, stream, key, epoch), and not on its batch."""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.rng import FIRST, block


@njit(cache=True, nogil=True)
def subsets(stream, keys, epochs, total, count):
    """``count`` of ``total`` numbers for each sample, every set as likely, ascending: int64 ``[B, count]``."""
    out = np.empty((len(keys), count), np.int64)
    deck, chosen = np.empty(total, np.int64), np.empty(total, np.bool_)
    # The fewer are drawn, be it those that stay or those that go; the first of a shuffled deck.
    few = min(count, total - count)
    for b in range(len(keys)):
        for i in range(total):
            deck[i], chosen[i] = i, few != count
        for i in range(0, few, 2):
            w0, w1, w2, w3 = block(stream, keys[b], epochs[b], FIRST + i // 2)
            for lane in range(min(2, few - i)):
                high, low = (w0, w1) if lane == 0 else (w2, w3)
                u = np.float64((high << np.uint64(21)) | (low >> np.uint64(11))) * 2.0**-53
                j = i + lane + min(np.int64(u * (total - i - lane)), total - i - lane - 1)
                deck[i + lane], deck[j] = deck[j], deck[i + lane]
                chosen[deck[i + lane]] = few == count
        k = 0
        for i in range(total):
            if chosen[i]:
                out[b, k] = i
                k += 1
    return out
