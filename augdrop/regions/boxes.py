"""Boxes: N half-open rectangles a sample, the region of Cutout, Random Erasing and CutMix."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from augdrop.regions import spans
from augdrop.regions.base import Region, blank


@dataclasses.dataclass(frozen=True, eq=False)
class Boxes(Region):
    """``boxes``: int64 ``[B, N, 4]``, half-open ``[y0, x0, y1, x1)`` inside the canvas; an empty box drops nothing.

    Example:
        >>> region = Boxes((4, 4), torch.tensor([[[0, 0, 2, 3]]]))
        >>> region.area().tolist(), region.mask().sum().item()
        ([6], 6)
    """

    boxes: Tensor
    kind: ClassVar[int] = spans.BOXES
    shapes: ClassVar = {"boxes": (torch.int64, (-1, 4))}

    def mask(self) -> Tensor:
        y0, x0, y1, x1 = self.boxes[..., None].unbind(-2)
        ys, xs = (torch.arange(side, device=self.device) for side in self.size)
        rows, columns = (ys >= y0) & (ys < y1), (xs >= x0) & (xs < x1)
        # How many boxes each pixel is in: the product of two small tables rather than a canvas for each box.
        return rows.mT.float() @ columns.float() > 0

    def packed(self) -> tuple[int, Tensor, Tensor]:
        return self.kind, self.boxes.contiguous(), blank(self.boxes)

    def rescale(self, height: int, width: int) -> Boxes:
        """The same boxes on another canvas: a cell is dropped when the pixel at its centre is."""
        old = torch.tensor([*self.size, *self.size], device=self.device)
        new = torch.tensor([height, width, height, width], device=self.device)
        # The first cell whose centre lies at or after an edge: the ceiling of edge * new / old - 1/2.
        return Boxes((height, width), -((old - 2 * new * self.boxes) // (2 * old)))
