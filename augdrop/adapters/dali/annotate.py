"""What a plan does to everything but pixels: labels, boxes, segmentation masks and keypoints of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from augdrop import annotations
from augdrop.annotations import Policy
from augdrop.annotations.objects import Objects
from augdrop.errors import fail
from augdrop.fills import Constant, Partner
from augdrop.kernels.dispatch import apply
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Shape, Transform
from augdrop.transforms.composition import Compose


def steps(t: Transform, plan: Plan | Plans) -> Iterator[tuple[Transform, Plan | Plans]]:
    """The methods that samples go through one after the other, each with its plan."""
    if isinstance(t, Compose):
        assert isinstance(plan, Plans)
        for member, part in zip(t.members, plan.plans, strict=True):
            yield from steps(member, part)
    else:
        yield t, plan


def policies(t: Transform) -> list[Policy]:
    """The policies of the methods that samples go through."""
    return [p for m in t.members for p in policies(m)] if isinstance(t, Compose) else [t.policy()]


def mixes_labels(t: Transform) -> bool:
    """Do class labels change?"""
    return t.mixes and t.label_options() is not None


def mix_labels(t: Transform, plan: Plan | Plans, target: Tensor, shape: tuple[int, ...]) -> Any:
    """The targets of a batch of images of ``shape``; see `augdrop.labels.mix`."""
    for method, part in steps(t, plan):
        if mixes_labels(method):
            target = method.mix_labels(target, part, Shape(shape))  # type: ignore[arg-type]
    return target


def follow(t: Transform, plan: Plan | Plans, samples: list[Objects]) -> list[Objects]:
    """The boxes and keypoints of a batch, with what belongs to each object."""
    for method, part in steps(t, plan):
        flat = _flat(part, len(samples))
        mixed = method.mixes and flat.partner is not None
        samples = (annotations.mix if mixed else annotations.erase)(samples, flat, method.policy())
    return samples


def paint_masks(t: Transform, plan: Plan | Plans, masks: Tensor) -> None:
    """Paint segmentation masks ``[B, ..., H, W]`` in place, as `augdrop.annotations` does one by one."""
    view = masks.flatten(1, -3) if masks.ndim > 3 else masks[:, None]
    view = view[:, :, None]
    for method, part in steps(t, plan):
        flat, policy = _flat(part, len(masks)), method.policy()
        erased = flat.hit
        if method.mixes and flat.partner is not None:
            own = flat.partner == torch.arange(len(flat))
            pasted, erased = flat.hit & ~own, flat.hit & own
            if flat.opacity is not None and bool((pasted & (flat.opacity < 1)).any()):
                raise fail(
                    "to_dali: masks",
                    got="a blend of two images",
                    expected="pixels of one class each",
                    fix="Use CutMix, or leave the masks out.",
                )
            apply(view, dataclasses.replace(flat, fill=Partner(), hit=pasted, opacity=None), inplace=True)
        if policy.masks != "keep" and bool(erased.any()):
            fill = Constant(policy.mask_fill)
            plain = dataclasses.replace(flat, fill=fill, hit=erased, partner=None, opacity=None)
            apply(view, plain, inplace=True)


def _flat(plan: Plan | Plans, batch: int) -> Plan:
    flat = plan.flat() if isinstance(plan, Plans) else plan
    if len(flat) != batch:
        raise fail(
            "to_dali: annotations of a video",
            got="a region for each frame",
            expected="one for all frames",
            fix="Leave out per_frame, or the annotations.",
        )
    return flat
