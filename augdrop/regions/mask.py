"""Mask: any set of pixels, the region of PixelDropout and the fallback for shapes without a kind of their own."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.errors import fail
from augdrop.memory import address, ahead, data, pointer
from augdrop.regions import spans
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, once_a_size
from augdrop.regions.base import Region, centres
from augdrop.regions.gaps import ROOM, blocks_for, gaps, skip_scale
from augdrop.rng import BOOL, FIRST, Draws, words_run


@dataclasses.dataclass(frozen=True, eq=False)
class Mask(Region):
    """``pixels``: bool ``[B, H, W]``, True where dropped."""

    pixels: Tensor
    kind: ClassVar[int] = spans.MASK
    shapes: ClassVar = {"pixels": (torch.bool, (-1, -1))}

    def __post_init__(self) -> None:
        if self.pixels.shape[1:] != self.size:
            raise fail(
                "Mask: pixels",
                got=tuple(self.pixels.shape),
                expected=f"[B, {self.size[0]}, {self.size[1]}], the canvas",
                fix="Give size=pixels.shape[1:].",
            )

    def mask(self) -> Tensor:
        return self.pixels

    def packed(self) -> tuple[int, Tensor, Tensor]:
        params = self.pixels.new_empty((len(self.pixels), 1), dtype=torch.int64)  # nobody reads them
        return self.kind, params, self.pixels.contiguous().view(torch.uint8)

    def rescale(self, height: int, width: int) -> Mask:
        return resample(self, height, width)


def resample(region: Region, height: int, width: int) -> Mask:
    """Regions of any kind on another canvas, where most kinds keep no shape of their own; see `Region.rescale`."""
    rows, columns = (centres(n, m, region.device) for n, m in zip(region.size, (height, width), strict=True))
    return Mask((height, width), region.mask()[:, rows][:, :, columns].contiguous())


_RUN = 256
"""Blocks of words at once: 4 KiB, which stay in the fastest cache."""


@njit(cache=True, nogil=True)
def bernoulli_map(stream, keys, epochs, probability, height, width):
    """uint8 ``[B, height, width]``, 1 with the sample's probability.

    Below 1/16 the draws are the gaps from one 1 to the next, two a block; else a 32-bit word a cell, four a block.
    """
    out = np.empty((len(keys), height, width), np.uint8)
    _bernoulli(stream, keys, epochs, probability, out)
    return out


@njit(cache=True, nogil=True)
def _bernoulli(stream, keys, epochs, probability, out):
    out[:] = 0
    n = out.shape[1] * out.shape[2]
    room, words = np.empty(ROOM), np.empty(4 * _RUN, np.uint32)
    for b in range(len(keys)):
        chance = probability[b if len(probability) > 1 else 0]
        cells = ahead(pointer(address(data(out)), np.uint8), b * n)
        if chance < 0.0625:
            _sparse(stream, keys[b], epochs[b], chance, n, cells, data(room))
        else:
            _dense(stream, keys[b], epochs[b], chance, n, cells, data(words))


@njit(cache=True, nogil=True)
def _dense(stream, key, epoch, probability, n, cells, words):
    threshold = np.uint64(min(probability, 1.0) * 4294967296.0)
    for start in range(0, n, 4 * _RUN):
        count = min(n - start, 4 * _RUN)
        words_run(stream, key, epoch, FIRST + 1 + start // 4, (count + 3) // 4, words)
        for i in range(count):
            cells[start + i] = np.uint64(words[i]) < threshold


@njit(cache=True, nogil=True)
def _sparse(stream, key, epoch, probability, n, cells, room):
    if probability <= 0.0:
        return
    scale, blocks = skip_scale(probability), blocks_for(n * probability)
    draw, place = FIRST + 1, np.int64(-1)
    while place < n:
        skipped = gaps(stream, key, epoch, draw, blocks, scale, n, room)
        for i in range(2 * blocks):
            place += 1 + skipped[i]
            if place >= n:
                break
            cells[place] = 1
        draw += blocks


@njit(cache=True, nogil=True)
def _pixels_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    height, width, drop_ratio = numbers
    pixels = np.empty((1, height, width), np.bool_)
    _bernoulli(stream, key, epoch, np.array([drop_ratio]), pixels)
    hand_over(images, draw, painter, np.zeros((1, 1), np.int64), pixels)
    return True


@dataclasses.dataclass(frozen=True)
class RandomPixels:
    """Each pixel drops by itself with probability ``drop_ratio``."""

    drop_ratio: float = 0.01
    alone: ClassVar = staticmethod(_pixels_alone)

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[float, ...]:
        return *size, float(self.drop_ratio)

    def sample(self, draws: Draws, size: tuple[int, int]) -> Mask:
        stream, keys, epochs = draws
        pixels = np.empty((len(keys), *size), BOOL)
        _bernoulli(stream, keys, epochs, _chance(float(self.drop_ratio)), pixels)
        return Mask.drawn({"pixels": pixels}, size=size)


@lru_cache(64)
def _chance(p: float) -> np.ndarray:
    return np.array([p])
