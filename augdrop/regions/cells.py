"""Cells: some squares of a patch grid, the region of Hide-and-Seek and Attentive CutMix."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.regions import spans
from augdrop.regions.base import Region
from augdrop.regions.mask import Mask, resample


@dataclasses.dataclass(frozen=True, eq=False)
class Cells(Region):
    """``cells``: bool ``[B, gh, gw]``, True where dropped; ``span``: int64 ``[B, 2]``, the pixels that the grid covers.

    Pixel ``y`` belongs to cell ``floor(y * gh / span_y)``. With ``span = size`` the grid divides the canvas evenly;
    with ``span = (gh * s, gw * s)`` its cells have a side of ``s`` pixels, and the last ones are cut by the border.
    """

    cells: Tensor
    span: Tensor
    kind: ClassVar[int] = spans.CELLS
    shapes: ClassVar = {"cells": (torch.bool, (-1, -1)), "span": (torch.int64, (2,))}

    def check(self, batch: int) -> None:
        super().check(batch)
        if bool((self.span < 1).any()):
            raise fail("Cells: span", got=int(self.span.min()), expected="pixels >= 1", fix="Make the cells anew.")

    @classmethod
    def even(cls, size: tuple[int, int], cells: Tensor) -> Cells:
        """A grid that divides the canvas evenly, as a feature map divides its image."""
        return cls(size, cells, _whole(size).to(cells.device).expand(len(cells), 2))

    def mask(self) -> Tensor:
        (h, w), (gh, gw) = self.size, self.cells.shape[1:]
        rows = torch.arange(h, device=self.device) * gh // self.span[:, :1]
        columns = torch.arange(w, device=self.device) * gw // self.span[:, 1:]
        inside = (rows < gh)[:, :, None] & (columns < gw)[:, None, :]
        batch = torch.arange(len(self), device=self.device)[:, None, None]
        return inside & self.cells[batch, rows.clamp(max=gh - 1)[:, :, None], columns.clamp(max=gw - 1)[:, None, :]]

    def packed(self) -> tuple[int, Tensor, Tensor]:
        return self.kind, self.span.contiguous(), self.cells.contiguous().view(torch.uint8)

    def rescale(self, height: int, width: int) -> Mask:
        return resample(self, height, width)


@cache
def _whole(size: tuple[int, int]) -> Tensor:
    return torch.tensor(size)
