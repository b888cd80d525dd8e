"""In which order the samples of a batch are painted, when they copy from each other."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

_ORDERS: dict[int, Tensor] = {}


def in_order(n: int) -> Tensor:
    """Rows ``(sample, 0, 0)``, one after the other."""
    order = _ORDERS.get(n)
    if order is None:
        if len(_ORDERS) > 64:
            _ORDERS.clear()
        order = _ORDERS[n] = torch.zeros(n, 3, dtype=torch.int64)
        order[:, 0] = torch.arange(n)
    return order


@njit(cache=True, nogil=True)
def read_order(partner, hit):
    """Rows ``(sample, 0, 0)``, each after its partner, whose rows are then still in the cache."""
    n = len(partner)
    order = np.zeros((n, 3), np.int64)
    done = np.zeros(n, np.bool_)
    count = 0
    for first in range(n):
        i = first
        while not done[i]:
            done[i] = True
            order[n - 1 - count, 0] = i
            count += 1
            if hit[i]:
                i = partner[i]
    return order


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
