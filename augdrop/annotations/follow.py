"""Annotations: boxes, masks and keypoints follow a plan, for erasing and for mixing under one rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from augdrop.annotations.objects import Objects, check_alike
from augdrop.annotations.policy import ERASING, MIXING, Policy
from augdrop.annotations.visibility import look
from augdrop.errors import AugDropError, fail
from augdrop.plan import Plan


def erase(samples: Sequence[Objects], plan: Plan, policy: Policy = ERASING) -> list[Objects]:
    """The annotations of B samples after pixels were erased; samples that are not hit stay as they are.

    Example:
        >>> from augdrop import fills, regions
        >>> ids = torch.arange(1)
        >>> box = regions.Boxes((8, 8), torch.tensor([[[0, 0, 8, 4]]]))
        >>> plan = Plan("Cutout", box, fills.Constant(), torch.tensor([True]), ids, ids, ids)
        >>> boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0], [1.0, 2.0, 6.0, 8.0]])
        >>> objects = Objects(boxes=boxes, fields={"labels": torch.tensor([5, 6])})
        >>> (left,) = erase([objects], plan, Policy(boxes="shrink"))
        >>> left.boxes.tolist(), left.fields["labels"].tolist()
        ([[4.0, 2.0, 6.0, 8.0]], [6])
    """
    check(samples, plan)
    return erased(samples, plan, policy)


def mix(
    samples: Sequence[Objects], plan: Plan, policy: Policy = MIXING, others: Sequence[Objects] | None = None
) -> list[Objects]:
    """The annotations of B samples after pixels came from partners: own objects first, then the partner's.

    Own objects lose what is covered. Of the partner's objects, the share that was pasted counts; a box that was pasted
    in part is fitted to that part (the bounding box of its pasted pixels: for a rectangular region the intersection),
    under every policy. What was not pasted at all never comes. Masks are pasted. At partial opacity (Mixup) own objects
    all stay.

    Args:
        samples: the annotations of the batch.
        plan: a plan with partners.
        policy: which objects stay and come.
        others: the partners' annotations if partners are not of this batch; ``plan.partner`` then counts in ``others``.
    """
    if plan.partner is None:
        raise fail("annotations.mix", got="a plan without partners", expected="a mix", fix="Use annotations.erase.")
    check(samples, plan)
    for i, objects in enumerate(others or ()):
        objects.check(plan.size, f"{plan.method}: partner {i}")
    check_alike([*samples, *(others or ())])
    return mixed(samples, plan, policy, samples if others is None else others)


def erased(samples: Sequence[Objects], plan: Plan, policy: Policy) -> list[Objects]:
    """`erase` for samples that are in order."""
    out = [_unharmed(objects, policy) for objects in samples]
    for b, pixels in _dropped(plan):
        out[b] = _erased(samples[b], pixels, policy)
    return out


def mixed(samples: Sequence[Objects], plan: Plan, policy: Policy, others: Sequence[Objects]) -> list[Objects]:
    """`mix` for samples that are in order."""
    assert plan.partner is not None
    partner = plan.partner.tolist()
    out = [_unharmed(objects, policy) for objects in samples]
    for b, pixels in _dropped(plan):
        own, theirs = samples[b], others[partner[b]]
        # What is blended hides nothing of the sample itself.
        blend = plan.opacity is not None and plan.opacity[b].item() < 1
        kept = out[b] if blend else look(own, pixels, policy, imported=False, cut=True)
        came = look(theirs, pixels, policy, imported=True, cut=True)
        out[b] = _join(kept, came, _paste(own, theirs, pixels, blend))
    return out


def check(samples: Sequence[Objects], plan: Plan) -> None:
    """Raise for samples that are not those of a plan, or not in order."""
    if len(samples) != len(plan):
        raise fail(
            f"{plan.method}: annotations",
            got=f"{len(samples)} samples",
            expected=f"one for each of {len(plan)}",
            fix="Give an empty Objects() where there are none.",
        )
    for b, objects in enumerate(samples):
        objects.check(plan.size, f"{plan.method}: sample {b}")


def _dropped(plan: Plan) -> Iterator[tuple[int, Tensor]]:
    """The positions of the samples that are hit, and what is dropped of each, bool ``[H, W]``."""
    index = plan.hit.nonzero().flatten()
    if len(index):
        yield from zip(index.tolist(), plan.region.take(index).mask(), strict=True)


def _unharmed(objects: Objects, policy: Policy) -> Objects:
    """A sample that is not hit: everything in its place, and flagged so where the others get flags."""
    flags = {}
    flags_objects = policy.boxes != "keep" and policy.removed == "flag"
    if flags_objects and objects.count is not None and objects.visible is None:
        flags["visible"] = torch.ones(objects.count, dtype=torch.bool, device=objects.device)
    if objects.keypoints is not None and policy.keypoints == "flag":
        flags["keypoints_visible"] = objects.labelled()
    return dataclasses.replace(objects, **flags) if flags else objects


def _erased(objects: Objects, dropped: Tensor, policy: Policy) -> Objects:
    left = look(objects, dropped, policy, imported=False, cut=policy.masks == "cut")
    classes = objects.segmentation
    if classes is None or policy.masks == "keep":
        return left
    _check_class(classes, policy.mask_fill)
    return dataclasses.replace(left, segmentation=classes.masked_fill(dropped.to(classes.device), policy.mask_fill))


def _check_class(classes: Tensor, fill: int) -> None:
    if classes.is_floating_point() or classes.dtype == torch.bool:
        return
    limits = torch.iinfo(classes.dtype)
    if not limits.min <= fill <= limits.max:
        expected = f"a class from {limits.min} to {limits.max}, as {classes.dtype} holds"
        raise fail(
            "Policy: mask_fill", got=fill, expected=expected, fix="255 is the usual ignore_index of uint8 masks."
        )


def blended() -> AugDropError:
    """The error of a segmentation mask beside a blend."""
    return fail(
        "segmentation mask",
        got="a blend of two images",
        expected="pixels of one class each",
        fix="Use CutMix, or leave the mask out of the sample.",
    )


def _paste(own: Objects, theirs: Objects, dropped: Tensor, blend: bool) -> Tensor | None:
    """The segmentation of a mix."""
    if own.segmentation is None or theirs.segmentation is None:
        return None
    if blend:
        raise blended()
    return torch.where(dropped.to(own.segmentation.device), theirs.segmentation.to(own.segmentation), own.segmentation)


def _join(own: Objects, other: Objects, segmentation: Tensor | None) -> Objects:
    """Own objects, then the partner's."""

    def both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b.to(a)])

    return Objects(
        boxes=both(own.boxes, other.boxes),
        masks=both(own.masks, other.masks),
        segmentation=segmentation,
        keypoints=both(own.keypoints, other.keypoints),
        fields={name: torch.cat([value, other.fields[name].to(value)]) for name, value in own.fields.items()},
        visible=both(own.visible, other.visible),
        keypoints_visible=both(own.keypoints_visible, other.keypoints_visible),
    )
