"""Visibility: how much of each object a drop leaves to be seen, and what becomes of the object."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from augdrop.annotations.objects import Objects
from augdrop.annotations.policy import Policy
from augdrop.errors import fail
from augdrop.kernels.coverage import shown
from augdrop.kernels.turned import shown_turned
from augdrop.regions.base import under

SLIVER = 1e-6
"""Pixels: a smaller area is a rounding error of the exact areas of fractional boxes."""


def look(objects: Objects, dropped: Tensor, policy: Policy, *, imported: bool, cut: bool) -> Objects:
    """What is left of one sample's objects under a policy; the segmentation is left alone.

    Args:
        objects: a sample's own, which are seen where pixels are not dropped, or a partner's, seen where they are.
        dropped: bool ``[H, W]``.
        policy: which objects go, and how their boxes and keypoints change.
        imported: are they a partner's?
        cut: do instance masks lose the pixels that are not seen?
    """
    left, masks, hidden = objects, objects.masks, None
    judged = objects.count is not None and (imported or policy.boxes != "keep")
    if masks is not None and (judged or cut):
        masks = _only(masks, dropped if imported else ~dropped)
        left = dataclasses.replace(left, masks=masks if cut else objects.masks)
    if objects.keypoints is not None:
        hidden = _inside(objects.keypoints, dropped) ^ imported
        left = _point_policy(left, hidden, imported, policy)
    if not judged:
        return _measured(objects, left)
    bounds, turned = None, objects.boxes is not None and objects.boxes.shape[1] == 8
    if objects.masks is not None and masks is not None:
        total, seen = (_count(_pixels(m)) for m in (objects.masks, masks))
        bounds = shown_turned(objects.boxes, _pixels(masks), inside=True)[2] if turned else _bounds(masks)  # type: ignore[arg-type]
    elif objects.boxes is not None:
        total, seen, bounds = (shown_turned if turned else shown)(objects.boxes, dropped, imported)
    else:
        assert hidden is not None
        total, seen = (_count(points) for points in (objects.labelled(), objects.labelled() & ~hidden))
    there, whole = seen > SLIVER, total - seen <= SLIVER
    if objects.boxes is not None and bounds is not None and (imported or policy.boxes == "shrink"):
        hurt, device = (there & ~whole)[:, None], objects.boxes.device
        left = dataclasses.replace(left, boxes=torch.where(hurt.to(device), bounds.to(objects.boxes), objects.boxes))
    left = _measured(objects, left)
    stays = _stays(objects, total, seen, dropped, imported, policy)
    if policy.boxes != "keep" and policy.removed == "flag":
        stays, flags = there if imported else torch.ones_like(there), stays
        flags = flags.to(objects.device)
        left = dataclasses.replace(left, visible=flags if objects.visible is None else flags & objects.visible)
    return left if stays.all() else left.take(stays)


def _measured(before: Objects, after: Objects) -> Objects:
    """COCO's ``area`` of each object: less by the share that its mask lost, or where it has none its box."""
    area, part = before.fields.get("area"), "boxes" if before.masks is None else "masks"
    old, new = getattr(before, part), getattr(after, part)
    if area is None or area.ndim != 1 or new is old:
        return after
    total, left = ((_extents(v) if part == "boxes" else _count(_pixels(v))).to(area.device) for v in (old, new))
    scaled = area.double() * left / total
    scaled = (scaled if area.is_floating_point() else scaled.round()).to(area.dtype)
    return dataclasses.replace(after, fields=after.fields | {"area": torch.where(left == total, area, scaled)})


def _extents(boxes: Tensor) -> Tensor:
    """The areas of boxes, upright or turned, float64 ``[K]``."""
    corners = boxes.double()
    if boxes.shape[1] == 4:
        return (corners[:, 2:] - corners[:, :2]).prod(1)
    (x0, y0), (x1, y1) = ((corners[:, i + 4 : i + 6] - corners[:, i : i + 2]).unbind(1) for i in (0, 2))
    return (x0 * y1 - x1 * y0).abs() / 2


def _stays(objects: Objects, total: Tensor, seen: Tensor, dropped: Tensor, imported: bool, policy: Policy) -> Tensor:
    """bool ``[K]``: the objects that stay, or come, under the policy."""
    there, whole = seen > SLIVER, total - seen <= SLIVER
    by_points = objects.boxes is None and objects.masks is None
    if policy.boxes == "keep":
        stays = there
    elif policy.by == "centre" and not by_points:
        boxes = _bounds(objects.masks) if objects.boxes is None else objects.boxes  # type: ignore[arg-type]
        across = boxes.shape[1] // 2  # where the opposite corner begins
        centres = (boxes[:, :2].double() + boxes[:, across : across + 2].double()) / 2
        stays = ~(_inside(centres, dropped).cpu() ^ imported)
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
        flags = objects.labelled() & ~hidden
        if points.shape[-1] == 3:
            points = torch.cat([points[..., :2], points[..., 2:].masked_fill(hidden[..., None], 0)], -1)
        return dataclasses.replace(objects, keypoints=points, keypoints_visible=flags)
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
    inside = under(dropped[None], xy, torch.zeros(len(xy), dtype=torch.int64, device=dropped.device))
    return inside.view(points.shape[:-1]).to(points.device)


def _only(masks: Tensor, seen: Tensor) -> Tensor:
    """Masks with 0 where nothing is seen."""
    seen = seen.to(masks.device)
    if masks.is_floating_point():
        return masks.masked_fill(~seen, 0)
    # A tenth of the time of `masked_fill`.
    return masks & seen if masks.dtype == torch.bool else masks * seen


def _bounds(masks: Tensor) -> Tensor:
    """The bounding boxes of masks, float64 ``[K, 4]`` on the host."""
    pixels = _pixels(masks)
    rows, columns = _any(pixels, 2), _any(pixels, 1)
    (y0, y1), (x0, x1) = ((v.argmax(1), v.shape[1] - v[:, ::-1].argmax(1)) for v in (rows, columns))
    return torch.from_numpy(np.stack([x0, y0, x1, y1], 1).astype(np.float64))


def _count(points: Tensor) -> Tensor:
    """How many are True for each object, float64 on the host."""
    if points.is_cpu:
        # NumPy counts bytes; torch would first make int64 of each.
        return torch.tensor([np.count_nonzero(row) for row in points.numpy()], dtype=torch.float64)
    return points.flatten(1).sum(1).double().cpu()


def _pixels(masks: Tensor) -> Tensor:
    """bool, where masks are not 0."""
    return masks if masks.dtype == torch.bool else masks != 0


def _any(pixels: Tensor, axis: int) -> np.ndarray:
    """``pixels.any(axis)`` on the host, where NumPy takes a tenth of torch's time."""
    return np.any(pixels.numpy(), axis) if pixels.is_cpu else pixels.any(axis).cpu().numpy()
