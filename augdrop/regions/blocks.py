"""Blocks: DropBlock's seeds, each of which drops a block of fixed size."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from augdrop.checks import plain_fields
from augdrop.memory import data
from augdrop.regions import spans
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, no_bits, once_a_size
from augdrop.regions.base import NO_BITS, Region
from augdrop.regions.gaps import ROOM, blocks_for, gaps, skip_scale
from augdrop.regions.mask import Mask, resample
from augdrop.rng import FIRST, INT64, Draws


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks(Region):
    """``corners``: int64 ``[B, N, 2]``, first row and column of each block of ``block = (bh, bw)`` pixels.

    Corners run from the top down, rows from the left; ``(-1, -1)`` is no block, and comes after all others. Every block
    lies inside the canvas (the paper's valid region), be its size odd or even.
    """

    corners: Tensor
    block: tuple[int, int]
    kind: ClassVar[int] = spans.BLOCKS
    shapes: ClassVar = {"corners": (torch.int64, (-1, 2))}

    def mask(self) -> Tensor:
        (h, w), (bh, bw) = self.size, self.block
        # A row and a column to spare, for the corners that are none.
        seeds = torch.zeros(len(self), h - bh + 2, w - bw + 2, dtype=torch.bool, device=self.device)
        seeds[torch.arange(len(self), device=self.device)[:, None], self.corners[..., 0], self.corners[..., 1]] = True
        return grow(seeds[:, :-1, :-1], self.block)

    def packed(self) -> tuple[int, Tensor, Tensor]:
        corners = self.arrays("corners")
        if corners is None:
            return self.packed_there()
        return self.kind, torch.from_numpy(_pack(corners[0], *self.block)), NO_BITS

    def packing(self) -> dict[str, Tensor]:
        return {"params": self.packed()[1]}

    def rescale(self, height: int, width: int) -> Mask:
        return resample(self, height, width)


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


def most_seeds(gamma: float, height: int, width: int) -> int:
    """Room for a sample's seeds: eight standard deviations above the mean, and never more than there are places."""
    places = height * width
    mean = gamma * places
    return min(places, math.ceil(mean + 8 * math.sqrt(mean * (1 - gamma))) + 8)


@njit(cache=True, nogil=True)
def _seeds(stream, keys, epochs, out, numbers):
    _, _, gamma, height, width, most = numbers
    out[:] = -1
    if gamma <= 0:
        return
    places = height * width
    scale, blocks, room = skip_scale(gamma), blocks_for(gamma * places), np.empty(ROOM)
    for b in range(len(keys)):
        place, n, draw = np.int64(-1), 0, FIRST
        while place < places and n < most:
            skipped = gaps(stream, keys[b], epochs[b], draw, blocks, scale, places, data(room))
            for i in range(2 * blocks):
                place += 1 + skipped[i]
                if place >= places or n == most:
                    break
                row = np.int64(np.uint64(place) // np.uint64(width))
                out[b, n, 0], out[b, n, 1] = row, place - row * width
                n += 1
            draw += blocks


@njit(cache=True, nogil=True)
def _pack(corners, height, width):
    params = np.empty((len(corners), 3 + 2 * corners.shape[1]), np.int64)
    for b in range(len(corners)):
        n = 0
        while n < corners.shape[1] and corners[b, n, 0] >= 0:
            params[b, 3 + 2 * n], params[b, 4 + 2 * n] = corners[b, n, 0], corners[b, n, 1]
            n += 1
        params[b, 0], params[b, 1], params[b, 2] = height, width, n
    return params


@njit(cache=True, nogil=True)
def _seeds_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    corners = np.empty((1, numbers[5], 2), np.int64)
    _seeds(stream, key, epoch, corners, numbers)
    hand_over(images, draw, painter, _pack(corners, numbers[0], numbers[1]), no_bits())
    return True


@dataclasses.dataclass(frozen=True)
class RandomBlocks:
    """DropBlock's rule on the pixels of an image, one mask for all channels.

    Args:
        drop_ratio: share to drop, before overlaps.
        block_size: side of a block, in pixels if an integer, of the shorter side if a float; clipped to the canvas.
    """

    drop_ratio: float = 0.1
    block_size: int | float = 0.1
    alone: ClassVar = staticmethod(_seeds_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[Any, ...]:
        side = self.block_size if isinstance(self.block_size, int) else max(1, int(self.block_size * min(size)))
        block = (min(side, size[0]), min(side, size[1]))
        valid = [n - b + 1 for n, b in zip(size, block, strict=True)]
        gamma = block_gamma(self.drop_ratio, block, size)
        return *block, gamma, *valid, most_seeds(gamma, valid[0], valid[1])

    def sample(self, draws: Draws, size: tuple[int, int]) -> Blocks:
        stream, keys, epochs = draws
        numbers = self.numbers(size)
        corners = np.empty((len(keys), numbers[5], 2), INT64)
        _seeds(stream, keys, epochs, corners, numbers)
        return Blocks.drawn({"corners": corners}, size=size, block=numbers[:2])
