"""Samplers of cells: hidden at random (Hide-and-Seek) or by a score map (Attentive CutMix)."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numba import carray, njit  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from augdrop.beta import quantiles
from augdrop.checks import plain_fields
from augdrop.errors import fail
from augdrop.memory import address, ahead, data, pointer
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, once_a_size
from augdrop.regions.cells import Cells
from augdrop.regions.random_boxes import below
from augdrop.rng import BOOL, FIRST, INT64, Draws, uniform_pair, words_run


@njit(cache=True, nogil=True)
def _hidden(stream, keys, epochs, cells, span, numbers):
    height, width, rows, columns, drop_ratio = numbers[:5]
    sides = np.array(numbers[5:])
    cells[:] = 0
    threshold = np.uint32(min(max(drop_ratio, 0.0), 1.0) * 65536.0)
    # Eight cells to a block, 16 bits each, and none for what lies off the canvas.
    words = np.empty(4 * (-(-rows * columns // 8)), np.uint32)
    halves, squares = pointer(address(data(words)), np.uint16), pointer(address(data(cells)), np.uint8)
    for b in range(len(keys)):
        u, _ = uniform_pair(stream, keys[b], epochs[b], FIRST)
        side = sides[below(u, len(sides))]
        span[b, 0], span[b, 1] = rows * max(side, 1), columns * max(side, 1)
        if side == 0:
            continue
        down, across = -(-height // side), -(-width // side)
        words_run(stream, keys[b], epochs[b], FIRST + 1, -(-down * across // 8), data(words))
        for y in range(down):
            own, row = ahead(halves, y * across), ahead(squares, (b * rows + y) * columns)
            for x in range(across):
                row[x] = np.uint32(own[x]) < threshold


@njit(cache=True, nogil=True)
def _hidden_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    cells, span = np.empty((1, numbers[2], numbers[3]), np.bool_), np.empty((1, 2), np.int64)
    _hidden(stream, key, epoch, cells, span, numbers)
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
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[Any, ...]:
        smallest = min([max(size), *(side for side in self.cell_size if side > 0)])
        rows, columns = (-(-n // smallest) for n in size)
        return *size, rows, columns, self.drop_ratio, *self.cell_size

    def sample(self, draws: Draws, size: tuple[int, int]) -> Cells:
        stream, keys, epochs = draws
        numbers = self.numbers(size)
        cells, span = np.empty((len(keys), numbers[2], numbers[3]), BOOL), np.empty((len(keys), 2), INT64)
        _hidden(stream, keys, epochs, cells, span, numbers)
        return Cells.drawn({"cells": cells, "span": span}, size=size)


@dataclasses.dataclass(frozen=True)
class TopCells:
    """The strongest cells of each sample's score map.

    Args:
        top_k: how many cells.
        alpha: instead of ``top_k``, take ``int(cells * λ)`` of them, at least one, λ ~ Beta(alpha, alpha).
    """

    top_k: int = 6
    alpha: float | None = None
    __post_init__ = plain_fields

    def sample(self, draws: Draws, size: tuple[int, int], scores: Tensor, of: np.ndarray | None = None) -> Cells:
        """Take the strongest cells; equal scores go by the lowest index, row-major.

        Args:
            scores: ``[B, h, w]``, any float dtype and device; or one a video, for draws that are one a frame.
            of: int64 ``[B]``, whose map goes for each sample; by default its own.
        """
        count, (maps, rows, columns) = len(draws.keys), scores.shape
        of = _in_order(count) if of is None else of
        if maps != count:
            frames = count // max(1, maps)
            if frames * maps != count:
                raise fail("scores", got=tuple(scores.shape), expected=f"{count} maps", fix="Score this very batch.")
            of = of // frames
        n = rows * columns
        if self.alpha is None:
            k = _for_all(min(self.top_k, n))
        else:
            k = np.clip((quantiles(draws.uniforms(1)[:, 0], self.alpha) * n).astype(np.int64), 1, n)
        if not scores.is_cpu:
            whose = scores[torch.from_numpy(of).to(scores.device)]
            return Cells.even(size, top_cells(whose, torch.from_numpy(np.broadcast_to(k, count).copy())))
        cells = np.empty((count, rows, columns), BOOL)
        strongest(on_host(scores), of, k, cells)
        return Cells.drawn({"cells": cells, "span": _spans(size, count)}, size=size)


@lru_cache(64)
def _in_order(n: int) -> np.ndarray:
    return np.arange(n)


@lru_cache(64)
def _for_all(k: int) -> np.ndarray:
    return np.array([k])


@lru_cache(64)
def _spans(size: tuple[int, int], n: int) -> np.ndarray:
    return np.full((n, 2), size, np.int64)


def on_host(scores: Tensor) -> Tensor:
    """A score map on the host, dense, as float32 or float64."""
    return (scores if scores.dtype in _TOP else scores.double()).contiguous()


def top_cells(scores: Tensor, k: Tensor) -> Tensor:
    """bool ``[B, h, w]``: the ``k[b]`` largest scores of each sample, ties by the lowest index.

    Example:
        >>> top_cells(torch.tensor([[[0.1, 0.9], [0.9, 0.9]]]), torch.tensor([2])).tolist()
        [[[False, True], [True, False]]]
    """
    if scores.is_cpu:
        chosen = np.empty(scores.shape, np.bool_)
        strongest(on_host(scores), _in_order(len(scores)), k.numpy(), chosen)
        return torch.from_numpy(chosen)
    k = k.to(scores.device)[:, None]
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return (rank < k).view(scores.shape)


def strongest(scores: Tensor, of: np.ndarray, k: np.ndarray, out: np.ndarray) -> None:
    """Mark in ``out[b]`` the ``k[b]`` largest of ``scores[of[b]]``; on a device the check would wait for it."""
    # By address: an array of a tensor takes longer to make than a few maps to read.
    if not _TOP[scores.dtype](scores.data_ptr(), scores.numel(), of, k, out):
        raise fail(
            "scores", got="NaN or infinite scores", expected="finite numbers", fix="Mend the extractor (or its input)."
        )


@njit(cache=True, nogil=True)
def _top(maps, of, k, out):
    wrong, n = 0, out.shape[1] * out.shape[2]
    for i in range(len(maps)):
        wrong += not abs(maps[i]) < np.inf
    if wrong:
        return False
    for b in range(len(out)):
        scores, chosen = maps[of[b] * n : (of[b] + 1) * n], out[b].reshape(-1)
        count = max(k[b if len(k) > 1 else 0], 0)
        least = _largest(scores, count) if count > 0 else np.inf
        extra = -count
        for i in range(len(scores)):
            chosen[i] = scores[i] >= least
            extra += scores[i] >= least
        i = len(scores)
        while extra > 0:  # of those that tie, the last ones go
            i -= 1
            if scores[i] == least:
                chosen[i] = False
                extra -= 1
    return True


@njit(cache=True, nogil=True)
def _top32(at, n, of, k, out):
    return _top(carray(pointer(at, np.float32), n), of, k, out)


@njit(cache=True, nogil=True)
def _top64(at, n, of, k, out):
    return _top(carray(pointer(at, np.float64), n), of, k, out)


_TOP = {torch.float32: _top32, torch.float64: _top64}


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
    if not isinstance(scores, Tensor):
        got = type(scores).__name__
        raise fail("scores", got=got, expected=f"a tensor [{batch}, h, w]", fix="Convert them, or mend the extractor.")
    maps = scores
    if maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    elif maps.ndim == 2:
        maps = maps[None]
    shape = maps.shape
    if not (len(shape) == 3 and shape[0] == batch and shape[1] and shape[2]):
        flat = scores.ndim == 2 and len(scores) == batch
        fix = "Unflatten a score a patch: scores.unflatten(1, (h, w))." if flat else "Score this very batch."
        raise fail("scores", got=tuple(scores.shape), expected=f"[{batch}, h, w], one map a sample", fix=fix)
    return maps
