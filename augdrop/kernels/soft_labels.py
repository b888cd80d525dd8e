"""Soft targets of class indices on the CPU, in one compiled pass: a dozen small operations took longer than a paste."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor


def mixed(
    target: Tensor, others: Tensor, partner: Tensor | None, own: Tensor, classes: int, on: float, off: float
) -> Tensor:
    """float32 ``[B, classes]`` on the CPU: ``own`` share of ``on`` at a sample's class, the rest at its partner's.

    Args:
        target, others: class indices ``[B]``, known to be in range; ``partner`` (int64 ``[B]``) counts in ``others``.
        own: float64 ``[B]``.
        on, off: what a class has, and what all have, ``off`` included.

    Example:
        >>> classes, share = torch.tensor([0, 2]), torch.tensor([0.75, 1.0], dtype=torch.float64)
        >>> mixed(classes, classes, torch.tensor([1, 0]), share, 3, 1.0, 0.0)
        tensor([[0.7500, 0.0000, 0.2500],
                [0.0000, 0.0000, 1.0000]])
    """
    out = torch.empty((len(target), classes), dtype=torch.float32)
    mine = indices(target)
    theirs = mine if partner is None else (mine if others is target else indices(others))[partner.numpy()]
    _write(out.numpy(), mine, theirs, own.numpy(), on, off)
    return out


def indices(target: Tensor) -> np.ndarray:
    """Class indices of any integer dtype as int64."""
    return np.ascontiguousarray(target.numpy(), np.int64)


@njit(cache=True, nogil=True)
def first_outside(target, classes):
    """The first position whose class is not one of so many; -1 if there is none."""
    for b in range(len(target)):
        if target[b] < 0 or target[b] >= classes:
            return b
    return -1


@njit(cache=True, nogil=True)
def _write(out, target, theirs, own, on, off):
    for b in range(len(target)):
        row = out[b]
        row[:] = np.float32(off)
        row[theirs[b]] = np.float32(off + (1 - own[b]) * on)
        row[target[b]] = np.float32(off + on) if target[b] == theirs[b] else np.float32(off + own[b] * on)
