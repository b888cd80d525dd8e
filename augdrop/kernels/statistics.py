"""What a fill reads off the image before it paints: channel means, and the image without its fine detail."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from augdrop.kernels import threads
from augdrop.kernels.blend import BLENDED
from augdrop.kernels.layout import flat, layout


def channel_means(x: Tensor, hit: Tensor) -> Tensor:
    """Mean over frames and pixels of each channel of ``x [B, T, C, H, W]``, ``[B, C]`` in its dtype; 0 where not hit."""
    shape = layout(x) if x.device.type == "cpu" and x.dtype in BLENDED else None
    if shape is None:
        wide = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else torch.float64
        sums = x.sum((1, 3, 4), dtype=wide) * hit.to(x.device)[:, None]
    else:
        b, t, c, h, w = x.shape
        k = shape.interleaved
        values, rows = flat(x).view(BLENDED[x.dtype]), hit.numpy()
        totals = np.zeros((b, c))

        def work(first: int, last: int, top: int, bottom: int) -> None:
            channel_sums(values, shape.strides, (t, 1 if k > 1 else c, h, w, k), rows, totals, first, last)

        threads.share(work, b, 1, x.numel() * x.element_size(), by_rows=False)
        sums = torch.from_numpy(totals)
    mean = sums / max(1, x.shape[1] * x.shape[3] * x.shape[4])
    return (mean if x.dtype.is_floating_point else mean.round()).to(x.dtype)


@njit(cache=True, nogil=True)
def channel_sums(x, xs, dims, hit, totals, first, last):
    """Add up each channel of samples ``first`` to ``last`` in float64, a row at a time."""
    t_n, c_n, h_n, w_n, k_n = dims
    for b in range(first, last):
        if not hit[b]:
            continue
        for t in range(t_n):
            for c in range(c_n):
                for y in range(h_n):
                    i = b * xs[0] + t * xs[1] + c * xs[2] + y * xs[3]
                    if k_n == 1:
                        totals[b, c] += row_sum(x, i, w_n)
                    else:
                        for j in range(w_n):
                            for k in range(k_n):
                                totals[b, k] += x[i + j * k_n + k]


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def row_sum(x, i, n):
    """The sum of ``n`` elements; its order is the compiler's, so that it can use wide registers."""
    total = 0 * x[0]
    for j in range(np.uint64(i), np.uint64(i + n)):
        total += x[j]
    return total


def low_pass(x: Tensor, factor: int) -> Tensor:
    """``x`` without detail finer than ``factor`` pixels: means of squares, interpolated bilinearly; the shape of ``x``."""
    b, t, c, h, w = x.shape
    frames = x.flatten(0, 2)[:, None].to(torch.float32)
    rows, columns = -(-h // factor), -(-w // factor)
    small = F.adaptive_avg_pool2d(frames, (rows, columns))
    smooth = F.interpolate(small, (h, w), mode="bilinear", align_corners=False)
    smooth = smooth if x.dtype.is_floating_point else smooth.round()
    return smooth.view(b, t, c, h, w).to(x.dtype)
