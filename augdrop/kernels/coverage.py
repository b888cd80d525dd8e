"""Coverage: how much of each box shows past a dropped region, and where; only the boxes' own pixels are looked at."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor


def shown(boxes: Tensor, dropped: Tensor, inside: bool) -> tuple[Tensor, Tensor, Tensor]:
    """What shows of boxes on a canvas with dropped pixels, exact for fractional edges.

    Args:
        boxes: ``[K, 4]`` as ``x0, y0, x1, y1`` in pixels; what is off the canvas does not count.
        dropped: bool ``[H, W]``.
        inside: do the boxes show where pixels are dropped, or where they are not?

    Returns:
        Float64 on the host: areas of the boxes ``[K]``, areas that show ``[K]``, and the bounding boxes of what shows
        ``[K, 4]``, all 0 where nothing does.

    Example:
        >>> dropped = torch.tensor([[True, False], [True, True]])
        >>> [v.tolist() for v in shown(torch.tensor([[0.0, 0.5, 1.5, 2.0]]), dropped, inside=False)]
        [[2.25], [0.25], [[1.0, 0.5, 1.5, 1.0]]]
    """
    found = np.zeros((len(boxes), 6))
    _look(boxes.double().cpu().contiguous().numpy(), dropped.cpu().contiguous().numpy(), inside, found)
    result = torch.from_numpy(found)
    return result[:, 0], result[:, 1], result[:, 2:]


@njit(cache=True, nogil=True)
def _look(boxes, dropped, inside, found):
    height, width = dropped.shape
    for m in range(len(boxes)):
        x0, x1 = min(max(boxes[m, 0], 0.0), width), min(max(boxes[m, 2], 0.0), width)
        y0, y1 = min(max(boxes[m, 1], 0.0), height), min(max(boxes[m, 3], 0.0), height)
        found[m, 0] = (x1 - x0) * (y1 - y0)
        if found[m, 0] <= 0:
            continue
        left, right, top, bottom = width, -1, height, -1
        for y in range(int(np.floor(y0)), int(np.ceil(y1))):
            run = 0.0
            for x in range(int(np.floor(x0)), int(np.ceil(x1))):
                if dropped[y, x] == inside:
                    run += min(x + 1.0, x1) - max(float(x), x0)
                    left, right = min(left, x), max(right, x)
                    top, bottom = min(top, y), y
            found[m, 1] += run * (min(y + 1.0, y1) - max(float(y), y0))
        if right >= 0:
            found[m, 2], found[m, 3] = max(float(left), x0), max(float(top), y0)
            found[m, 4], found[m, 5] = min(right + 1.0, x1), min(bottom + 1.0, y1)
