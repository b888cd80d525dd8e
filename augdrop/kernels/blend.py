"""Mixing at partial opacity: ``own * (1 - w) + source * w`` where a region drops, in float32 or wider.

Integers are rounded to the nearest, ties to even. 8 and 16-bit integers and float32 are mixed in float32, the others in
float64, with one rounding after each operation: the reference backend does the same in torch.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

from augdrop.kernels.memory import copy_run
from augdrop.regions.spans import BOXES, row_spans

BLENDED = {
    torch.uint8: np.uint8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float32: np.float32,
    torch.float64: np.float64,
}
"""The dtypes that the compiled kernel mixes, as NumPy names them; the others go by the reference."""


def weights(opacity: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the sample itself and of its source, in the type that ``dtype`` is mixed in."""
    narrow = dtype.itemsize <= 2 or dtype == torch.float32
    wide = torch.float32 if narrow else torch.float64
    return (1 - opacity).to(wide), opacity.to(wide)


@njit(cache=True, nogil=True)
def blend_rows(
    x, out, source, saved, dims, xs, os, ss, copy, kind, params, bits, hit, order,
    index, own, other, whole_numbers, first, last, top, bottom,
):  # fmt: skip
    """Rows ``top`` to ``bottom`` of the samples ``order[first:last]``: copy ``x`` to ``out``, mixing the dropped runs."""
    t_n, c_n, h_n, w_n, k_n = dims
    row = w_n * k_n
    boxes = params.shape[1] // 4 if kind == BOXES else 1
    spans = np.empty((w_n // 2 + 2 + boxes, 3), np.int64)
    aside = (c_n * h_n * row, h_n * row, row)
    for item in range(first, last):
        b = order[item, 0]
        from_saved = order[item, 2] == 1
        for y in range(top, bottom):
            n = row_spans(kind, params, bits, b, y, w_n, spans) if hit[b] else 0
            for t in range(t_n):
                for c in range(c_n):
                    i = b * xs[0] + t * xs[1] + c * xs[2] + y * xs[3]
                    o = b * os[0] + t * os[1] + c * os[2] + y * os[3]
                    a = t * aside[0] + c * aside[1] + y * aside[2]
                    if order[item, 1]:
                        copy_run(saved, a, x, i, row)
                    whole = n == 1 and spans[0, 1] - spans[0, 0] == w_n
                    if copy and not whole:
                        copy_run(out, o, x, i, row)
                    for r in range(n):
                        x0, width = spans[r, 0] * k_n, (spans[r, 1] - spans[r, 0]) * k_n
                        if from_saved:
                            mix_run(out, o + x0, x, i + x0, copy, saved, a + x0, width, own, other, b, whole_numbers)
                        else:
                            s = index[b] * ss[0] + t * ss[1] + c * ss[2] + y * ss[3]
                            mix_run(out, o + x0, x, i + x0, copy, source, s + x0, width, own, other, b, whole_numbers)


@njit(cache=True, nogil=True)
def mix_run(out, o, x, i, copy, source, s, n, own, other, b, whole_numbers):
    """Mix ``n`` elements of two rows; ``own[b]`` and ``other[b]`` are the weights, in the type to compute in."""
    if copy:
        _mix(out, o, x, i, source, s, n, own, other, b, whole_numbers)
    else:
        # Naming the one array twice lets LLVM see that reading and writing go in step.
        _mix(out, o, out, o, source, s, n, own, other, b, whole_numbers)


@njit(cache=True, nogil=True, inline="always")
def _mix(out, o, x, i, source, s, n, own, other, b, whole_numbers):
    wide = own.dtype.type
    w, v = own[b], other[b]
    o, i, s = np.uint64(o), np.uint64(i), np.uint64(s)
    if whole_numbers:
        for j in range(np.uint64(n)):
            out[o + j] = out.dtype.type(np.rint(wide(x[i + j]) * w + wide(source[s + j]) * v))
    else:
        for j in range(np.uint64(n)):
            out[o + j] = wide(x[i + j]) * w + wide(source[s + j]) * v
