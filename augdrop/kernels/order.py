"""In which order the samples of a batch are painted, when they copy from each other."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.pairing import write_order as write_order

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
