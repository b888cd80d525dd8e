"""What one writes in plain torch, with care: a draw for each image, pinned parameters, and ``torch.where``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

import augdrop as ad
from benchmarks.comparison import NEW, Peer
from benchmarks.peers import FLOAT, erasing
from benchmarks.timing import Call

PLAIN: list[Peer] = []


def plain(call: str, ours: Any) -> Any:
    """Enter a function into the table."""

    def enter(make: Any) -> Any:
        PLAIN.append(Peer("torch", call, make, ours, NEW, False, False, FLOAT))
        return make

    return enter


@plain("where(boxes, 0, x)", erasing)
def where_constant(x: Tensor, y: Tensor) -> Call:
    return lambda: torch.where(_boxes(x, *_rectangles(x)), 0.0, x)


@plain("where(boxes, rand_like(x), x)", lambda: erasing(fill="noise"))
def where_noise(x: Tensor, y: Tensor) -> Call:
    return lambda: torch.where(_boxes(x, *_rectangles(x)), torch.rand_like(x), x)


@plain("where(rand < 0.01, 0, x)", lambda: ad.PixelDropout(seed=0))
def where_pixels(x: Tensor, y: Tensor) -> Call:
    return lambda: torch.where(torch.rand(len(x), 1, *x.shape[2:], device=x.device) < 0.01, 0.0, x)


@plain("where(boxes, x.roll(1, 0), x)", lambda: ad.CutMix(seed=0))
def where_partner(x: Tensor, y: Tensor) -> Call:
    def call() -> Tensor:
        size = torch.rand(len(x)).sqrt()
        return torch.where(_boxes(x, size * x.shape[2], size * x.shape[3]), x.roll(1, 0), x)

    return call


@plain("lerp(x, x.roll(1, 0), weight)", lambda: ad.Mixup(alpha=1.0, seed=0))
def lerp_partner(x: Tensor, y: Tensor) -> Call:
    return lambda: x.lerp(x.roll(1, 0), _there(torch.rand(len(x), 1, 1, 1), x))


def _rectangles(x: Tensor) -> tuple[Tensor, Tensor]:
    area = torch.empty(len(x)).uniform_(0.02, 0.33) * x.shape[2] * x.shape[3]
    ratio = torch.empty(len(x)).uniform_(math.log(0.3), math.log(3.3)).exp()
    return (area * ratio).sqrt(), (area / ratio).sqrt()


def _boxes(x: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """bool ``[B, 1, H, W]``, True in a box of each sample."""
    h, w = x.shape[2:]
    heights, widths = heights.round().clamp(1, h), widths.round().clamp(1, w)
    top, left = (torch.rand(len(x)) * (h - heights + 1)).floor(), (torch.rand(len(x)) * (w - widths + 1)).floor()
    boxes = _there(torch.stack([top, top + heights, left, left + widths]).view(4, -1, 1, 1, 1), x)
    row, column = torch.arange(h, device=x.device)[:, None], torch.arange(w, device=x.device)
    return (row >= boxes[0]) & (row < boxes[1]) & (column >= boxes[2]) & (column < boxes[3])


def _there(parameters: Tensor, x: Tensor) -> Tensor:
    return parameters.pin_memory().to(x.device, non_blocking=True)
