"""Every region and every fill, once: what kernels are tried with, by the tests and on a device."""

from __future__ import annotations

from typing import Any

from augdrop import fills, regions
from augdrop.fills import Fill

WHERES: dict[str, Any] = {
    "box": regions.AreaBoxes(),
    "boxes": regions.AreaBoxes(count=(1, 3)),
    "grid": regions.RandomGrid((5, 20), 0.5, rotate=1),
    "turned grid": regions.RandomGrid((5, 20), 0.5, drop="stripes"),
    "cells": regions.RandomCells((0, 3, 7)),
    "blocks": regions.RandomBlocks(0.3),
    "pixels": regions.RandomPixels(0.2),
    "everywhere": regions.Everywhere(),
}

FILLS: dict[str, Fill] = {
    "constant": fills.Constant(1),
    "per channel": fills.PerChannel((0, 1, 0)),
    "noise": fills.Noise(),
    "normal": fills.Noise("normal"),
    "noise per channel": fills.Noise(per="channel"),
    "mean": fills.ImageMean(),
    "blur": fills.Blur(4),
    "partner": fills.Partner(),
    "blend": fills.Partner(),
}
