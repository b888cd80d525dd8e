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

_ONE = 1 << spans.ANGLE_BITS


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

    def fixed_point(self) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angle as integers with `spans.ANGLE_BITS` binary places, int64 ``[B]``."""
        # On the host: the last bit of a cosine differs between devices.
        if (params := self.held()) is not None:
            return params[:, spans.COS], params[:, spans.SIN]
        both = torch.from_numpy(_fixed_point(self.angle.cpu().numpy())).to(self.device)
        return both[0], both[1]

    def mask(self) -> Tensor:
        h, w = self.size
        side = diagonal(h, w)
        cos, sin = (v[:, None, None] for v in self.fixed_point())
        period, width = (v[:, None, None] << (spans.ANGLE_BITS + 1) for v in (self.period, self.width))
        y2 = 2 * (torch.arange(h, device=self.device)[:, None] + (side - h) // 2) + 1 - side
        x2 = 2 * (torch.arange(w, device=self.device) + (side - w) // 2) + 1 - side
        offset = self.offset[..., None, None] << (spans.ANGLE_BITS + 1)
        rows = sin * x2 + cos * y2 + (side << spans.ANGLE_BITS) - offset[:, 0]
        columns = cos * x2 - sin * y2 + (side << spans.ANGLE_BITS) - offset[:, 1]
        striped = (rows % period < width) | (columns % period < width)
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
def _fixed_point(angle):
    out = np.empty((2, len(angle)), np.int64)
    for b in range(len(angle)):
        turn = angle[b] * (math.pi / 180)
        out[0, b], out[1, b] = round(math.cos(turn) * _ONE), round(math.sin(turn) * _ONE)
    return out


@njit(cache=True, nogil=True)
def pack(period, width, offset, angle, stripes, h, w, side):
    """Lattices as `spans` reads them, int64 ``[B, 18]``."""
    params = np.empty((len(period), 18), np.int64)
    cos, sin = _fixed_point(angle)
    for b in range(len(period)):
        p = params[b]
        p[0], p[1] = period[b], min(max(width[b], 0), period[b])
        p[2], p[3] = offset[b, 0] % p[0], offset[b, 1] % p[0]
        p[4], p[5], p[6], p[7], p[8], p[9] = cos[b], sin[b], side, stripes, (side - h) // 2, (side - w) // 2
        # How many whole steps cross a stripe, or the space between two, and what is left of it: first along rows.
        for at, step in ((10, abs(2 * sin[b])), (14, abs(2 * cos[b]))):
            for i, pixels in enumerate((p[1], p[0] - p[1])):
                length, step = pixels * spans.PIXEL, max(step, 1)
                p[at + 2 * i], p[at + 2 * i + 1] = length // step, length % step
    return params


def diagonal(height: int, width: int) -> int:
    """The side of the canvas: the diagonal of the image, rounded up."""
    square = height * height + width * width
    root = math.isqrt(square)
    return root + (root * root < square)
