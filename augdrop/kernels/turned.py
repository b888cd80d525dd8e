"""Turned boxes: how much of each shows past a dropped region, and where; `coverage` is for upright ones."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor


def shown_turned(boxes: Tensor, dropped: Tensor, inside: bool) -> tuple[Tensor, Tensor, Tensor]:
    """What shows of turned boxes on a canvas with dropped pixels, exact: pixels are cut along the boxes' edges.

    Args:
        boxes: ``[K, 8]``, four corners ``x, y`` one after the other; what is off the canvas does not count.
        dropped: bool ``[H, W]``, or ``[K, H, W]`` for boxes with pixels of their own.
        inside: do the boxes show where pixels are dropped, or where they are not?

    Returns:
        Float64 on the host: areas of the boxes ``[K]``, areas that show ``[K]``, and the boxes that are fitted to what
        shows ``[K, 8]``, turned as they were; as they were where nothing does.

    Example:
        >>> dropped = torch.tensor([[True, False], [False, False]])
        >>> diamond = torch.tensor([[1.0, 0.0, 2.0, 1.0, 1.0, 2.0, 0.0, 1.0]])
        >>> [v.tolist() for v in shown_turned(diamond, dropped, inside=True)]
        [[2.0], [0.5], [[1.0, 0.0, 1.5, 0.5, 0.5, 1.5, 0.0, 1.0]]]
    """
    corners = boxes.double().cpu().reshape(-1, 4, 2).numpy()
    areas, fitted = np.zeros((len(corners), 2)), corners.copy()
    pixels = dropped if dropped.ndim == 3 else dropped[None]
    _look(corners, pixels.cpu().contiguous().numpy(), inside, areas, fitted)
    result = torch.from_numpy(areas)
    return result[:, 0], result[:, 1], torch.from_numpy(fitted).view(-1, 8)


@njit(cache=True, nogil=True)
def _look(boxes, dropped, inside, areas, fitted):
    height, width = dropped.shape[1:]
    strip, row, cut, cell = np.empty((12, 2)), np.empty((12, 2)), np.empty((12, 2)), np.empty((12, 2))
    for m in range(len(boxes)):
        box, pixels = boxes[m], dropped[min(m, len(dropped) - 1)]
        first, right, down = box[0], box[1] - box[0], box[3] - box[0]
        turn = right[0] * down[1] - right[1] * down[0]
        reach = np.array([np.inf, np.inf, -np.inf, -np.inf])
        for y in range(max(0, int(np.floor(box[:, 1].min()))), min(height, int(np.ceil(box[:, 1].max())))):
            n = _beyond(box, 4, 1, y, 1.0, strip)
            n = _beyond(strip, n, 1, y + 1, -1.0, row)
            if n < 3:
                continue
            for x in range(max(0, int(np.floor(row[:n, 0].min()))), min(width, int(np.ceil(row[:n, 0].max())))):
                k = _beyond(row, n, 0, x, 1.0, cut)
                k = _beyond(cut, k, 0, x + 1, -1.0, cell)
                area = _area(cell, k)
                areas[m, 0] += area
                if area > 0 and pixels[y, x] == inside:
                    areas[m, 1] += area
                    for i in range(k):
                        dx, dy = cell[i, 0] - first[0], cell[i, 1] - first[1]
                        u, v = (dx * down[1] - dy * down[0]) / turn, (right[0] * dy - right[1] * dx) / turn
                        reach[0], reach[1] = min(reach[0], u), min(reach[1], v)
                        reach[2], reach[3] = max(reach[2], u), max(reach[3], v)
        if areas[m, 1] > 0:
            for i, (u, v) in enumerate(((0, 1), (2, 1), (2, 3), (0, 3))):
                fitted[m, i] = first + reach[u] * right + reach[v] * down


@njit(cache=True, nogil=True)
def _beyond(points, n, axis, limit, sign, out):
    """The part of a polygon on one side of a line along an axis, into ``out``; how many corners it has."""
    k = 0
    for i in range(n):
        a, b = points[i], points[(i + 1) % n]
        s, t = (a[axis] - limit) * sign, (b[axis] - limit) * sign
        if s >= 0:
            out[k] = a
            k += 1
        if (s > 0 and t < 0) or (s < 0 and t > 0):
            out[k] = a + (b - a) * (s / (s - t))
            out[k, axis] = limit
            k += 1
    return k


@njit(cache=True, nogil=True)
def _area(points, n):
    total = 0.0
    for i in range(n):
        j = (i + 1) % n
        total += points[i, 0] * points[j, 1] - points[j, 0] * points[i, 1]
    return abs(total) / 2
