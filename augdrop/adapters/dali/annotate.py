"""What a plan does to the labels and segmentation masks of a batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from augdrop.adapters.checks import named
from augdrop.adapters.follow import follow_classes
from augdrop.annotations.members import check_frames
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform
from augdrop.transforms.shapes import Shape


def mixes_labels(t: Transform) -> bool:
    """Do class labels change?"""
    return t.mixes and t.label_options() is not None


def mix_labels(t: Transform, plan: Plan | Plans, target: Tensor, shape: tuple[int, ...]) -> Any:
    """The targets of a batch of images of ``shape``; see `augdrop.labels.mix`."""
    with named("to_dali"):
        return t.mix_labels(target, plan, Shape(shape))  # type: ignore[arg-type]


def paint_masks(t: Transform, plan: Plan | Plans, masks: Tensor) -> None:
    """Paint segmentation masks ``[B, ..., H, W]`` in place, as `augdrop.annotations` does one by one."""
    with named("to_dali"):
        check_frames(plan, len(masks))
        follow_classes(t, plan, masks.flatten(1, -3) if masks.ndim > 3 else masks[:, None], inplace=True)
