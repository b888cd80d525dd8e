"""Formats: boxes as torchvision's tv_tensors write them, and the corners that annotations are followed by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors


def format_of(boxes: Any) -> str:
    """The format of boxes; plain tensors and arrays are ``x0, y0, x1, y1``."""
    return boxes.format.value if isinstance(boxes, tv_tensors.BoundingBoxes) else "XYXY"


def to_corners(boxes: Tensor, form: str) -> Tensor:
    """Upright boxes as ``x0, y0, x1, y1``; turned ones as four corners, ``[K, 8]``, from the first one on. Float64.

    Example:
        >>> to_corners(torch.tensor([[4, 2, 4, 2, 90]]), "CXCYWHR").round(decimals=6).tolist()
        [[3.0, 4.0, 3.0, 0.0, 5.0, 0.0, 5.0, 4.0]]
    """
    boxes = boxes.double()
    if form in ("XYXY", "XYXYXYXY"):
        return boxes
    x, y, w, h = boxes[:, :4].unbind(-1)
    if not form.endswith("R"):
        x0, y0 = (x, y) if form == "XYWH" else (x - w / 2, y - h / 2)
        return torch.stack([x0, y0, x0 + w, y0 + h], -1)
    right, down = _sides(boxes)
    first = torch.stack([x, y], -1) - (0 if form == "XYWHR" else (right + down) / 2)
    return torch.cat([first, first + right, first + right + down, first + down], -1)


def from_corners(corners: Tensor, form: str, given: Tensor) -> Tensor:
    """The inverse of `to_corners`; angles are those of ``given``, for a box that shrinks does not turn."""
    if form in ("XYXY", "XYXYXYXY"):
        return corners.to(given.dtype)
    first = corners[:, :2]
    if form.endswith("R"):
        right, down = corners[:, 2:4] - first, corners[:, 6:] - first
        w, h = right.norm(dim=1), down.norm(dim=1)
        x, y = (first if form == "XYWHR" else first + (right + down) / 2).unbind(1)
        return torch.stack([x, y, w, h, given[:, 4].double()], -1).to(given.dtype)
    w, h = (corners[:, 2:] - first).unbind(1)
    x, y = (first if form == "XYWH" else first + torch.stack([w, h], 1) / 2).unbind(1)
    return torch.stack([x, y, w, h], -1).to(given.dtype)


def upright(corners: Tensor) -> Tensor:
    """The upright boxes around boxes, ``[K, 4]``."""
    points = corners.unflatten(-1, (corners.shape[-1] // 2, 2))  # -1 is ambiguous where there are no boxes
    return torch.cat([points.amin(1), points.amax(1)], 1)


def _sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """From the first corner to the second and to the fourth; angles are in degrees, counter-clockwise."""
    angle = boxes[:, 4].deg2rad()
    cos, sin = angle.cos(), angle.sin()
    w, h = boxes[:, 2], boxes[:, 3]
    return torch.stack([w * cos, -w * sin], -1), torch.stack([h * sin, h * cos], -1)
