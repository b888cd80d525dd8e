"""Sampler of grids: how GridMask and GridDropout draw period, stripe width, offset and angle."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit

from augdrop.checks import plain_fields
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, no_bits, once_a_size
from augdrop.regions.grid import Grid, diagonal, pack
from augdrop.regions.random_boxes import below
from augdrop.rng import FIRST, INT64, Draws, uniform_pair


@njit(cache=True, nogil=True)
def stripe_width(period, ratio, up):
    """Width of a stripe in whole pixels: rounded up, or what a square rounded down (not to 0) leaves of the period."""
    if up:
        return min(np.int64(math.ceil(period * ratio)), period)
    square = np.int64(period * (1.0 - ratio))
    return period - min(max(square, 1), max(period - 1, 1))


@njit(cache=True, nogil=True)
def _grids(stream, keys, epochs, period, width, offset, angle, numbers):
    _, _, _, _, low, high, ratio, up, rotate, random_offset, corner_y, corner_x = numbers
    for b in range(len(keys)):
        u, v = uniform_pair(stream, keys[b], epochs[b], FIRST)
        s, t = uniform_pair(stream, keys[b], epochs[b], FIRST + 1)
        period[b] = low + below(u, high - low + 1)
        width[b] = stripe_width(period[b], ratio, up)
        if random_offset:
            offset[b, 0], offset[b, 1] = below(s, period[b]), below(t, period[b])
        else:
            offset[b, 0], offset[b, 1] = corner_y - width[b], corner_x - width[b]
        angle[b] = below(v, rotate)


@njit(cache=True, nogil=True)
def _grids_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    period, width, offset, angle = np.empty(1, np.int64), np.empty(1, np.int64), np.empty((1, 2), np.int64), np.empty(1)
    _grids(stream, key, epoch, period, width, offset, angle, numbers)
    height, columns, side, stripes = numbers[:4]
    hand_over(images, draw, painter, pack(period, width, offset, angle, stripes, height, columns, side), no_bits())
    return True


@dataclasses.dataclass(frozen=True)
class RandomGrid:
    """One lattice a sample.

    Args:
        period: shortest and longest period, both included: pixels if integers, shares of the shorter side if floats.
        ratio: stripe width / period.
        rounding: of the stripe width, ``"up"`` (GridMask), or ``"down"`` of the square, at least 1 (GridDropout).
        rotate: the angle is a whole number of degrees from 0 to ``rotate - 1``; 1 is no rotation.
        drop: ``"squares"`` or ``"stripes"``.
        random_offset: draw the offset; otherwise the first period starts at the image's corner with a square.
    """

    period: tuple[int, int] | tuple[float, float] = (96, 223)
    ratio: float = 0.6
    rounding: Literal["up", "down"] = "up"
    rotate: int = 360
    drop: Literal["squares", "stripes"] = "squares"
    random_offset: bool = True
    alone: ClassVar = staticmethod(_grids_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[float, ...]:
        low, high = (v if isinstance(v, int) else max(2, int(v * min(size))) for v in self.period)
        side, (h, w) = diagonal(*size), size
        rule = (self.ratio, self.rounding == "up", self.rotate, self.random_offset)
        ends, corner = (max(1, low), max(1, low, high)), ((side - h) // 2, (side - w) // 2)
        return *size, side, self.drop == "stripes", *ends, *rule, *corner

    def sample(self, draws: Draws, size: tuple[int, int]) -> Grid:
        stream, keys, epochs = draws
        n = len(keys)
        period, width = np.empty(n, INT64), np.empty(n, INT64)
        offset, angle = np.empty((n, 2), INT64), np.empty(n)
        _grids(stream, keys, epochs, period, width, offset, angle, self.numbers(size))
        lattice = {"period": period, "width": width, "offset": offset, "angle": angle}
        return Grid.drawn(lattice, size=size, stripes=self.drop == "stripes")
