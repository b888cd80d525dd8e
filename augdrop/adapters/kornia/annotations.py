"""kornia's annotations under a plan: tensors whose rows cannot go, and pixels that kornia counts from their centres.

A box that goes becomes zeros, as ``Boxes.filter_boxes_by_area`` of kornia has it; a keypoint that goes becomes NaN.
What a partner brings comes after a sample's own rows.
"""

from __future__ import annotations

import torch
from kornia.geometry.boxes import Boxes
from torch import Tensor

from augdrop.adapters.follow import copies, follow, follow_classes
from augdrop.annotations.objects import Objects
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform


def move_masks(transform: Transform, plan: Plan | Plans, masks: Tensor) -> Tensor:
    """Semantic masks ``[B, ..., H, W]``; B may be the samples of the plan, or all of their frames."""
    if not len(plan):
        return masks
    moved = follow_classes(transform, plan, masks.reshape(len(plan), -1, *masks.shape[-2:]))
    return moved.view(masks.shape)


def move_points(transform: Transform, plan: Plan | Plans, points: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints ``[B, N, 2]``, and which of them can be seen, bool ``[B, N]``; twice as many of a mix."""
    if not len(plan):
        return points, torch.ones(points.shape[:-1], dtype=torch.bool)
    n, frames, each = len(plan), len(points) // len(plan), points.shape[-2]
    # A whole number is the centre of a pixel in kornia, and the edge of one in AugDrop.
    samples = [Objects(keypoints=p + 0.5) for p in points.reshape(n, frames * each, 2)]
    after = follow(transform, plan, samples)
    moved = torch.stack([o.keypoints for o in after if o.keypoints is not None])
    seen = torch.stack([o.keypoints_visible for o in after if o.keypoints_visible is not None])

    def by_frame(values: Tensor) -> Tensor:
        shape = (n, -1, frames, each, *values.shape[2:])
        return values.reshape(shape).transpose(1, 2).reshape(n * frames, -1, *values.shape[2:])

    same = by_frame(moved)
    same[:, :each] = torch.where(same[:, :each].isnan(), torch.nan, points)  # bit for bit, where they stay
    same[:, each:] -= 0.5
    return same, by_frame(seen)


def move_boxes(transform: Transform, plan: Plan | Plans, boxes: Boxes) -> tuple[Boxes, Tensor, Tensor]:
    """Boxes of B images, N each, and for each row of the result where its box comes from and whether it passed.

    Returns:
        the boxes, ``R`` rows each; the position of each row's box in the given ones, flattened, int64 ``[B, R]``, or
        -1; and bool ``[B, R]``: has the box passed the policies?
    """
    quads, there = _batched(boxes)
    b, n = there.shape
    frames = b // max(1, len(plan))
    # kornia's vertices lie on the centres of the outermost pixels.
    corners = torch.cat([quads.amin(-2), quads.amax(-2) + 1], -1)
    ids = torch.arange(b * n).view(b, n)
    samples = []
    for rows in ids.view(len(plan), -1):
        kept = rows[there.flatten()[rows]]
        samples.append(Objects(boxes=corners.view(-1, 4)[kept], fields={"id": kept}))
    after = follow(transform, plan, samples)

    out = torch.zeros(b, n * copies(transform), 4, 2, dtype=quads.dtype, device=quads.device)
    origin = torch.full(out.shape[:2], -1)
    passed = torch.zeros(out.shape[:2], dtype=torch.bool)
    ends = [n - pad for pad in boxes._N or [0] * b]  # the row after the last one in use
    for s, objects in enumerate(after):
        given, now = objects.fields["id"], objects.boxes
        assert now is not None
        rows, slots = [], []
        for at in given.tolist():
            row, slot = divmod(at, n)
            if row // frames != s or origin[row, slot] >= 0:  # a partner's
                row = s * frames + row % frames
                slot, ends[row] = ends[row], ends[row] + 1
            origin[row, slot] = at
            rows.append(row)
            slots.append(slot)
        changed = (now != corners.view(-1, 4)[given]).any(-1)
        out[rows, slots] = torch.where(changed[:, None, None], _upright(now), quads.view(-1, 4, 2)[given])
        passed[rows, slots] = True if objects.visible is None else objects.visible.cpu()
    result = boxes.clone()
    result._data, result._valid = out, (origin >= 0).to(out.device)
    if boxes._N is not None:
        result._N = [out.shape[1] - end for end in ends]
    if not boxes._is_batched:
        result._data, result._valid = result._data[0], result._valid[0]
    return result, origin, passed


def _batched(boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Vertices ``[B, N, 4, 2]``, and which of them are boxes: not those that pad a list, or were filtered before."""
    quads = boxes.data if boxes._is_batched else boxes.data[None]
    there = boxes._valid.view(quads.shape[:2]).cpu().clone()
    for row, pad in enumerate(boxes._N or ()):
        there[row, quads.shape[1] - pad :] = False
    return quads, there


def _upright(corners: Tensor) -> Tensor:
    """Vertices ``[K, 4, 2]`` of ``[K, 4]`` boxes, clockwise from the top left."""
    x0, y0, x1, y1 = (corners - corners.new_tensor([0, 0, 1, 1])).unbind(-1)
    return torch.stack([torch.stack(v, -1) for v in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], -2)
