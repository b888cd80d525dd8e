"""Samplers of boxes: how Cutout, Random Erasing, CoarseDropout and CutMix draw their rectangles.

Each comes in two parts: a public function from named quantities (a centre, an area, λ) to whole pixels, and a sampler
that draws these quantities from a sample's own numbers.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache, lru_cache
from typing import ClassVar

import numpy as np
import torch
from numba import njit

from augdrop.checks import plain_fields
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, no_bits, once_a_size
from augdrop.regions.boxes import Boxes
from augdrop.rng import FIRST, INT64, Draws, uniform_pair


@njit(cache=True, nogil=True)
def centred_box(y, x, before_y, before_x, after_y, after_x, height, width):
    """The box from ``before`` pixels before a centre to ``after`` pixels behind it, clipped: ``(y0, x0, y1, x1)``."""
    return max(y - before_y, 0), max(x - before_x, 0), min(y + after_y, height), min(x + after_x, width)


@njit(cache=True, nogil=True)
def below(u, n):
    """A uniform as a whole number from 0 to ``n - 1``."""
    return min(np.int64(u * n), n - 1)


@njit(cache=True, nogil=True)
def _centred(stream, keys, epochs, out, numbers):
    height, width, half, holes = numbers
    for b in range(len(keys)):
        for i in range(holes):
            u, v = uniform_pair(stream, keys[b], epochs[b], FIRST + i)
            y, x = below(u, height), below(v, width)
            out[b, i, 0], out[b, i, 1], out[b, i, 2], out[b, i, 3] = centred_box(
                y, x, half, half, half, half, height, width
            )


@njit(cache=True, nogil=True)
def _centred_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    boxes = np.empty((1, numbers[3], 4), np.int64)
    _centred(stream, key, epoch, boxes, numbers)
    hand_over(images, draw, painter, boxes, no_bits())
    return True


@dataclasses.dataclass(frozen=True)
class CentredBoxes:
    """``n_holes`` squares of full side ``length`` around uniform pixels, clipped at the border (Cutout's rule).

    As in the authors' code half the side is ``length // 2``, so an odd length loses a pixel.
    """

    length: int = 16
    n_holes: int = 1
    alone: ClassVar = staticmethod(_centred_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[int, ...]:
        return *size, self.length // 2, self.n_holes

    def sample(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        stream, keys, epochs = draws
        boxes = np.empty((len(keys), self.n_holes, 4), INT64)
        _centred(stream, keys, epochs, boxes, self.numbers(size))
        return Boxes.drawn({"boxes": boxes}, size=size)


@njit(cache=True, nogil=True)
def erasing_sides(area, ratio, height, width):
    """Random Erasing's rectangle of ``area`` pixels and height/width ``ratio``: ``(h, w)``, rounded to the nearest."""
    return np.int64(np.rint(math.sqrt(area * ratio))), np.int64(np.rint(math.sqrt(area / ratio)))


@cache
def _whole(size: tuple[int, int]) -> np.ndarray:
    return np.array([[[0, 0, *size]]], np.int64)


@njit(cache=True, nogil=True)
def _erasing(stream, keys, epochs, objects, out, numbers):
    _, _, area0, area1, ratio0, ratio1, log_ratio, attempts, fewest, most, inside, share_area = numbers
    m_n = objects.shape[1]
    out[:] = 0
    if log_ratio:
        ratio0, ratio1 = math.log(ratio0), math.log(ratio1)
    for b in range(len(keys)):
        count = most
        if fewest < most:
            u, _ = uniform_pair(stream, keys[b], epochs[b], FIRST)
            count = fewest + below(u, most - fewest + 1)
        for m in range(m_n):
            o = objects[b if len(objects) > 1 else 0, m]
            top, left, height, width = o[0], o[1], o[2] - o[0], o[3] - o[1]
            for i in range(count):
                # An attempt takes two blocks, (area, ratio) and (top, left). Each box of each object has its own.
                start = FIRST + 1 + 2 * attempts * (m * most + i)
                for attempt in range(attempts):
                    u, v = uniform_pair(stream, keys[b], epochs[b], start + 2 * attempt)
                    area = (area0 + (area1 - area0) * u) * (height * width) / (count if share_area else 1)
                    ratio = ratio0 + (ratio1 - ratio0) * v
                    h, w = erasing_sides(area, math.exp(ratio) if log_ratio else ratio, height, width)
                    if inside and not (h < height and w < width):
                        continue
                    u, v = uniform_pair(stream, keys[b], epochs[b], start + 2 * attempt + 1)
                    if inside:
                        y, x = below(u, height - h + 1), below(v, width - w + 1)
                    else:
                        y, x = below(u, height), below(v, width)
                        if y + h > height or x + w > width:
                            continue
                    box = out[b, m * most + i]
                    box[0], box[1], box[2], box[3] = top + y, left + x, top + y + h, left + x + w
                    break


@njit(cache=True, nogil=True)
def _erasing_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    whole, boxes = np.array([[[0, 0, numbers[0], numbers[1]]]]), np.empty((1, numbers[9], 4), np.int64)
    _erasing(stream, key, epoch, whole, boxes, numbers)
    hand_over(images, draw, painter, boxes, no_bits())
    return True


@dataclasses.dataclass(frozen=True)
class AreaBoxes:
    """Rectangles by area and aspect ratio, drawn again until one fits (Random Erasing's rule).

    Args:
        area: share of the canvas, uniform between the two ends; divided by the count of a sample's boxes when
            ``share_area``.
        ratio: height / width, uniform or log-uniform between the two ends.
        log_ratio: draw the ratio log-uniformly.
        attempts: draws until a box is given up (it is then empty).
        count: fewest and most boxes a sample.
        inside: draw the corner so that the box fits; else over the whole canvas, and draw again if it sticks out.
        share_area: divide the area by the count, as timm does.
    """

    area: tuple[float, float] = (0.02, 0.4)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    log_ratio: bool = False
    attempts: int = 100
    count: tuple[int, int] = (1, 1)
    inside: bool = True
    share_area: bool = False
    alone: ClassVar = staticmethod(_erasing_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[float, ...]:
        rule = (self.log_ratio, self.attempts, *self.count, self.inside, self.share_area)
        return *size, *self.area, *self.ratio, *rule

    def sample(self, draws: Draws, size: tuple[int, int], objects: np.ndarray | None = None) -> Boxes:
        """Draw boxes; with ``objects``, int64 ``[B, M, 4]`` as ``y0, x0, y1, x1``, ``count`` boxes in each object."""
        stream, keys, epochs = draws
        objects = _whole(size) if objects is None else objects
        boxes = np.empty((len(keys), objects.shape[1] * self.count[1], 4), INT64)
        _erasing(stream, keys, epochs, objects, boxes, self.numbers(size))
        return Boxes.drawn({"boxes": boxes}, size=size)


@njit(cache=True, nogil=True)
def _holes(stream, keys, epochs, out, numbers):
    height, width, fewest, most, h0, h1, w0, w1 = numbers
    out[:] = 0
    for b in range(len(keys)):
        u, _ = uniform_pair(stream, keys[b], epochs[b], FIRST)
        for i in range(fewest + below(u, most - fewest + 1)):
            u, v = uniform_pair(stream, keys[b], epochs[b], FIRST + 1 + 2 * i)
            h, w = h0 + below(u, h1 - h0 + 1), w0 + below(v, w1 - w0 + 1)
            u, v = uniform_pair(stream, keys[b], epochs[b], FIRST + 2 + 2 * i)
            y, x = below(u, height - h + 1), below(v, width - w + 1)
            out[b, i, 0], out[b, i, 1], out[b, i, 2], out[b, i, 3] = y, x, y + h, x + w


@njit(cache=True, nogil=True)
def _holes_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    boxes = np.empty((1, numbers[3], 4), np.int64)
    _holes(stream, key, epoch, boxes, numbers)
    hand_over(images, draw, painter, boxes, no_bits())
    return True


@dataclasses.dataclass(frozen=True)
class Holes:
    """``count`` rectangles a sample, uniformly placed in the canvas, sides uniform between two ends (CoarseDropout).

    Ends are shares of the canvas if floats and pixels if integers. A hole larger than the canvas is clipped to it.
    """

    count: tuple[int, int] = (1, 2)
    height: tuple[float, float] | tuple[int, int] = (0.1, 0.2)
    width: tuple[float, float] | tuple[int, int] = (0.1, 0.2)
    alone: ClassVar = staticmethod(_holes_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[int, ...]:
        return *size, *self.count, *_pixels(self.height, size[0]), *_pixels(self.width, size[1])

    def sample(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        stream, keys, epochs = draws
        boxes = np.empty((len(keys), self.count[1], 4), INT64)
        _holes(stream, keys, epochs, boxes, self.numbers(size))
        return Boxes.drawn({"boxes": boxes}, size=size)


def _pixels(ends: tuple[float, float], side: int) -> tuple[int, int]:
    """A range of pixels from a range of shares (floats) or of pixels (integers), within the side."""
    low, high = (min(side, max(0, v if isinstance(v, int) else int(v * side))) for v in ends)
    return low, high


@dataclasses.dataclass(frozen=True)
class MinMaxBoxes:
    """One box a sample, each side uniform between two shares of the canvas, placed inside (timm's ``cutmix_minmax``).

    Sides run from ``int(side * low)`` to ``int(side * high) - 1``, as timm draws them.
    """

    low: float = 0.2
    high: float = 0.8
    alone: ClassVar = staticmethod(_holes_alone)
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[int, ...]:
        (h0, h1), (w0, w1) = ((int(n * self.low), max(int(n * self.high) - 1, int(n * self.low))) for n in size)
        return *size, 1, 1, h0, h1, w0, w1

    def sample(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        stream, keys, epochs = draws
        boxes = np.empty((len(keys), 1, 4), INT64)
        _holes(stream, keys, epochs, boxes, self.numbers(size))
        return Boxes.drawn({"boxes": boxes}, size=size)


@dataclasses.dataclass(frozen=True)
class Everywhere:
    """The whole canvas of every sample (Mixup's rule)."""

    def sample(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        return _everywhere(size, len(draws))


@lru_cache(64)
def _everywhere(size: tuple[int, int], n: int) -> Boxes:
    return Boxes(size, torch.from_numpy(_whole(size)).expand(n, 1, 4))
