"""Members: annotations follow a composition's plans, each sample by the policies of the methods that it meets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

import torch

from augdrop.annotations.follow import check, erased, mixed
from augdrop.annotations.objects import Objects, check_alike
from augdrop.annotations.policy import Policy
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans, methods

Policies: TypeAlias = "Policy | tuple[Policies, ...]"
"""The policy of a method, or those of a composition's members, in their order."""


def each(policies: Policies) -> Iterator[Policy]:
    """The policies of all methods."""
    if isinstance(policies, Policy):
        yield policies
    else:
        for policy in policies:
            yield from each(policy)


def follow(samples: Sequence[Objects], plan: Plan | Plans, policies: Policies) -> list[Objects]:
    """The annotations of B samples after any plan.

    Of a choice a sample goes by the plan and the policy of the member that was drawn for it. Where one member flags
    what is hidden, all samples get flags.

    Args:
        samples: the annotations of the batch.
        plan: of a method, a chain or a choice.
        policies: as many, and nested, as the plans.

    Example:
        >>> import augdrop as ad
        >>> t = ad.OneOf([ad.Cutout(16, annotations=Policy(masks="fill", mask_fill=9)), ad.Cutout(16)], seed=0)
        >>> plan = t.plan((4, 3, 16, 16), keys=range(4))
        >>> after = follow([Objects(segmentation=torch.zeros(16, 16))] * 4, plan, t.policy())
        >>> [bool((o.segmentation == 9).any()) for o in after] == plan.plans[0].hit.tolist()
        True
    """
    check_frames(plan, len(samples))
    check(samples, next(methods(plan)))
    if any(part.partner is not None for part in methods(plan)):
        check_alike(samples)
    return _follow(samples, plan, policies)


def check_frames(plan: Plan | Plans, batch: int) -> None:
    """Raise for a plan with a region for each frame: the annotations of a video are those of all its frames."""
    if any(len(part) != batch for part in methods(plan)):
        raise fail(
            "annotations of a video",
            got="a region for each frame",
            expected="one for all frames",
            fix="Leave out per_frame, or the annotations.",
        )


def by_method(samples: Sequence[Objects], plan: Plan, policy: Policy) -> list[Objects]:
    """The annotations after the plan of a single method, for samples that are in order."""
    return erased(samples, plan, policy) if plan.partner is None else mixed(samples, plan, policy, samples)


def choose(samples: Sequence[Objects], plan: Plans, after: Sequence[Sequence[Objects]]) -> list[Objects]:
    """Each sample as the member of a choice left it that was drawn for it; ``after`` has all samples of each member."""
    out = list(samples)
    for part, left in zip(plan.plans, after, strict=True):
        for b in part.hit.nonzero().flatten().tolist():
            out[b] = left[b]
    return [_flagged(objects, [left[b] for left in after]) for b, objects in enumerate(out)]


def _follow(samples: Sequence[Objects], plan: Plan | Plans, policies: Policies) -> list[Objects]:
    if isinstance(plan, Plan):
        return by_method(samples, plan, cast(Policy, policies))
    parts = list(zip(plan.plans, cast("tuple[Policies, ...]", policies), strict=True))
    if plan.kind == "choice":
        return choose(samples, plan, [_follow(samples, part, own) for part, own in parts])
    for part, own in parts:
        samples = _follow(samples, part, own)
    return list(samples)


def _flagged(objects: Objects, others: Sequence[Objects]) -> Objects:
    """Flags where other members flag, so that all samples of a batch have the same parts."""
    flags = {}
    if objects.visible is None and objects.count is not None and any(o.visible is not None for o in others):
        flags["visible"] = torch.ones(objects.count, dtype=torch.bool, device=objects.device)
    if objects.keypoints_visible is None and any(o.keypoints_visible is not None for o in others):
        flags["keypoints_visible"] = objects.labelled()
    return dataclasses.replace(objects, **flags) if flags else objects
