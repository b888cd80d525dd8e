"""Blocks: DropBlock's seeds, each of which drops a block of fixed size."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from augdrop.regions import spans
from augdrop.regions.base import Region
from augdrop.regions.mask import bernoulli_map
from augdrop.rng import Draws


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks(Region):
    """``seeds``: bool ``[B, H - bh + 1, W - bw + 1]``, True where a block of ``block = (bh, bw)`` pixels has its first corner.

    Seeds exist only where a whole block fits (the paper's valid region), for odd and even blocks alike.
    """

    seeds: Tensor
    block: tuple[int, int]
    kind: ClassVar[int] = spans.MASK

    def mask(self) -> Tensor:
        return grow(self.seeds, self.block)

    def packed(self) -> tuple[int, np.ndarray, np.ndarray]:
        bits = _grown(self.seeds.contiguous().view(torch.uint8).numpy(), *self.size, *self.block)
        return self.kind, np.zeros((len(bits), 1), np.int64), bits


def grow(seeds: Tensor, block: tuple[int, ...]) -> Tensor:
    """Dropped cells from seeds: bool ``[..., *valid]`` to bool ``[..., *full]``, in one, two or three dimensions."""
    n = len(block)
    pad = [p for b in reversed(block) for p in (b - 1, b - 1)]
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    lead = seeds.shape[: seeds.ndim - n]
    # A channel axis of 1 keeps the pooling of every map to itself.
    grown = pool(F.pad(seeds.reshape(-1, 1, *seeds.shape[-n:]).to(torch.float32), pad), block, stride=1)
    return (grown > 0).view(*lead, *grown.shape[-n:])


def block_gamma(drop_ratio: float, block: tuple[int, ...], size: tuple[int, ...]) -> float:
    """DropBlock's seed probability: expected seeds times a block's area is ``drop_ratio`` of the map; at most 1."""
    gamma = drop_ratio
    for b, n in zip(block, size, strict=True):
        gamma *= n / (b * (n - b + 1))
    return min(gamma, 1.0)


@dataclasses.dataclass(frozen=True)
class RandomBlocks:
    """DropBlock's rule on the pixels of an image, one mask for all channels.

    Args:
        drop_ratio: share to drop, before overlaps.
        block_size: side of a block in pixels if an integer, share of the shorter side if a float; clipped to the canvas.
    """

    drop_ratio: float = 0.1
    block_size: int | float = 0.1

    def sample(self, draws: Draws, size: tuple[int, int]) -> Blocks:
        side = self.block_size if isinstance(self.block_size, int) else max(1, int(self.block_size * min(size)))
        block = (min(side, size[0]), min(side, size[1]))
        valid = [n - b + 1 for n, b in zip(size, block, strict=True)]
        gamma = np.full(len(draws), block_gamma(self.drop_ratio, block, size))
        seeds = bernoulli_map(draws.stream, draws.keys, draws.epochs, gamma, *valid)
        return Blocks(size, torch.from_numpy(seeds).view(torch.bool), block)


@njit(cache=True, nogil=True)
def _grown(seeds, height, width, bh, bw):
    out = np.zeros((len(seeds), height, width), np.uint8)
    for b in range(len(seeds)):
        for y in range(seeds.shape[1]):
            for x in range(seeds.shape[2]):
                if seeds[b, y, x]:
                    out[b, y : y + bh, x : x + bw] = 1
    return out
