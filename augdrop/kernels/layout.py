"""How a tensor lies in memory, as the compiled kernels want it: rows of bytes with four outer strides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Layout(NamedTuple):
    """Outer strides of samples, frames, channels and rows, and how many channels are interleaved in a row."""

    strides: tuple[int, int, int, int]
    interleaved: int


def layout(x: Tensor) -> Layout | None:
    """The layout of ``x [B, T, C, H, W]``, or None where rows are not dense (then plain torch does the work)."""
    b, t, c, h, w = x.shape
    sb, st, sc, sr, sw = x.stride()
    if sw == 1 or w == 1:
        if not (sc == 1 and c > 1 and w == 1):
            return Layout((sb, st, sc, sr), 1)
    if sc == 1 and (sw == c or w == 1):
        return Layout((sb, st, 0, sr), c)
    return None


def flat(x: Tensor) -> np.ndarray:
    """All memory that ``x`` reaches, from its first element on, as a flat array of integers of its item size."""
    reach = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
    return x.detach().as_strided((reach,), (1,)).view(_WORDS[x.element_size()]).numpy()
