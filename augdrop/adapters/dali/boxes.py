"""Boxes and points as DALI's readers give them: in pixels or as shares of the image, by corners or by size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from augdrop.errors import fail, nearest

FORMATS = ("ltrb", "xywh")


class Geometry(NamedTuple):
    """How annotations are written.

    Args:
        bbox_format: ``"ltrb"`` or ``"xywh"``, the ``ltrb=True`` and ``ltrb=False`` of `fn.readers.coco`; None where
            there are no boxes.
        ratio: as in that reader: coordinates are shares of the image's width and height, else pixels.
    """

    bbox_format: str | None = None
    ratio: bool = False

    def check(self, wanted: bool) -> None:
        """Raise unless the format is one that is known; ``wanted``: there are boxes."""
        if (wanted or self.bbox_format is not None) and self.bbox_format not in FORMATS:
            fix = "" if self.bbox_format is None else nearest(str(self.bbox_format), FORMATS)
            raise fail(
                "to_dali: bbox_format",
                got="boxes without it" if self.bbox_format is None else repr(self.bbox_format),
                expected="'ltrb' or 'xywh', in pixels, or with ratio=True in shares of the image",
                fix=fix or "Declare it: to_dali(t, bbox_format='ltrb').",
            )

    def to_corners(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Boxes as ``x0, y0, x1, y1`` in pixels, float64 ``[K, 4]``; those in pixels by corners as they are."""
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise fail(
                "to_dali: boxes",
                got=f"{tuple(boxes.shape)} for a sample",
                expected="[K, 4]",
                fix="No boxes are an empty [0, 4].",
            )
        if self == ("ltrb", False):
            return boxes
        if self.ratio and len(boxes) and float(boxes.max()) > 2:
            raise fail(
                "to_dali: boxes",
                got=f"a coordinate of {float(boxes.max()):.5g}",
                expected="shares of the image, as ratio=True says",
                fix="Boxes in pixels need no ratio=.",
            )
        boxes = boxes.double()
        if self.bbox_format == "xywh":
            boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        return boxes * self._scale(size, 4)

    def from_corners(self, boxes: Tensor, size: tuple[int, int], like: Tensor) -> Tensor:
        """The inverse of `to_corners`, in the dtype of ``like``."""
        if self == ("ltrb", False):
            return boxes
        boxes = boxes / self._scale(size, 4)
        if self.bbox_format == "xywh":
            boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        return boxes.to(like.dtype)

    def to_points(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Keypoints ``[..., 2 or 3]`` in pixels; float64 if they came as shares."""
        return points.double() * self._scale(size, points.shape[-1]) if self.ratio else points

    def from_points(self, points: Tensor, size: tuple[int, int], like: Tensor) -> Tensor:
        """The inverse of `to_points`, in the dtype of ``like``."""
        return (points / self._scale(size, points.shape[-1])).to(like.dtype) if self.ratio else points

    def _scale(self, size: tuple[int, int], columns: int) -> Tensor:
        h, w = size if self.ratio else (1, 1)
        return torch.tensor([w, h, 1] if columns == 3 else [w, h] * (columns // 2), dtype=torch.float64)
