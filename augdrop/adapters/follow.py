"""Follow: annotations under a plan that is there, for hosts that hand over images and annotations one by one."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from augdrop.annotations import Policy
from augdrop.annotations.follow import blended, check
from augdrop.annotations.members import by_method, choose
from augdrop.annotations.objects import Objects
from augdrop.fills import Constant
from augdrop.kernels.dispatch import apply
from augdrop.plan import Plan
from augdrop.plans import Plans, methods
from augdrop.transforms.base import Transform
from augdrop.transforms.composition import Compose, OneOf


def follow(transform: Transform, plan: Plan | Plans, samples: list[Objects], **changes: Any) -> list[Objects]:
    """The annotations of B samples after ``transform`` has carried out ``plan``; each member goes by its own policy.

    ``changes`` are made to every policy.

    Loose keypoints ``[P, 2]`` keep their rows, for a host may have tied other things to them: a mix makes ``2 P`` of
    them, a sample's own and then its partner's. A point that is gone (removed by the policy, or not in the picture at
    all) has NaN for coordinates; ``keypoints_visible`` says of all which can be seen.
    """
    check(samples, next(methods(plan)))
    return _follow(transform, plan, samples, changes)


def _follow(transform: Transform, plan: Plan | Plans, samples: list[Objects], changes: dict[str, Any]) -> list[Objects]:
    if isinstance(plan, Plan):
        policy = _changed(cast(Policy, transform.policy()), **changes)
        after = by_method(samples, plan, _changed(policy, keypoints="flag"))
        return [_points(a, b, policy, copies(transform)) for a, b in zip(samples, after, strict=True)]
    parts = list(zip(cast(Compose, transform).members, plan.plans, strict=True))
    if plan.kind == "choice":
        after = choose(samples, plan, [_follow(member, part, samples, changes) for member, part in parts])
        return [_with_rows(b, copies(transform), a) for a, b in zip(samples, after, strict=True)]
    for member, part in parts:
        samples = _follow(member, part, samples, changes)
    return samples


def follow_classes(transform: Transform, plan: Plan | Plans, masks: Tensor, inplace: bool = False) -> Tensor:
    """`follow` for semantic masks ``[B, C, H, W]``, painted by the images' kernels; the same tensor if none changes."""
    if isinstance(plan, Plan):
        return _paint_classes(plan, cast(Policy, transform.policy()), masks, None, inplace)
    parts = list(zip(cast(Compose, transform).members, plan.plans, strict=True))
    if plan.kind == "chain":
        for member, part in parts:
            masks = follow_classes(member, part, masks, inplace)
        return masks
    painted, given = masks, masks.clone() if inplace else masks
    for member, part in parts:  # by one of which a sample is hit at most
        if isinstance(part, Plan):
            painted = _paint_classes(part, cast(Policy, member.policy()), painted, given, inplace)
        elif (moved := follow_classes(member, part, given)) is not given:
            both = torch.where(part.hit.to(masks.device)[:, None, None, None], moved, painted)
            painted = painted.copy_(both) if inplace else both
    return painted


def _paint_classes(plan: Plan, policy: Policy, masks: Tensor, source: Tensor | None, inplace: bool) -> Tensor:
    if plan.partner is not None:
        if plan.opacity is not None and bool((plan.hit & (plan.opacity < 1)).any()):
            raise blended()
        return apply(masks, dataclasses.replace(plan, opacity=None), inplace=inplace, source=source)
    if policy.masks == "keep":
        return masks
    return apply(masks, dataclasses.replace(plan, fill=Constant(float(policy.mask_fill))), inplace=inplace)


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
    after = _with_rows(after, times, before)
    points, visible = after.keypoints, after.keypoints_visible
    if before.keypoints is None or points is None or visible is None:
        return after
    own, gone = len(before.keypoints), ~visible
    if policy.keypoints != "remove":
        gone[:own] = False
    if policy.keypoints == "keep":
        visible = torch.cat([before.labelled(), visible[own:]])
    points = torch.where(gone[:, None], torch.nan, points) if gone.any() else points
    return dataclasses.replace(after, keypoints=points, keypoints_visible=visible)


def _with_rows(after: Objects, times: int, before: Objects) -> Objects:
    """``times`` as many loose keypoints as before: those that no partner has brought are unknown."""
    points, visible = after.keypoints, after.keypoints_visible
    if before.keypoints is None or points is None or visible is None:
        return after
    missing = times * len(before.keypoints) - len(points)
    points = torch.cat([points, points.new_full((missing, 2), torch.nan)])
    return dataclasses.replace(
        after, keypoints=points, keypoints_visible=torch.cat([visible, visible.new_zeros(missing)])
    )
