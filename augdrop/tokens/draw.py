"""Draws of tokens by key: what a sample keeps depends on (seed, stream, key, epoch), and not on its batch."""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.rng import FIRST, block


@njit(cache=True, nogil=True)
def subsets(stream, keys, epochs, total, count):
    """``count`` of ``total`` numbers for each sample, every set as likely, ascending: int64 ``[B, count]``."""
    out = np.empty((len(keys), count), np.int64)
    # The fewer are drawn, be it those that stay or those that go; the first of a shuffled deck.
    few = min(count, total - count)
    stays = np.uint8(few == count)
    pairs, deck = np.empty(((few + 1) // 2, 2)), np.empty(total, np.int32)
    chosen, row = np.empty(total, np.uint8), np.empty(total + 1, np.int64)
    for b in range(len(keys)):
        # Apart from the shuffle, so that the compiler draws several blocks at once; signed, which converts faster.
        for i in range(len(pairs)):
            w0, w1, w2, w3 = block(stream, keys[b], epochs[b], FIRST + i)
            pairs[i, 0] = np.float64(np.int64((w0 << np.uint64(21)) | (w1 >> np.uint64(11)))) * 2.0**-53
            pairs[i, 1] = np.float64(np.int64((w2 << np.uint64(21)) | (w3 >> np.uint64(11)))) * 2.0**-53
        for i in range(total):
            deck[i] = i
            chosen[i] = 1 - stays
        for i in range(few):
            j = i + min(np.int64(pairs[i >> 1, i & 1] * (total - i)), total - i - 1)
            chosen[deck[j]] = stays
            deck[j] = deck[i]
        # Every number is written, and stands if it was chosen: no branch to guess.
        n = 0
        for i in range(total):
            row[n] = i
            n += chosen[i]
        out[b] = row[:count]
    return out
