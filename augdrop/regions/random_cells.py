"""Samplers of cells: hidden at random (Hide-and-Seek) or by a score map (Attentive CutMix)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.beta import quantiles
from augdrop.errors import fail
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, once_a_size
from augdrop.regions.cells import Cells
from augdrop.regions.random_boxes import below
from augdrop.rng import FIRST, Draws, block, uniform_pair


@njit(cache=True, nogil=True)
def _hidden(stream, keys, epochs, sides, drop_ratio, height, width):
    smallest = max(height, width)
    for side in sides:
        if side > 0:
            smallest = min(smallest, side)
    rows, columns = -(-height // smallest), -(-width // smallest)
    cells = np.zeros((len(keys), rows, columns), np.uint8)
    span = np.empty((len(keys), 2), np.int64)
    threshold = np.uint64(min(max(drop_ratio, 0.0), 1.0) * 65536.0)
    for b in range(len(keys)):
        u, _ = uniform_pair(stream, keys[b], epochs[b], FIRST)
        side = sides[below(u, len(sides))]
        span[b, 0], span[b, 1] = rows * max(side, 1), columns * max(side, 1)
        if side == 0:
            continue
        # Eight cells to a block, and none for what lies off the canvas.
        across = -(-width // side)
        n = -(-height // side) * across
        for first in range(0, n, 8):
            words = block(stream, keys[b], epochs[b], FIRST + 1 + first // 8)
            for lane in range(min(8, n - first)):
                half = words[lane // 2] >> np.uint64(16 * (lane % 2)) & np.uint64(0xFFFF)
                cells[b, (first + lane) // across, (first + lane) % across] = half < threshold
    return cells, span


@njit(cache=True, nogil=True)
def _hidden_alone(images, draw, painter, height, width, drop_ratio, *sides):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    cells, span = _hidden(stream, key, epoch, np.array(sides), drop_ratio, height, width)
    hand_over(images, draw, painter, span, cells)
    return True


@dataclasses.dataclass(frozen=True)
class RandomCells:
    """Each square of a grid hides by itself with probability ``drop_ratio``.

    Args:
        cell_size: sides to choose from, in pixels, one a sample; 0 hides nothing.
        drop_ratio: chance of each square.
    """

    cell_size: tuple[int, ...] = (0, 16, 32, 44, 56)
    drop_ratio: float = 0.5
    alone: ClassVar = staticmethod(_hidden_alone)

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[float, ...]:
        return *size, self.drop_ratio, *self.cell_size

    def sample(self, draws: Draws, size: tuple[int, int]) -> Cells:
        height, width, drop_ratio, *sides = self.numbers(size)
        cells, span = _hidden(*draws, np.array(sides, np.int64), drop_ratio, height, width)
        return Cells.drawn({"cells": cells.view(np.bool_), "span": span}, size=size)


@dataclasses.dataclass(frozen=True)
class TopCells:
    """The strongest cells of each sample's score map.

    Args:
        top_k: how many cells.
        alpha: instead of ``top_k``, take ``int(cells * λ)`` of them, at least one, λ ~ Beta(alpha, alpha).
    """

    top_k: int = 6
    alpha: float | None = None

    def sample(self, draws: Draws, size: tuple[int, int], scores: Tensor) -> Cells:
        """``scores``: ``[B, h, w]``, any float dtype and device. Equal scores go by the lowest index, row-major."""
        n = scores.shape[1] * scores.shape[2]
        if self.alpha is None:
            k = np.full(len(draws), min(self.top_k, n))
        else:
            lam = quantiles(draws.uniforms(1)[:, 0], self.alpha)
            k = np.clip((lam * n).astype(np.int64), 1, n)
        return Cells.even(size, top_cells(scores, torch.from_numpy(k)))


def top_cells(scores: Tensor, k: Tensor) -> Tensor:
    """bool ``[B, h, w]``: the ``k[b]`` largest scores of each sample, ties by the lowest index.

    Example:
        >>> top_cells(torch.tensor([[[0.1, 0.9], [0.9, 0.9]]]), torch.tensor([2])).tolist()
        [[[False, True], [True, False]]]
    """
    if scores.device.type == "cpu":
        chosen = _top(scores.detach().flatten(1).double().numpy(), k.numpy())
        return torch.from_numpy(chosen).view(torch.bool).view(scores.shape)
    k = k.to(scores.device)[:, None]
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return (rank < k).view(scores.shape)


@njit(cache=True, nogil=True)
def _top(scores, k):
    chosen = np.zeros(scores.shape, np.uint8)
    for b in range(len(scores)):
        if k[b] <= 0:
            continue
        least = _largest(scores[b], k[b])
        ties = k[b]
        for score in scores[b]:
            ties -= score > least
        for i, score in enumerate(scores[b]):
            chosen[b, i] = score > least or (score == least and ties > 0)
            ties -= score == least
    return chosen


@njit(cache=True, nogil=True)
def _largest(scores, k):
    """The ``k``-th largest score."""
    if k > 16:
        return np.partition(scores, len(scores) - k)[len(scores) - k]
    # For a few, a sorted list of the best so far is several times as fast.
    best = np.full(k, -np.inf)
    for score in scores:
        if score > best[-1]:
            i = k - 1
            while i > 0 and best[i - 1] < score:
                best[i] = best[i - 1]
                i -= 1
            best[i] = score
    return best[-1]


def check_scores(scores: Tensor, batch: int) -> Tensor:
    """Validate a score map ``[B, h, w]`` (``[h, w]`` for one image, a channel axis of 1 is dropped)."""
    if scores.ndim == 4 and scores.shape[1] == 1:
        scores = scores[:, 0]
    scores = scores[None] if scores.ndim == 2 else scores
    if scores.ndim != 3 or len(scores) != batch or 0 in scores.shape[1:]:
        raise fail(
            "scores",
            got=tuple(scores.shape),
            expected=f"[{batch}, h, w], one map a sample",
            fix="Score this very batch.",
        )
    # On another device the check would wait for it.
    if scores.device.type == "cpu" and not np.isfinite(scores.detach().double().numpy()).all():
        raise fail(
            "scores", got="NaN or infinite scores", expected="finite numbers", fix="Mend the extractor (or its input)."
        )
    return scores
