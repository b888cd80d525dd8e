"""Follow: annotations under a plan that is there, for hosts that hand over images and annotations one by one."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from augdrop import annotations
from augdrop.annotations import Policy
from augdrop.annotations.objects import Objects
from augdrop.fills import Constant
from augdrop.kernels.dispatch import apply
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform
from augdrop.transforms.composition import Compose, OneOf


def follow(transform: Transform, plan: Plan | Plans, samples: list[Objects], **changes: Any) -> list[Objects]:
    """The annotations of B samples after ``transform`` has carried out ``plan``; each member goes by its own policy.

    ``changes`` are made to every policy.

    Loose keypoints ``[P, 2]`` keep their rows, for a host may have tied other things to them: a mix makes ``2 P`` of
    them, a sample's own and then its partner's. A point that is gone (removed by the policy, or not in the picture at
    all) has NaN for coordinates; ``keypoints_visible`` says of all which can be seen.
    """
    if isinstance(plan, Plans) and plan.kind == "chain":
        for member, part in zip(cast(Compose, transform).members, plan.plans, strict=True):
            samples = follow(member, part, samples, **changes)
        return samples
    whole = plan.flat() if isinstance(plan, Plans) else plan
    policy = _changed(transform.policy(), **changes)
    flagged = _changed(policy, keypoints="flag")
    if transform.mixes and whole.partner is not None:
        after = annotations.mix(samples, whole, flagged)
        return [_points(a, b, policy, 2) for a, b in zip(samples, after, strict=True)]
    after = annotations.erase(samples, whole, flagged)
    return [_points(a, b, policy, 1) for a, b in zip(samples, after, strict=True)]


def follow_classes(transform: Transform, plan: Plan | Plans, masks: Tensor) -> Tensor:
    """`follow` for semantic masks ``[B, C, H, W]``, painted by the images' kernels; the same tensor if none changes."""
    parts = plan.plans if isinstance(plan, Plans) else (plan,)
    if isinstance(plan, Plans) and plan.kind == "chain":
        for member, part in zip(cast(Compose, transform).members, parts, strict=True):
            masks = follow_classes(member, part, masks)
        return masks
    if any(isinstance(part, Plans) or part.opacity is not None for part in parts):
        after = follow(transform, plan, [Objects(segmentation=m) for m in masks])
        return torch.stack([o.segmentation for o in after if o.segmentation is not None])
    policy, painted = transform.policy(), masks
    for part in cast(tuple[Plan, ...], parts):  # of a choice, by which a sample is hit once at most
        if part.partner is not None:
            painted = apply(painted, part, source=masks)
        elif policy.masks != "keep":
            painted = apply(painted, dataclasses.replace(part, fill=Constant(float(policy.mask_fill))))
    return painted


def copies(transform: Transform) -> int:
    """How many times its own number of objects a sample may have afterwards: partners bring theirs."""
    if isinstance(transform, Compose):
        product = 1
        for member in transform.members:
            product *= copies(member)
        return product
    if isinstance(transform, OneOf):
        return max(copies(member) for member in transform.members)
    return 2 if transform.mixes else 1


@lru_cache
def _changed(policy: Policy, **changes: Any) -> Policy:
    return dataclasses.replace(policy, **changes)


def _points(before: Objects, after: Objects, policy: Policy, times: int) -> Objects:
    """Keypoints as `follow` has them, from what a policy that flags has made of them."""
    points, visible = after.keypoints, after.keypoints_visible
    if before.keypoints is None or points is None or visible is None:
        return after
    own = len(before.keypoints)
    missing = times * own - len(points)  # a sample without a partner
    points = torch.cat([points, points.new_full((missing, 2), torch.nan)])
    visible = torch.cat([visible, visible.new_zeros(missing)])
    gone = ~visible
    if policy.keypoints != "remove":
        gone[:own] = False
    if policy.keypoints == "keep":
        visible[:own] = before.labelled()
    return dataclasses.replace(after, keypoints=_without(points, gone), keypoints_visible=visible)


def _without(points: Tensor, gone: Tensor) -> Tensor:
    return torch.where(gone[:, None], torch.nan, points) if gone.any() else points
