"""CutMix's boxes: one a sample, of a share that a Beta law draws."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
from numba import njit

from augdrop.beta import law, quantile
from augdrop.checks import plain_fields
from augdrop.regions.alone import once_a_size
from augdrop.regions.boxes import Boxes
from augdrop.regions.random_boxes import below, centred_box
from augdrop.rng import FIRST, INT64, Draws, uniform_pair


@njit(cache=True, nogil=True)
def cutmix_box(lam, y, x, height, width, keep_odd):
    """CutMix's box of share ``1 - lam`` around ``(y, x)``, clipped: ``(y0, x0, y1, x1)``.

    Sides are ``int(side * sqrt(1 - lam))``; an odd one loses a pixel (authors, torchvision) unless ``keep_odd`` (timm).
    """
    root = math.sqrt(max(1.0 - lam, 0.0))
    h, w = np.int64(height * root), np.int64(width * root)
    extra = 1 if keep_odd else 0
    return centred_box(y, x, h // 2, w // 2, (h + extra) // 2, (w + extra) // 2, height, width)


@dataclasses.dataclass(frozen=True)
class BetaBoxes:
    """One box a sample whose share is ``1 - λ``, λ ~ Beta(alpha, alpha) (CutMix's rule).

    Args:
        alpha: both parameters of the Beta law; 1 is uniform.
        rule: ``"clipped"`` (around a uniform pixel, cut by the border, even sides: authors, torchvision),
            ``"clipped-odd"`` (the same with odd sides kept: timm) or ``"inside"`` (placed whole: kornia).
    """

    alpha: float = 1.0
    rule: Literal["clipped", "clipped-odd", "inside"] = "clipped"
    __post_init__ = plain_fields

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[int, ...]:
        return *size, self.rule == "clipped-odd", self.rule == "inside"

    def sample(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        stream, keys, epochs = draws
        power, table = law(self.alpha)
        boxes = np.empty((len(keys), 1, 4), INT64)
        _beta(stream, keys, epochs, power, table, boxes, self.numbers(size))
        return Boxes.drawn({"boxes": boxes}, size=size)


@njit(cache=True, nogil=True)
def _beta(stream, keys, epochs, power, table, out, numbers):
    height, width, keep_odd, inside = numbers
    for b in range(len(keys)):
        lam = quantile(uniform_pair(stream, keys[b], epochs[b], FIRST)[0], power, table)
        u, v = uniform_pair(stream, keys[b], epochs[b], FIRST + 1)
        if inside:
            root = math.sqrt(max(1.0 - lam, 0.0))
            h, w = np.int64(height * root), np.int64(width * root)
            y, x = below(u, height - h + 1), below(v, width - w + 1)
            out[b, 0, 0], out[b, 0, 1], out[b, 0, 2], out[b, 0, 3] = y, x, y + h, x + w
        else:
            box = cutmix_box(lam, below(u, height), below(v, width), height, width, keep_odd)
            out[b, 0, 0], out[b, 0, 1], out[b, 0, 2], out[b, 0, 3] = box
