"""The image and label kernels' launches: one for each variant that the launchers choose between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from augdrop.kernels import noise
from augdrop.kernels.blend import working_type
from augdrop.kernels.gpu import launch
from augdrop.kernels.gpu.label_launch import mixing
from augdrop.kernels.gpu.launch import Launch
from augdrop.kernels.ops import soft_type
from augdrop.kernels.painter import BLEND, BLUR, NOISE, SOURCE, TABLE
from augdrop.regions.mask import room
from augdrop.regions.spans import BLOCKS, BOXES, CELLS, GRID, MASK

KINDS = {"boxes": BOXES, "blocks": BLOCKS, "grid": GRID, "cells": CELLS, "mask": MASK}
LAYOUTS = ("contiguous", "channels last", "strided")
MOVED = (torch.uint8, torch.float16, torch.float32, torch.float64)
"""One dtype of each item size: fills that move bytes know no more."""
DTYPES = (*MOVED, torch.bfloat16, torch.int16, torch.int32, torch.int64)
SIZE = (64, 64)


def launches() -> Iterator[tuple[str, Launch]]:
    """All of them, named: region, fill, layout, dtype, and where to."""
    for (kind, number), layout, dtype in itertools.product(KINDS.items(), LAYOUTS, DTYPES):
        x, region = _images(layout, dtype), _region(number, 4)
        for fill, given in _fills(x).items():
            if given["fill"] in (TABLE, SOURCE) and dtype not in MOVED:
                continue
            name = f"{kind}, {fill}, {layout}, {_short(dtype)}"
            yield f"{name}, out of place", _painting(x, torch.empty_like(x), *region, number, given)
            yield f"{name}, in place", _painting(x, x, *region, number, given)
            if fill in ("source", "blend"):
                yield f"{name}, chained", _chaining(x, *region, number, given)
    # Whole vectors by its shape and strides, and none by its address.
    x = _images("contiguous", torch.uint8)
    out = torch.zeros(x.numel() + 1, dtype=torch.uint8)[1:].view_as(x)
    made = _painting(x, out, *_region(BOXES, 4), BOXES, _fills(x)["source"])
    yield "boxes, source, between vectors, uint8, out of place", made
    for layout, dtype in itertools.product(LAYOUTS, DTYPES):
        x, hit = _images(layout, dtype), torch.ones(4, dtype=torch.bool)
        yield f"channel means, {layout}, {_short(dtype)}", launch.averaging(x, hit)[0]
        for factor in (16, 5):
            yield f"cell means of {factor}, {layout}, {_short(dtype)}", launch.shrinking(x, hit, factor)[0]
    for dtype in DTYPES:
        yield f"labels of shares, {_short(dtype)}", _labels(torch.zeros(4, 1000, dtype=dtype))
        if not dtype.is_floating_point:
            yield f"labels of classes, {_short(dtype)}", _labels(torch.zeros(4, dtype=dtype))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _labels(target: Tensor) -> Launch:
    out = torch.zeros(4, 1000, dtype=soft_type(target.dtype))
    return mixing(out, target, target, torch.zeros(4, dtype=torch.int64), torch.ones(4).double(), 1000, 0.9, 1e-4)


def _painting(x: Tensor, out: Tensor, params: Tensor, bits: Tensor, kind: int, given: dict[str, Any]) -> Launch:
    hit, names = torch.ones(len(x), dtype=torch.bool), ("source", "index", "opacity", "table", "keys", "cells")
    rest: list[Any] = [given.get(name) for name in names]
    rest += [kind, given["fill"], given.get("law", []), given.get("factor", 1)]
    return launch.painting(x, out, hit, params, bits, *rest)


def _chaining(x: Tensor, params: Tensor, bits: Tensor, kind: int, given: dict[str, Any]) -> Launch:
    hit, order = torch.ones(len(x), dtype=torch.bool), torch.zeros(len(x), 3, dtype=torch.int64)
    opacity = given.get("opacity")
    return launch.chaining(
        x, hit, params, bits, None, given["index"], opacity, None, None, None, order, kind, given["fill"]
    )


def _images(layout: str, dtype: torch.dtype) -> Tensor:
    h, w = SIZE
    if layout == "strided":
        return torch.zeros(4, 1, 3, h + 2, w + 3, dtype=dtype)[..., 1 : h + 1, 2 : w + 2]
    x = torch.zeros(4, 3, h, w, dtype=dtype)
    return (x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x).unsqueeze(1)


def _region(kind: int, samples: int) -> tuple[Tensor, Tensor]:
    n_params = {BOXES: 4, BLOCKS: 43, GRID: 14, CELLS: 2, MASK: 1}[kind]
    shape = {CELLS: (samples, 14, 14), MASK: (samples, 1, room(*SIZE))}.get(kind, (1, 1, 1))
    return torch.zeros(samples, n_params, dtype=torch.int64), torch.zeros(shape, dtype=torch.uint8)


def _fills(x: Tensor) -> dict[str, dict[str, Any]]:
    numbers = torch.zeros(len(x), dtype=torch.int64)
    colours = x.new_zeros(len(x), 2, 3)
    laws = [noise.law(x.dtype, normal, None, None) for normal in (False, True)]
    uniform, normal = ([*map(float, law), 0.0] for law in laws)
    fills = {
        "constant": {"fill": TABLE, "law": [0.0, 1.0, 0.0]},
        "mean": {"fill": TABLE, "table": colours[:, :1]},
        "uniform": {"fill": NOISE, "keys": numbers, "law": uniform},
        "normal": {"fill": NOISE, "keys": numbers, "law": normal},
        "noise per box": {"fill": NOISE, "keys": numbers, "law": [*uniform[:-1], 1.0]},
        "source": {"fill": SOURCE, "source": x.clone(), "index": numbers},
        "blend": {"fill": BLEND, "source": x.clone(), "index": numbers, "opacity": numbers.double()},
    }
    if laws[0].narrow:
        words = [*map(float, noise.law(x.dtype, False, 0, 199)), 0.0]
        fills["uniform of 200"] = {"fill": NOISE, "keys": numbers, "law": words}
    for factor in (16, 5):
        cells = torch.zeros(*x.shape[:3], -(-x.shape[3] // factor), -(-x.shape[4] // factor))
        fills[f"blur {factor}"] = {"fill": BLUR, "cells": cells.to(working_type(x.dtype)), "factor": factor}
    return fills
