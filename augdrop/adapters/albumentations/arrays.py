"""albumentations' arrays: where the canvas is among them, as tensors, and boxes in pixels."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augdrop.adapters.checks import check_layout
from augdrop.errors import fail
from augdrop.samples import edge

WHERE = "to_albumentations"
IMAGES = {"volume": 1, "volumes": 2, "image": 0, "images": 1}
"""Where the canvas is seen, in albumentations' own order, and how many axes come before H."""


def integer(key: Any) -> int:
    """A sample's key as it stands beside the image."""
    try:
        return operator.index(key)
    except TypeError:
        fix = "Name samples by number, or by augdrop.key_of(name)."
        raise fail(f"{WHERE}: key", got=repr(key), expected="an integer", fix=fix) from None


def shape_of(images: Any, axes: int) -> tuple[int, ...]:
    """The shape ``[1, C, H, W]`` or ``[1, T, C, H, W]`` of arrays H×W or H×W×C with ``axes`` more before H."""
    shape = np.shape(images)
    if len(shape) not in (axes + 2, axes + 3):
        expected = f"H×W or H×W×C{f', with {axes} axes before' if axes else ''}"
        raise fail(WHERE, got=f"shape {shape}", expected=expected, fix="Name images by what they are: image, volume …")
    h, w, c = shape[axes:] if len(shape) == axes + 3 else (*shape[axes:], 1)
    check_layout(WHERE, (h, w, c), "HWC")
    return (1, *((math.prod(shape[:axes]),) if axes else ()), c, h, w)


def images_of(array: np.ndarray, axes: int) -> Tensor:
    """Arrays as `shape_of` says."""
    array = array[..., None] if array.ndim == axes + 2 else array
    return edge.to_image(array).reshape(shape_of(array, axes))


def pixels(bboxes: np.ndarray, size: tuple[int, ...]) -> Tensor:
    """Boxes in pixels, float64 ``[K, 4]``, less the rounding of albumentations' float32 shares of the sides."""
    return torch.from_numpy(np.round(bboxes[:, :4].astype(np.float64) * sides(size), 3))


def sides(size: tuple[int, ...]) -> np.ndarray:
    """Width, height, width, height of a canvas ``(H, W)``."""
    return np.array(size)[[1, 0, 1, 0]]


def corners(data: dict[str, Any], size: tuple[int, ...]) -> Tensor:
    """The boxes of a sample as `pixels`, none if there are none."""
    boxes = data.get("bboxes")
    return pixels(np.zeros((0, 4)) if boxes is None or not len(boxes) else np.asarray(boxes), size)
