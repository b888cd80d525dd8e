"""Grid: a rotated lattice of squares or stripes, the region of GridMask."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from augdrop.regions import spans
from augdrop.regions.base import NO_BITS, Region

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

    def fixed_point(self) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angle as integers with `spans.ANGLE_BITS` binary places, int64 ``[B]``."""
        # On the host: the last bit of a cosine differs between devices.
        angle = torch.deg2rad(self.angle.cpu())
        return tuple((f(angle) * _ONE).round().long().to(self.device) for f in (torch.cos, torch.sin))  # type: ignore[return-value]

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

    def packed(self) -> tuple[int, np.ndarray, np.ndarray]:
        (h, w), n = self.size, len(self)
        side = diagonal(h, w)
        params = np.empty((n, 10), np.int64)
        params[:, 0], params[:, 1], params[:, 2:4] = self.period.numpy(), self.width.numpy(), self.offset.numpy()
        params[:, 4], params[:, 5] = (v.numpy() for v in self.fixed_point())
        params[:, 6:] = side, self.stripes, (side - h) // 2, (side - w) // 2
        return self.kind, params, NO_BITS


def diagonal(height: int, width: int) -> int:
    """The side of the canvas: the diagonal of the image, rounded up."""
    square = height * height + width * width
    root = math.isqrt(square)
    return root + (root * root < square)
