"""Regions as DALI's operators take them: rectangles that do not overlap, or keep masks.

Rectangles travel as two float32 a corner and two a shape, padded with empty ones to the batch's longest list.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from torch import Tensor

from augdrop.adapters.dali.native_host import Batch
from augdrop.errors import fail
from augdrop.memory import ahead, data
from augdrop.regions.base import Region
from augdrop.regions.spans import most_spans, row_spans

MOST_ON_GPU = 1024
"""DALI's GPU erase keeps the regions that meet a tile of the image in 40 KB of shared memory, and counts none."""


def dropped(batch: Batch, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """``anchor`` and ``shape`` of what is dropped, along ``axes``: HW, or FHW for a region a frame."""
    return _arguments(batch, axes, *rectangles(batch.plan.region, batch.plan.hit))


def kept(batch: Batch, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of everything else."""
    return _arguments(batch, axes, *rectangles(batch.plan.region, batch.plan.hit, kept=True))


def whole(batch: Batch, hit: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The same of the whole canvas of samples that are hit, bool ``[B]``."""
    size = [batch.shape[batch.layout.index(axis)] for axis in "HW"]
    return np.zeros((len(hit), 2), np.float32), hit.numpy()[:, None] * np.array(size, np.float32)


def keep(batch: Batch) -> np.ndarray:
    """uint8, 1 where a pixel is kept, in shapes that broadcast over the channels."""
    masks = (~batch.plan.mask()).view(batch.count, batch.frames, *batch.plan.size).numpy().view(np.uint8)
    return batch.along(masks, "FHW") if "F" in batch.layout else batch.along(masks[:, 0], "HW")


def bounds(batch: Batch) -> np.ndarray:
    """The box around all that a sample drops, in any frame, ``[y0, x0, y1, x1)``, int64 ``[B, 4]``; 0 if nothing is."""
    boxes, whose = rectangles(batch.plan.region, batch.plan.hit)
    ends = np.zeros((batch.count, 4), np.int64)
    ends[:, :2] = np.iinfo(np.int64).max
    np.minimum.at(ends[:, :2], whose // batch.frames, boxes[:, :2])
    np.maximum.at(ends[:, 2:], whose // batch.frames, boxes[:, 2:])
    return ends * (ends[:, 2:3] > 0)


def rectangles(region: Region, hit: Tensor, kept: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What is dropped (or kept) as rectangles that do not overlap.

    Args:
        region: of N samples or frames.
        hit: bool ``[N]``; those that are not hit drop nothing.

    Returns:
        Rectangles ``[y0, x0, y1, x1)``, int64 ``[M, 4]``, and whose they are, int64 ``[M]``, ascending.

    Example:
        >>> import torch
        >>> from augdrop.regions import Boxes
        >>> corner = Boxes((4, 4), torch.tensor([[[0, 0, 2, 2]]]))
        >>> rectangles(corner, torch.tensor([True]), kept=True)[0].tolist()
        [[0, 2, 2, 4], [2, 0, 4, 4]]
    """
    kind, params, bits = region.packed()
    height, width = region.size
    return _cut(kind, params.flatten(1).contiguous().numpy(), bits.numpy(), hit.numpy(), height, width, kept)


def _arguments(batch: Batch, axes: str, boxes: np.ndarray, whose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles of samples or frames as float32 ``[B, K * len(axes)]``, corners and lengths."""
    if axes == "FHW" and "F" not in batch.layout:
        raise fail(
            f"{batch.plan.method}: per_frame",
            got=f"images of layout {batch.layout}",
            expected="videos on route='native'",
            fix=f"Leave per_frame out, or declare layout={batch.layout!r} in the call.",
        )
    owner = whose // batch.frames
    place = np.arange(len(owner)) - np.searchsorted(owner, np.arange(batch.count))[owner]
    most = int(place.max(initial=0)) + 1
    if batch.gpu and most > MOST_ON_GPU:
        raise fail(
            "to_dali: route='native'",
            got=f"a region of {most} rectangles",
            expected=f"at most {MOST_ON_GPU} on a GPU",
            fix="Choose larger cells or blocks, or route='kernel', before .gpu().",
        )
    anchor, shape = np.zeros((2, batch.count, most, len(axes)), np.float32)
    anchor[owner, place, -2:], shape[owner, place, -2:] = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if axes == "FHW":
        anchor[owner, place, 0], shape[owner, place, 0] = whose % batch.frames, 1
    return anchor.reshape(batch.count, -1), shape.reshape(batch.count, -1)


@njit(cache=True, nogil=True)
def _cut(kind, params, bits, hit, height, width, kept):
    samples, n_params = params.shape
    rows, columns = bits.shape[1:]
    runs = np.empty(3 * most_spans(kind, n_params, width), np.int32)
    line, before = np.zeros(width, np.uint8), np.zeros(width, np.uint8)
    boxes, whose, m = np.empty((256, 4), np.int64), np.empty(256, np.int64), 0
    for b in range(samples):
        own = ahead(data(params), b * n_params)
        flags = ahead(data(bits), b * rows * columns if len(bits) > 1 else 0)
        y, first = np.int64(0), m
        while y < height:
            until = np.int64(height)
            for x in range(width):
                line[x] = kept
            if hit[b]:
                n, until = row_spans(kind, own, n_params, flags, rows, columns, y, width, data(runs))
                until = min(until, height)
                for i in range(n):
                    for x in range(runs[3 * i], runs[3 * i + 1]):
                        line[x] = not kept
            if y > 0 and _equal(line, before):
                # The same runs as above: their rectangles grow.
                for i in range(first, m):
                    boxes[i, 2] = until
                y = until
                continue
            first, x = m, 0
            while x < width:
                start = x
                while x < width and line[x]:
                    x += 1
                if start < x:
                    if m == len(boxes):
                        boxes, whose = np.concatenate((boxes, boxes)), np.concatenate((whose, whose))
                    boxes[m, 0], boxes[m, 1], boxes[m, 2], boxes[m, 3], whose[m] = y, start, until, x, b
                    m += 1
                while x < width and not line[x]:
                    x += 1
            line, before = before, line
            y = until
    return boxes[:m], whose[:m]


@njit(cache=True, nogil=True)
def _equal(a, b):
    for i in range(len(a)):  # noqa: SIM110 (generators do not compile)
        if a[i] != b[i]:
            return False
    return True
