"""Pairing: whose pixels a mixed sample gets, which samples share a draw, and who may be overwritten when."""

from __future__ import annotations

import numpy as np
from numba import njit

from augdrop.rng import Draws

PER = ("sample", "pair", "batch")


def pair(order_draw: np.ndarray, per: str) -> tuple[np.ndarray, np.ndarray]:
    """Partners and leaders, int64 ``[B]`` batch positions each, from one draw a sample.

    The batch is ordered by the draw, so that the pairing depends on which samples are there and not on their order.
    With ``per="sample"`` each takes from the next, cyclically. With ``"pair"`` neighbours take from each other (an odd
    one out joins the last pair to a ring of three) and share the draws of the first. With ``"batch"`` all take from the
    next and share the draws of the first. Nobody is its own partner but in a batch of one.

    Example:
        >>> pair(np.array([0.9, 0.1, 0.5, 0.7]), "sample")[0].tolist()
        [1, 2, 3, 0]
        >>> [v.tolist() for v in pair(np.array([0.9, 0.1, 0.5, 0.7]), "pair")]
        [[3, 2, 1, 0], [3, 1, 1, 3]]
    """
    n = len(order_draw)
    partner, lead = np.empty(n, np.int64), np.empty(n, np.int64)
    _pair(order_draw, 2 if per == "pair" else n, per == "sample", partner, lead)
    return partner, lead


@njit(cache=True, nogil=True)
def _pair(order_draw, ring, alone, partner, lead):
    """Cut the order into rings of ``ring`` samples (the last one may have one more) and walk each round."""
    n, start = len(order_draw), 0
    order = np.argsort(order_draw, kind="mergesort")  # stable: equal draws go by position
    while start < n:
        end = n if start + 2 * ring > n else start + ring
        for i in range(start, end):
            here = order[i]
            partner[here] = order[i + 1 if i + 1 < end else start]
            lead[here] = here if alone else order[start]
        start = end


@njit(cache=True, nogil=True)
def ends(partner):
    """The first and the last of some positions: a batch must have both."""
    first = last = partner[0]
    for other in partner:
        first, last = min(first, other), max(last, other)
    return first, last


def dataset_partners(draws: Draws, length: int) -> np.ndarray:
    """For each key a partner among ``length`` items, int64 ``[B]``; never the item whose index is the key."""
    u = draws.uniforms(2, first=1)[:, 1]
    itself = (draws.keys >= 0) & (draws.keys < length) & (length > 1)
    choices = length - itself
    index = np.minimum((u * choices).astype(np.int64), choices - 1)
    return index + (itself & (index >= draws.keys))


@njit(cache=True, nogil=True)
def write_order(partner, hit):
    """In which order samples can be painted in place from each other.

    Rows ``(sample, save it first, read the saved one)``. A sample is written only after all that read it. What is left
    are rings, and there one sample is put aside: a ring of any length costs one buffer of one sample, not a copy of the
    batch.
    """
    n = len(partner)
    readers = np.zeros(n, np.int64)
    for i in range(n):
        if hit[i] and partner[i] != i:
            readers[partner[i]] += 1
    order = np.zeros((n, 3), np.int64)
    done = np.zeros(n, np.bool_)
    free = np.empty(n, np.int64)
    waiting, count = 0, 0
    for i in range(n):
        if readers[i] == 0:
            free[waiting] = i
            waiting += 1
    ring = 0
    while count < n:
        if waiting:
            waiting -= 1
            i = free[waiting]
            order[count, 0] = i
            count += 1
            done[i] = True
            if hit[i] and partner[i] != i:
                readers[partner[i]] -= 1
                if readers[partner[i]] == 0:
                    free[waiting] = partner[i]
                    waiting += 1
            continue
        while done[ring]:
            ring += 1
        i = ring
        order[count, 1] = 1
        while not done[i]:
            order[count, 0] = i
            done[i] = True
            i = partner[i]
            order[count, 2] = i == ring
            count += 1
    return order
