"""Mask: any set of pixels, the region of PixelDropout and the fallback for shapes without a kind of their own."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.regions import spans
from augdrop.regions.base import Region
from augdrop.rng import FIRST, Draws, block


@dataclasses.dataclass(frozen=True, eq=False)
class Mask(Region):
    """``pixels``: bool ``[B, H, W]``, True where dropped."""

    pixels: Tensor
    kind: ClassVar[int] = spans.MASK

    def mask(self) -> Tensor:
        return self.pixels

    def packed(self) -> tuple[int, np.ndarray, np.ndarray]:
        bits = self.pixels.contiguous().view(torch.uint8).numpy()
        return self.kind, np.zeros((len(bits), 1), np.int64), bits


@dataclasses.dataclass(frozen=True)
class RandomPixels:
    """Each pixel drops by itself with probability ``drop_ratio``."""

    drop_ratio: float = 0.01

    def sample(self, draws: Draws, size: tuple[int, int]) -> Mask:
        pixels = bernoulli_map(draws.stream, draws.keys, draws.epochs, np.full(len(draws), self.drop_ratio), *size)
        return Mask(size, torch.from_numpy(pixels).view(torch.bool))


@njit(cache=True, nogil=True)
def bernoulli_map(stream, keys, epochs, probability, height, width):
    """uint8 ``[B, height, width]``, 1 with the sample's probability: one 32-bit word a cell, in row-major order."""
    n = height * width
    out = np.empty((len(keys), n), np.uint8)
    for b in range(len(keys)):
        threshold = np.uint64(min(max(probability[b], 0.0), 1.0) * 4294967296.0)
        for i in range(0, n, 4):
            words = block(stream, keys[b], epochs[b], FIRST + 1 + i // 4)
            for lane in range(min(4, n - i)):
                out[b, i + lane] = words[lane] < threshold
    return out.reshape(len(keys), height, width)
