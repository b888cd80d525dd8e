"""Regions of every kind, made by hand where it gets awkward and drawn where there are many."""

from __future__ import annotations

import numpy as np
import torch

from augdrop import regions, rng
from augdrop.regions import Region


def draws(n: int, name: str = "Test", epoch: int = 0) -> rng.Draws:
    """Draws for samples 0 to n - 1."""
    return rng.Draws(rng.stream_key(5, name), np.arange(n), np.full(n, epoch, np.int64))


def boxes(size: tuple[int, int], *rows: list[list[int]]) -> regions.Boxes:
    """One list of boxes a sample."""
    return regions.Boxes(size, torch.tensor(rows, dtype=torch.int64))


def grid(size, period, width, offset=(0, 0), angle=0.0, stripes=False) -> regions.Grid:
    """One grid."""
    numbers = (torch.tensor([v]) for v in (period, width))
    return regions.Grid(size, *numbers, torch.tensor([offset]), torch.tensor([float(angle)]).double(), stripes)


SAMPLERS = {
    "centred": regions.CentredBoxes(9, n_holes=3),
    "area": regions.AreaBoxes(count=(1, 3)),
    "anywhere": regions.AreaBoxes(inside=False, log_ratio=True),
    "holes": regions.Holes((1, 4)),
    "beta": regions.BetaBoxes(),
    "beta odd": regions.BetaBoxes(0.4, "clipped-odd"),
    "beta inside": regions.BetaBoxes(2.0, "inside"),
    "minmax": regions.MinMaxBoxes(),
    "everywhere": regions.Everywhere(),
    "grid": regions.RandomGrid((3, 14), rotate=1),
    "turned grid": regions.RandomGrid((3, 14), 0.5),
    "turned stripes": regions.RandomGrid((5, 9), 0.3, drop="stripes"),
    "fixed grid": regions.RandomGrid((0.2, 0.4), rounding="down", rotate=1, random_offset=False),
    "cells": regions.RandomCells((0, 3, 5, 7)),
    "blocks": regions.RandomBlocks(0.3, 4),
    "large blocks": regions.RandomBlocks(0.3, 100),
    "small blocks": regions.RandomBlocks(0.2, 1),
    "few pixels": regions.RandomPixels(0.03),
    "many pixels": regions.RandomPixels(0.4),
}

SIZES = [(1, 1), (3, 8), (20, 31), (33, 17)]


def regions_of(size: tuple[int, int]) -> dict[str, Region]:
    """All kinds on one canvas, by name."""
    h, w = size
    drawn = {name: sampler.sample(draws(12, name), size) for name, sampler in SAMPLERS.items()}
    outside = [[-3, -2, 2, 2], [h - 1, w - 1, h + 4, w + 9]]
    crossed = [[0, 2, h, 2], [2, 0, 1, w]]
    none = torch.zeros(2, 0, 4, dtype=torch.int64)
    by_hand = {
        "boxes off the canvas": boxes(size, outside, crossed),
        "no boxes": regions.Boxes(size, none),
        "uneven cells": regions.Cells.even(size, torch.rand(4, 5, 3, generator=torch.manual_seed(0)) < 0.5),
        "cells that end early": regions.Cells(size, torch.ones(1, 2, 2).bool(), torch.tensor([[max(1, h // 2), w]])),
        "all stripes": grid(size, 4, 4, stripes=True),
        "no stripes": grid(size, 4, 0, stripes=True),
        "period of 1": grid(size, 1, 1, angle=30),
        "too wide": grid(size, 3, 7, angle=200),
        "far offset": grid(size, 7, 3, (-50, 1000), angle=271),
        **{f"grid at {angle}": grid(size, 6, 3, (2, 5), angle) for angle in (45, 90, 135, 180, 270, 300)},
        "everything": regions.Mask.of(torch.ones(1, h, w).bool()),
        "nothing": regions.Mask.of(torch.zeros(1, h, w).bool()),
    }
    return drawn | by_hand


EVERY = [(size, name) for size in SIZES for name in regions_of(size)]
