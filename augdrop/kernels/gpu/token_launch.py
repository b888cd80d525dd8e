"""Launches of the token kernels: how rows are cut into tiles, and what the compiler may know of them."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from augdrop.kernels.gpu import tokens

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_VECTOR = 16
_ROW, _TILE = 1024, 8192
"""Bytes of a row, and of all rows, that a program moves; eight vectors for each of its threads."""

_MERGED, _SCAN = 16, 128
"""Rows of means in a program, and tokens that it looks at together for what goes into them."""


def gather(x: Tensor, keep: Tensor, order: Tensor | None, prefix: int) -> Tensor:
    """``[B, prefix + K, D]`` of ``x [B, prefix + N, D]``."""
    b, t, d = x.shape
    out = x.new_empty(b, prefix + keep.shape[1], d)
    if out.numel():
        cut = _Cut(x, out.shape[1])
        source, order_strides = _words(x), _strides(order)
        args = (source, keep, keep if order is None else order, _words(out), prefix, t - prefix, keep.shape[1])
        args += (cut.width, *cut.strides(x), *keep.stride(), *order_strides, cut.row_tiles, cut.column_tiles)
        _launch(tokens.gather, x, cut, args, ORDERED=order is not None)
    return out


def scatter(
    x: Tensor, keep: Tensor, order: Tensor | None, prefix: int, total: int, fill: float, fills: Tensor | None
) -> Tensor:
    """``[B, prefix + total, D]`` of ``x [B, prefix + K, D]`` and of a number, or of ``fills [B, total, D]``."""
    out = x.new_empty(x.shape[0], prefix + total, x.shape[2])
    if out.numel():
        kept = keep.shape[1]
        cut = _Cut(x, prefix + kept, fills)
        kept_tiles, cut.row_tiles = cut.row_tiles, cut.row_tiles + -(-total // cut.rows)
        others = x if fills is None else fills
        number = 0 if fills is not None else _bits(fill, x.dtype)
        args = (_words(x), keep, keep if order is None else order, _words(others), _words(out))
        args += (prefix, total, kept, cut.width, number, kept.bit_length(), *cut.strides(x), *cut.strides(others))
        args += (*keep.stride(), *_strides(order), kept_tiles, cut.row_tiles, cut.column_tiles)
        _launch(tokens.scatter, x, cut, args, ORDERED=order is not None, FILLED=fills is not None)
    return out


def merge(x: Tensor, source: Tensor, sizes: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
    """Means ``[B, length, D]`` of ``x [B, T, D]`` by ``source [B, T]``, and float32 totals ``[B, length]``."""
    b, t, d = x.shape
    out, total = x.new_empty(b, length, d), x.new_empty(b, length, dtype=torch.float32)
    if total.numel():
        cut = _Cut(x, length, most=_MERGED)
        args = (x, source, total if sizes is None else sizes, out, total, t, length, cut.width, *cut.strides(x))
        args += (*source.stride(), *_strides(sizes), cut.row_tiles, cut.column_tiles)
        # Left alone, the compiler takes fewer registers on sm_80, and spills one.
        _launch(tokens.merge, x, cut, args, SIZED=sizes is not None, SCAN=_SCAN, maxnreg=80)
    return out, total


def spread(x: Tensor, source: Tensor, sizes: Tensor | None, total: Tensor) -> Tensor:
    """The gradient ``[B, T, D]`` of what was merged, from that of the means ``x [B, length, D]``."""
    b, length, d = x.shape
    t = source.shape[1]
    out = x.new_empty(b, t, d)
    if out.numel():
        cut = _Cut(x, t)
        args = (x, source, total if sizes is None else sizes, total, out, t, length, cut.width, *cut.strides(x))
        args += (*source.stride(), *_strides(sizes), cut.row_tiles, cut.column_tiles)
        _launch(tokens.spread, x, cut, args, SIZED=sizes is not None)
    return out


class _Cut:
    """Tiles for ``rows`` results of each sample of ``x [B, T, D]``, and the step of all strides that are read."""

    def __init__(self, x: Tensor, rows: int, other: Tensor | None = None, most: int = 64) -> None:
        read = (x,) if other is None else (x, other)
        b, _, d = x.shape
        size = x.element_size()
        self.strided = any(t.stride(2) != 1 for t in read)
        self.step = 1 if self.strided else math.gcd(d, _VECTOR // size, *(s for t in read for s in t.stride()[:2]))
        self.width = d // self.step
        whole, widest = d & -d, _ROW // size
        # A power of two that divides D leaves no thread idle; if it is small, some may be.
        self.columns = min(widest, whole if whole * 4 >= widest else 1 << (d - 1).bit_length())
        self.rows = min(most, _TILE // (self.columns * size))
        self.row_tiles, self.column_tiles, self.samples = -(-rows // self.rows), max(1, -(-d // self.columns)), b

    def strides(self, x: Tensor) -> tuple[int, int, int]:
        """Strides as kernels take them."""
        return x.stride(0) // self.step, x.stride(1) // self.step, x.stride(2)


def _launch(kernel: Any, x: Tensor, cut: _Cut, args: tuple[Any, ...], **constants: Any) -> None:
    constants |= {"STRIDED": cut.strided, "STEP": cut.step, "ROWS": cut.rows, "COLUMNS": cut.columns}
    with _on(x.device):
        # Products and sums are rounded one by one, as on the CPU.
        kernel[(cut.samples * cut.row_tiles * cut.column_tiles,)](*args, **constants, enable_fp_fusion=False)


def _on(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _words(x: Tensor) -> Tensor:
    return x.view(_WORDS[x.element_size()])


def _strides(x: Tensor | None) -> tuple[int, int]:
    return (0, 0) if x is None else (x.stride(0), x.stride(1))


def _bits(value: float, dtype: torch.dtype) -> int:
    """The number that has the same bits as ``value`` in ``dtype``."""
    one = torch.zeros(1, dtype=dtype).masked_fill_(torch.ones(1, dtype=torch.bool), value)
    return int(_words(one))
