"""From an operator's tensors to one launch: which variant of a kernel, on how many programs, with which numbers."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from augdrop.kernels.blend import working_type
from augdrop.kernels.gpu import chain as chain_kernel
from augdrop.kernels.gpu import means as means_kernels
from augdrop.kernels.gpu import paint as paint_kernel
from augdrop.kernels.noise import FORMS, INTEGER, quantiles
from augdrop.kernels.painter import BLEND, BLUR, NOISE, TABLE

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_WIDE = {torch.float32: tl.float32, torch.float64: tl.float64}

Strides = tuple[int, ...]

_GROUP = 32
"""Samples that the chain kernel reads together, at the most: 256 threads then have 128 bytes of each."""

OPTIONS = {"num_stages": 1, "enable_fp_fusion": False}
"""Of all kernels: products and sums are rounded one by one, as on the CPU."""


class Launch(NamedTuple):
    """A kernel with everything that it is launched with."""

    kernel: Any
    programs: int
    numbers: dict[str, Any]
    constants: dict[str, Any]
    warps: int
    registers: int = 168
    """The most for a thread. Without a word the assembler aims at more threads, and spills rather than take another
    register; with room enough it takes what it needs, 60 as a rule (`tests.kernels.gpu.compile_ahead`)."""

    def options(self) -> dict[str, Any]:
        """What the compiler is told."""
        return {"num_warps": self.warps, "maxnreg": self.registers, **OPTIONS}

    def run(self, device: torch.device) -> None:
        """Launch on a device, on torch's current stream there."""
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            self.kernel[(self.programs,)](**self.numbers, **self.constants, **self.options())


def paint(x: Tensor, out: Tensor, *fill: Any) -> None:
    """The work of `augdrop.kernels.ops.paint`, and of ``paint_`` where ``out`` is ``x``."""
    painting(x, out, *fill).run(x.device)


def chain(x: Tensor, *fill: Any) -> None:
    """The work of `augdrop.kernels.ops.paint_` where samples take from each other."""
    chaining(x, *fill).run(x.device)


def channel_means(x: Tensor, hit: Tensor) -> Tensor:
    """The work of `augdrop.kernels.ops.channel_means`."""
    launch, out = averaging(x, hit)
    launch.run(x.device)
    return out


def cell_means(x: Tensor, hit: Tensor, factor: int) -> Tensor:
    """The work of `augdrop.kernels.ops.cell_means`."""
    launch, out = shrinking(x, hit, factor)
    launch.run(x.device)
    return out


def painting(
    x: Tensor, out: Tensor, hit: Tensor, params: Tensor, bits: Tensor, source: Tensor | None, index: Tensor | None,
    opacity: Tensor | None, table: Tensor | None, keys: Tensor | None, cells: Tensor | None,
    kind: int, fill: int, law: list[float], factor: int,
) -> Launch:  # fmt: skip
    """The launch of the paint kernel."""
    if fill == TABLE and table is None:
        table = _colour(tuple(map(float.hex, law)), x.dtype, x.device)
    numbers, constants, programs = _painting(
        *(x.shape, x.dtype, out is not x, x.stride(), out.stride(), None if source is None else source.stride()),
        *(params.numel() // len(x), bits.shape, None if table is None else table.shape),
        *(None if cells is None else cells.shape[3:], kind, fill, tuple(law) if fill == NOISE else (), factor),
    )
    tensors = {
        "x": _words(x), "out": _words(out), "source": None if source is None else _words(source),
        "hit": _flags(hit), "region": params.contiguous(), "bits": bits.contiguous(), "index": _in_a_row(index),
        "opacity": _in_a_row(opacity), "table": None if table is None else _words(table.contiguous()),
        "keys": _in_a_row(keys), "quantiles": _quantiles(x.device) if constants["NORMAL"] else None,
        "cells": cells,
    }  # fmt: skip
    registers = {NOISE: 224, BLUR: 255}.get(fill, 168)
    return Launch(paint_kernel.paint, programs, {**tensors, **numbers}, constants, 4, registers)


@lru_cache(maxsize=1024)
def _painting(
    shape: tuple[int, ...], dtype: torch.dtype, copy: bool, x: Strides, out: Strides, source: Strides | None,
    n_params: int, bits: tuple[int, ...], table: tuple[int, ...] | None, cells: tuple[int, ...] | None,
    kind: int, fill: int, law: tuple[float, ...], factor: int,
) -> tuple[dict[str, Any], dict[str, Any], int]:  # fmt: skip
    """The numbers and constants of a launch of the paint kernel, and its programs: all that is not a tensor."""
    b, t, c, h, w = shape
    form, computed = FORMS.get(dtype, INTEGER), fill in (BLEND, BLUR)
    boxes, normal, narrow, laws = 0 if table is None else table[1], False, False, (0.0, 0.0, 0, 0, 0, 0)
    if fill == NOISE:
        _, normal, narrow, first, second, low, high, boxes = law
        whole = form == INTEGER and not normal
        laws = (first, second, int(low), int(high), int(first) if whole else 0, int(second) if whole else 0)
    lie, walk = _lie([v for v in (x, out, source) if v is not None], shape, dtype)
    constants = {
        "KIND": kind, "FILL": fill, "COPY": copy,
        # What the kernel need not know is no reason to compile it again.
        "FORM": form if computed or fill == NOISE else INTEGER,
        "WIDE": _WIDE[working_type(dtype)] if computed else None,
        "NORMAL": bool(normal), "NARROW": bool(narrow), "BOXES": boxes > (fill == TABLE), "FACTOR": factor,
        **lie, "ROWS": (rows := _rows(lie["VEC"], 4, 2)),
    }  # fmt: skip
    tiles = triton.cdiv(h * w * lie["K"], rows * lie["VEC"])
    numbers = {
        "frames": t, "tiles": tiles, **walk, **_region(n_params, bits),
        "table_sample": 0 if table is None or table[0] == 1 else table[1] * c, "table_box": c if boxes > 1 else 0,
        "cell_rows": 0 if cells is None else cells[0], "cell_columns": 0 if cells is None else cells[1],
        **dict(zip(("first", "second", "low", "high", "base", "choices"), laws, strict=True)),
        **_strides("x", shape, x, lie), **_strides("out", shape, out, lie),
        **_strides("source", shape, source or x, lie),
    }  # fmt: skip
    return numbers, constants, tiles * b * t


def chaining(
    x: Tensor, hit: Tensor, params: Tensor, bits: Tensor, source: None, index: Tensor, opacity: Tensor | None,
    table: None, keys: None, cells: None, order: Tensor, kind: int, fill: int,
) -> Launch:  # fmt: skip
    """The launch of the chain kernel."""
    b, t, c, h, w = x.shape
    blends = opacity is not None
    lie, walk = _lie([x.stride()], x.shape, x.dtype)
    numbers = {
        "x": _words(x), "hit": _flags(hit), "region": params.contiguous(), "bits": bits.contiguous(),
        "index": index.contiguous(), "opacity": _in_a_row(opacity), "order": order.contiguous(), "samples": b,
    }  # fmt: skip
    numbers |= walk | _region(params.numel() // b, bits.shape) | _strides("x", x.shape, x.stride(), lie)
    constants = {
        "KIND": kind, "BLEND": blends, "FORM": FORMS.get(x.dtype, INTEGER) if blends else INTEGER,
        "WIDE": _WIDE[working_type(x.dtype)] if blends else None, **lie, "ROWS": (rows := _rows(lie["VEC"], 8, 1)),
    }  # fmt: skip
    # Few samples leave a program room for more of each.
    numbers["vectors"] = vectors = rows // min(_GROUP, rows, triton.next_power_of_2(b))
    numbers["tiles"] = triton.cdiv(h * w * lie["K"], vectors * lie["VEC"])
    return Launch(chain_kernel.chain, numbers["tiles"] * t * walk["channels"], numbers, constants, 8)


def averaging(x: Tensor, hit: Tensor) -> tuple[Launch, Tensor]:
    """The launch of the channels' means, and where they go."""
    b, t, c, h, w = x.shape
    out = x.new_empty((b, c))
    numbers = {"x": _words(x), "out": _words(out), "hit": _flags(hit), "frames": t, "channels": c}
    strides = _strides("x", x.shape, x.stride(), _APART)
    numbers |= {"width": w, "size": h * w, "pixels": t * h * w} | strides
    flat = h == 1 or strides["x_row"] == w * strides["x_column"]
    constants = {"FORM": FORMS.get(x.dtype, INTEGER), "FLAT": flat, "BLOCK": 256 * max(4, 16 // x.element_size())}
    return Launch(means_kernels.channel_means, b * c, numbers, constants, 8), out


def shrinking(x: Tensor, hit: Tensor, factor: int) -> tuple[Launch, Tensor]:
    """The launch of the cells' means, and where they go."""
    b, t, c, h, w = x.shape
    rows, columns, wide = -(-h // factor), -(-w // factor), working_type(x.dtype)
    out = x.new_empty((b, t, c, rows, columns), dtype=wide)
    span = triton.next_power_of_2(factor)
    size = max(1, min(triton.next_power_of_2(columns), 1024 // span))
    warps = max(1, min(4, size * span // 128))
    numbers = {"x": _words(x), "out": out, "hit": _flags(hit), "frames": t, "channels": c}
    numbers |= {"height": h, "width": w} | _strides("x", x.shape, x.stride(), _APART)
    numbers |= {"cell_rows": rows, "cell_columns": columns, "groups": triton.cdiv(columns, size)}
    constants = {
        "FORM": FORMS.get(x.dtype, INTEGER), "WIDE": _WIDE[wide], "FACTOR": factor, "CELLS": size, "SPAN": span,
    }  # fmt: skip
    return Launch(means_kernels.cell_means, b * t * c * rows * numbers["groups"], numbers, constants, warps), out


def _words(x: Tensor) -> Tensor:
    return x.view(_WORDS[x.element_size()])


def _flags(hit: Tensor) -> Tensor:
    return hit.contiguous().view(torch.uint8)


def _in_a_row(x: Tensor | None) -> Tensor | None:
    """A plan's numbers as kernels read them, one behind the other; whoever makes a plan by hand may bring others."""
    return None if x is None else x.contiguous()


def _lie(strides: list[Strides], shape: tuple[int, ...], dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, int]]:
    """How images lie in memory, as the kernels' constants; and the shape that is left to walk."""
    c, h, w = shape[2:]
    k = next((k for k in (1, c) if all(_dense(shape, stride, k) for stride in strides)), 0)
    # Where pixels do not touch a vector is no vector to the device, and a short one takes fewer registers.
    vector, line = max(4, 16 // dtype.itemsize) if k else 4, w * max(k, 1)
    even = h * line % vector == 0
    constants = {"K": max(k, 1), "DENSE": k > 0, "WHOLE": line % vector == 0, "EVEN": even, "VEC": vector}
    outer = [s for stride in strides for s in _outer(shape, stride, k)]
    # What strides come divided by: where it is a vector, whole vectors can be read.
    constants["STEP"] = vector if k and even and all(s % vector == 0 for s in outer) else 1
    return constants, {"channels": c // max(k, 1), "height": h, "width": w}


def _dense(shape: tuple[int, ...], stride: Strides, k: int) -> bool:
    """Whether rows touch, ``k`` channels being interleaved."""
    (*_, h, w), (*_, channel, row, column) = shape, stride
    return (w == 1 or column == k) and (h == 1 or row == w * k) and (k == 1 or channel == 1)


def _outer(shape: tuple[int, ...], stride: Strides, k: int) -> Strides:
    """Strides of samples, frames and channels; those that do not count are 0."""
    # A batch of images that are not in planes has a stride for its one frame that would break vectors up.
    sample, frame, channel = (s if n > 1 else 0 for s, n in zip(stride[:3], shape[:3], strict=True))
    return sample, frame, 0 if k > 1 else channel


def _strides(name: str, shape: tuple[int, ...], stride: Strides, lie: dict[str, Any]) -> dict[str, int]:
    """Strides by the kernels' names."""
    row, column = (0, 0) if lie["DENSE"] else stride[3:]
    names = ("sample", "frame", "channel", "row", "column")
    values = (*(s // lie["STEP"] for s in _outer(shape, stride, lie["K"])), row, column)
    return {f"{name}_{which}": value for which, value in zip(names, values, strict=True)}


_APART = {"K": 1, "DENSE": False, "STEP": 1}
"""Images of which each pixel is found by its strides."""


def _rows(vector: int, warps: int, vectors: int) -> int:
    """Vectors of a tile: one a thread, or ``vectors`` short ones."""
    return 32 * warps * (vectors if vector == 4 else 1)


def _region(n_params: int, bits: tuple[int, ...]) -> dict[str, int]:
    samples, rows, columns = bits
    bit_sample = rows * columns if samples > 1 else 0
    return {"n_params": n_params, "bit_sample": bit_sample, "bit_rows": rows, "bit_columns": columns}


@cache
def _quantiles(device: torch.device) -> Tensor:
    return quantiles().to(device)


@cache
def _colour(values: tuple[str, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A constant colour, kept on the device: only its first use copies it there. By bits, for NaN is not NaN."""
    numbers = torch.tensor([float.fromhex(v) for v in values], dtype=torch.float64)
    return numbers.to(dtype).view(1, 1, -1).to(device)
