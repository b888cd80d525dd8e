"""Grid: a rotated lattice of squares or stripes, the region of GridMask."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.errors import fail
from augdrop.regions import spans
from augdrop.regions.base import NO_BITS, Region
from augdrop.regions.mask import Mask, resample


@dataclasses.dataclass(frozen=True, eq=False)
class Grid(Region):
    """Stripes of ``width`` pixels every ``period`` pixels along both axes, turned about the centre.

    The lattice lives on a square canvas whose side is the image's diagonal, rounded up, so that turning it never
    uncovers a corner; the image is the centre of that canvas, and ``offset`` counts from the canvas' corner.

    Args:
        period, width: int64 ``[B]``, pixels, ``0 <= width <= period``, ``period >= 1``.
        offset: int64 ``[B, 2]``, rows and columns.
        angle: float64 ``[B]``, degrees, counter-clockwise.
        stripes: drop the stripes, or (False) the squares between them.
    """

    period: Tensor
    width: Tensor
    offset: Tensor
    angle: Tensor
    stripes: bool = False
    kind: ClassVar[int] = spans.GRID
    shapes: ClassVar = {
        **{name: (torch.int64, ()) for name in ("period", "width")},
        **{"offset": (torch.int64, (2,)), "angle": (torch.float64, ())},
    }

    def check(self, batch: int) -> None:
        super().check(batch)
        if bool((self.period < 1).any()):
            raise fail("Grid: period", got=int(self.period.min()), expected="pixels >= 1", fix="Make the grid anew.")

    def mask(self) -> Tensor:
        params, (h, w) = self.packed()[1][:, :, None, None], self.size
        y, x = torch.arange(h, device=self.device)[:, None], torch.arange(w, device=self.device)
        down, along, cos, sin, bar = (params[:, i] for i in range(5))
        rows = (down + sin * x + cos * y) % spans.PERIOD
        columns = (along + cos * x - sin * y) % spans.PERIOD
        striped = (rows < bar) | (columns < bar)
        return striped if self.stripes else ~striped

    def packed(self) -> tuple[int, Tensor, Tensor]:
        lattice, (h, w) = self.arrays("period", "width", "offset", "angle"), self.size
        if lattice is None:
            return self.packed_there()
        period, width, offset, angle = lattice
        params = pack(period, width, offset, angle, self.stripes, h, w, diagonal(h, w))
        return self.kind, torch.from_numpy(params), NO_BITS

    def packing(self) -> dict[str, Tensor]:
        return {"params": self.packed()[1]}

    def rescale(self, height: int, width: int) -> Mask:
        return resample(self, height, width)


@njit(cache=True, nogil=True)
def pack(period, width, offset, angle, stripes, h, w, side):
    """Lattices as `spans` reads them, int64 ``[B, 14]``.

    A period is 2^32, so that integers draw the same lattice on every device, and a coordinate wraps around by itself.
    """
    params = np.empty((len(period), 14), np.int64)
    for b in range(len(period)):
        p, turn, unit = params[b], angle[b] * (math.pi / 180), spans.PERIOD / period[b]
        # Cut off, not rounded: a step of one pixel is never longer than a stripe of one.
        cos, sin = 2 * np.int64(math.cos(turn) * (unit / 2)), 2 * np.int64(math.sin(turn) * (unit / 2))
        # From the centre outwards, where the image's may be half a pixel beside the canvas'.
        y, x = (side - h) // 2 + (h - side) / 2, (side - w) // 2 + (w - side) / 2
        down = side / 2 - offset[b, 0] % period[b] + math.sin(turn) * x + math.cos(turn) * y
        along = side / 2 - offset[b, 1] % period[b] + math.cos(turn) * x - math.sin(turn) * y
        p[0] = np.int64(np.rint(down * unit)) - (sin * (w - 1) + cos * (h - 1)) // 2
        p[1] = np.int64(np.rint(along * unit)) - (cos * (w - 1) - sin * (h - 1)) // 2
        p[2], p[3], p[4], p[5] = cos, sin, min(max(width[b], 0), period[b]) * spans.PERIOD // period[b], stripes
        # How many whole steps cross a stripe, or the space between two, and what is left of it: first along rows.
        for at, step in ((6, max(abs(sin), 1)), (10, max(abs(cos), 1))):
            for i, length in enumerate((p[4], spans.PERIOD - p[4])):
                p[at + 2 * i], p[at + 2 * i + 1] = length // step, length % step
    return params


def diagonal(height: int, width: int) -> int:
    """The side of the canvas: the diagonal of the image, rounded up."""
    square = height * height + width * width
    root = math.isqrt(square)
    return root + (root * root < square)
