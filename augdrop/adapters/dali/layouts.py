"""Layouts: how DALI names the axes of a sample, and a batch of such samples as the core wants it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from augdrop.adapters.checks import check_layout as check_channels
from augdrop.errors import fail

LAYOUTS = ("HWC", "CHW", "FHWC", "FCHW")
"""What a stage takes: images and videos, whose frames (F) share a region."""


def check_layout(layout: str | None, declared: str | None = None) -> str:
    """The layout of the images: DALI's own, or the declared one where DALI knows none.

    Raises:
        AugDropError: it is missing or unknown, or DALI contradicts what was declared.
    """
    if layout and declared and layout != declared:
        raise fail(
            "to_dali: layout", got=f"{layout} images", expected=f"{declared}, as declared", fix="Leave out layout=."
        )
    layout = layout or declared
    if layout not in LAYOUTS:
        raise fail(
            "to_dali: layout",
            got=f"images of layout {layout!r}" if layout else "images without a layout",
            expected=", ".join(LAYOUTS),
            fix="Name it where the images come from, or in the call: stage(images, ..., layout='HWC').",
        )
    return layout


def core_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """``(C, H, W)`` or ``(T, C, H, W)`` of a sample of a layout."""
    if len(shape) != len(layout):
        raise fail(
            "to_dali: images",
            got=f"samples of {len(shape)} axes",
            expected=f"{len(layout)}, as their layout {layout} has",
            fix="Name the layout that they have.",
        )
    check_channels("to_dali: images", shape, layout)
    return (*shape[:-3], shape[-1], *shape[-3:-1]) if layout.endswith("C") else shape


def channels_first(images: Tensor, layout: str) -> Tensor:
    """A batch of samples of a layout as a view ``[B, C, H, W]`` or ``[B, T, C, H, W]``."""
    core_shape(images.shape[1:], layout)
    if not layout.endswith("C"):
        return images
    return images.permute(0, 3, 1, 2) if images.ndim == 4 else images.permute(0, 1, 4, 2, 3)


def one_tensor(masks: Tensor | list[Tensor]) -> Tensor:
    """The segmentation masks of images of one size as one tensor."""
    if isinstance(masks, Tensor):
        return masks
    kinds = {f"{tuple(m.shape)} {str(m.dtype).removeprefix('torch.')}" for m in masks}
    if len(kinds) > 1:
        raise fail(
            "to_dali: masks",
            got=" and ".join(sorted(kinds)),
            expected="one shape and dtype for images of one size",
            fix="Resize masks with the images.",
        )
    return torch.stack(masks)


def spatial(masks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A batch of segmentation masks as a view ``[B, ..., H, W]``, for images of the core's ``shape``.

    A class for each pixel, so that one plane belongs to an image, or to each frame of a video.
    """
    size, planes = shape[-2:], (1, shape[1]) if len(shape) == 5 else (1,)
    found = masks[..., 0] if masks.ndim > 3 and masks.shape[-1] == 1 and masks.shape[-3:-1] == size else masks
    if found.shape[-2:] == size and math.prod(found.shape[1:-2]) in planes:
        return found
    raise fail(
        "to_dali: masks",
        got=f"{tuple(masks.shape[1:])} for a sample",
        expected=f"a class for each pixel of {size[0]}×{size[1]}: HW, or with one channel HWC or CHW",
        fix="Give class numbers, not colours or a plane for each object, and resize masks with the images.",
    )
