"""How a tensor lies in memory, as the compiled kernels want it: dense rows with four outer strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """Outer strides of samples, frames, channels and rows, and how many channels are interleaved in a row."""

    sample: int
    frame: int
    channel: int
    row: int
    interleaved: int


def layout(shape: Sequence[int], strides: Sequence[int]) -> Layout | None:
    """The layout of images ``[B, T, C, H, W]``, or None where rows are not dense (then plain torch does the work)."""
    c, w = shape[2], shape[4]
    sample, frame, channel, row, column = strides
    if (column == 1 or w == 1) and not (channel == 1 and c > 1 and w == 1):
        return Layout(sample, frame, channel, row, 1)
    if channel == 1 and (column == c or w == 1):
        return Layout(sample, frame, 0, row, c)
    return None
