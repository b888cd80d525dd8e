"""Visibility: how much of each object a drop leaves to be seen, and what becomes of the object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.objects import Objects
from augdrop.policy import Policy
from augdrop.regions.mask import Mask

SLIVER = 1e-6
"""Pixels: a smaller area is a rounding error of the exact areas of fractional boxes."""


class View(NamedTuple):
    """Objects as they are seen past the dropped region number ``row``.

    ``imported``: they are a partner's, and seen inside the region rather than outside. ``cut``: instance masks lose the
    pixels that are not seen.
    """

    objects: Objects
    row: int
    imported: bool
    cut: bool


def look(views: Sequence[View], dropped: Tensor, policy: Policy) -> list[Objects]:
    """What is left of the objects of each view under a policy; segmentations are left alone.

    Args:
        views: what to look at.
        dropped: bool ``[N, H, W]``, the regions that the views' rows count in.
        policy: which objects go, and how their boxes and keypoints change.
    """
    # From one summed-area table for all views.
    areas = iter(_box_areas([v for v in views if _judged_by_box(v, policy)], dropped))
    return [_left(v, dropped[v.row], next(areas) if _judged_by_box(v, policy) else None, policy) for v in views]


def _judged(view: View, policy: Policy) -> bool:
    return view.objects.count is not None and (view.imported or policy.boxes != "keep")


def _judged_by_box(view: View, policy: Policy) -> bool:
    return _judged(view, policy) and view.objects.boxes is not None and view.objects.masks is None


def _box_areas(views: Sequence[View], dropped: Tensor) -> list[Tensor]:
    """For each view float64 ``[2, K]``: the area of each box, and how much of it is seen."""
    if not views:
        return []
    counts = [view.objects.count or 0 for view in views]
    boxes = torch.cat([view.objects.boxes.to(dropped.device, torch.float64) for view in views])  # type: ignore[union-attr]
    of = torch.arange(len(views)).repeat_interleave(torch.tensor(counts))
    rows = torch.tensor([view.row for view in views])[of].to(dropped.device)
    imported = torch.tensor([view.imported for view in views])[of].to(dropped.device)
    h, w = dropped.shape[1:]
    x0, y0, x1, y1 = boxes.unbind(1)
    total = (x1.clamp(0, w) - x0.clamp(0, w)) * (y1.clamp(0, h) - y0.clamp(0, h))
    covered = Mask((h, w), dropped).covered(boxes, rows)
    seen = torch.where(imported, covered, total - covered)
    return list(torch.stack([total, seen]).split(counts, 1))


def _left(view: View, dropped: Tensor, area: Tensor | None, policy: Policy) -> Objects:
    objects, imported = view.objects, view.imported
    pixels = dropped if imported else ~dropped
    masks = objects.masks
    if masks is not None:
        masks = masks.masked_fill(~pixels.to(masks.device), 0)
    left = dataclasses.replace(objects, masks=masks if view.cut else objects.masks)
    hidden = None
    if objects.keypoints is not None:
        hidden = _inside(objects.keypoints, dropped) ^ imported
        left = _point_policy(left, hidden, imported, policy)
    if not _judged(view, policy):
        return left
    if masks is not None and objects.masks is not None:
        total, seen = (m.ne(0).flatten(1).sum(1).double() for m in (objects.masks, masks))
    elif area is not None:
        total, seen = area
    else:
        assert hidden is not None
        labelled = objects.labelled()
        total, seen = (points.flatten(1).sum(1).double() for points in (labelled, labelled & ~hidden))
    total, seen = total.to(dropped.device), seen.to(dropped.device)
    there, whole = seen > SLIVER, total - seen <= SLIVER
    boxes = objects.boxes
    if boxes is not None and (imported or policy.boxes == "shrink"):
        boxes, hurt = boxes.clone(), (there & ~whole).to(boxes.device)
        fitted = _bounds(masks[hurt]) if masks is not None else _fit(boxes[hurt], pixels.to(boxes.device))
        boxes[hurt] = fitted.to(boxes)
        left = dataclasses.replace(left, boxes=boxes)
    stays = _stays(objects, total, seen, dropped, imported, policy)
    if policy.boxes != "keep" and policy.removed == "flag":
        stays, flags = there if imported else torch.ones_like(there), stays
        left = dataclasses.replace(left, visible=flags if objects.visible is None else flags & objects.visible)
    return left if stays.all() else left.take(stays)


def _stays(objects: Objects, total: Tensor, seen: Tensor, dropped: Tensor, imported: bool, policy: Policy) -> Tensor:
    """bool ``[K]``: the objects that stay, or come, under the policy."""
    there, whole = seen > SLIVER, total - seen <= SLIVER
    by_points = objects.boxes is None and objects.masks is None
    if policy.boxes == "keep":
        stays = there
    elif policy.by == "centre" and not by_points:
        boxes = _bounds(objects.masks) if objects.boxes is None else objects.boxes  # type: ignore[arg-type]
        centres = (boxes[:, :2].double() + boxes[:, 2:].double()) / 2
        stays = ~(_inside(centres, dropped).to(dropped.device) ^ imported)
    else:
        stays = whole | (there & (seen >= policy.min_visibility * total - SLIVER))
        if not by_points:
            stays &= whole | (seen >= policy.min_area - SLIVER)
    return stays & there if imported else stays


def _point_policy(objects: Objects, hidden: Tensor, imported: bool, policy: Policy) -> Objects:
    """Keypoints under the policy; ``hidden`` has a bool for each point."""
    points = objects.keypoints
    assert points is not None
    if policy.keypoints == "flag":
        shown = objects.labelled() & ~hidden
        if points.shape[-1] == 3:
            points = torch.cat([points[..., :2], points[..., 2:].masked_fill(hidden[..., None], 0)], -1)
        return dataclasses.replace(objects, keypoints=points, keypoints_visible=shown)
    if not objects.skeletons:
        # Points of a partner outside the region are not in the picture, whatever the policy.
        if policy.keypoints == "keep" and not imported:
            return objects
        flags = objects.keypoints_visible
        flags = None if flags is None else flags[~hidden]
        return dataclasses.replace(objects, keypoints=points[~hidden], keypoints_visible=flags)
    if policy.keypoints == "keep":
        return objects
    if points.shape[-1] == 2:
        raise fail(
            "keypoints='remove'",
            got=f"skeletons {tuple(points.shape)}, whose points cannot go one by one",
            expected="a third column that says how visible a point is",
            fix="Use keypoints='flag'.",
        )
    return dataclasses.replace(objects, keypoints=points.masked_fill(hidden[..., None], 0))


def _inside(points: Tensor, dropped: Tensor) -> Tensor:
    """bool, a value for each point: is the pixel under it dropped? Not for unknown (NaN) points."""
    xy = points[..., :2].reshape(-1, 2).to(dropped.device, torch.float64).nan_to_num(nan=-1.0)
    region = Mask((dropped.shape[0], dropped.shape[1]), dropped[None])
    inside = region.contains(xy, torch.zeros(len(xy), dtype=torch.int64, device=dropped.device))
    return inside.view(points.shape[:-1]).to(points.device)


def _fit(boxes: Tensor, pixels: Tensor) -> Tensor:
    """The bounding boxes, float64 ``[K, 4]``, of the part of each box where ``pixels`` (bool ``[H, W]``) are seen."""
    h, w = pixels.shape
    boxes = boxes.double()
    x0, y0 = boxes[:, 0].floor().clamp(0, w).long(), boxes[:, 1].floor().clamp(0, h).long()
    x1, y1 = boxes[:, 2].ceil().clamp(0, w).long(), boxes[:, 3].ceil().clamp(0, h).long()
    before = torch.nn.functional.pad(pixels.int().cumsum(1), (1, 0))
    above = torch.nn.functional.pad(pixels.int().cumsum(0), (0, 0, 1, 0))
    ys, xs = torch.arange(h, device=pixels.device), torch.arange(w, device=pixels.device)
    rows = (before[:, x1] > before[:, x0]).T & (ys >= y0[:, None]) & (ys < y1[:, None])
    columns = (above[y1] > above[y0]) & (xs >= x0[:, None]) & (xs < x1[:, None])
    seen = _extent(rows, columns)
    return torch.cat([torch.maximum(boxes[:, :2], seen[:, :2]), torch.minimum(boxes[:, 2:], seen[:, 2:])], 1)


def _bounds(masks: Tensor) -> Tensor:
    """The bounding boxes of masks, float64 ``[K, 4]``."""
    pixels = masks.ne(0)
    return _extent(pixels.any(2), pixels.any(1))


def _extent(rows: Tensor, columns: Tensor) -> Tensor:
    """``x0, y0, x1, y1`` from the rows ``[K, H]`` and columns ``[K, W]`` that something is in."""
    (y0, y1), (x0, x1) = ((v.int().argmax(1), v.shape[1] - v.flip(1).int().argmax(1)) for v in (rows, columns))
    return torch.stack([x0, y0, x1, y1], 1).double()
