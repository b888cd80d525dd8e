"""Every variant of the kernels that launches choose between, for compiling ahead of time.

Inputs are made on the host and handed to the very functions that launch; nothing is run. Needs Triton, not its
interpreter, and no GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from augdrop.kernels import noise
from augdrop.kernels.blend import working_type
from augdrop.kernels.gpu import launch
from augdrop.kernels.gpu.label_launch import mixing
from augdrop.kernels.gpu.launch import Launch
from augdrop.kernels.painter import BLEND, BLUR, NOISE, SOURCE, TABLE
from augdrop.regions.spans import BLOCKS, BOXES, CELLS, GRID, MASK

KINDS = {"boxes": BOXES, "blocks": BLOCKS, "grid": GRID, "cells": CELLS, "mask": MASK}
MOVED = (torch.uint8, torch.float16, torch.float32, torch.float64)
"""One dtype of each item size: fills that move bytes know no more."""

LAYOUTS = ("contiguous", "channels last", "strided")


class Variant(NamedTuple):
    """A kernel as Triton's compiler takes it: ``ASTSource(fn, signature, constexprs, attrs)`` and ``options``."""

    name: str
    kernel: Any
    signature: dict[str, str]
    constexprs: dict[tuple[int, ...], Any]
    attrs: dict[tuple[int, ...], Any]
    options: dict[str, Any]


def variants(target: Any, size: tuple[int, int] = (224, 224), sparse: bool = False) -> Iterator[Variant]:
    """Each variant for images of one size; with ``sparse``, each region, fill and dtype only once or twice."""
    for name, chosen in launches(size, sparse):
        yield specialised(name, chosen, target)


def specialised(name: str, chosen: Launch, target: Any) -> Variant:
    """A launch as the compiler would see it at run time, on ``target`` (a ``triton.backends.compiler.GPUTarget``)."""
    from triton.compiler.compiler import make_backend
    from triton.runtime.jit import create_function_from_signature

    fn, backend = chosen.kernel, make_backend(target)
    options = chosen.options()
    binder = create_function_from_signature(fn.signature, fn.params, backend)
    bound, specialization, _ = binder(**chosen.numbers, **chosen.constants)
    _, signature, constexprs, attrs = fn._pack_args(backend, dict(options), bound, specialization, dict(options))
    return Variant(name, fn, signature, constexprs, attrs, options)


def launches(size: tuple[int, int], sparse: bool = False) -> Iterator[tuple[str, Launch]]:
    """What `variants` specialises, named: region, fill, layout, dtype, and where to."""
    dtypes = (torch.uint8, torch.bfloat16, torch.float32) if sparse else _DTYPES
    for (kind, number), layout in itertools.product(KINDS.items(), LAYOUTS[: 2 if sparse else 3]):
        region = _region(number, 4, *size)
        for dtype in dtypes:
            x = _images(layout, dtype, size)
            for fill, given in _fills(x, number).items():
                bytewise = given["fill"] in (TABLE, SOURCE)
                if bytewise and dtype not in (MOVED if not sparse else dtypes):
                    continue
                if sparse and given["fill"] != TABLE and (kind, layout) != ("boxes", "contiguous"):
                    continue
                for inplace in (False, True):
                    where = "in place" if inplace else "out of place"
                    name = f"{kind}, {fill}, {layout}, {str(dtype).removeprefix('torch.')}, {where}"
                    yield name, _painting(x, x if inplace else torch.empty_like(x), *region, number, given)
                if fill in ("source", "blend"):
                    name = f"{kind}, {fill}, {layout}, {str(dtype).removeprefix('torch.')}, chained"
                    yield name, _chaining(x, *region, number, given)
    for layout, dtype in itertools.product(LAYOUTS, dtypes):
        x, hit = _images(layout, dtype, size), torch.ones(4, dtype=torch.bool)
        name = f"{layout}, {str(dtype).removeprefix('torch.')}"
        yield f"channel means, {name}", launch.averaging(x, hit)[0]
        for factor in (16, 5):
            yield f"cell means of {factor}, {name}", launch.shrinking(x, hit, factor)[0]
    for dtype, shape in itertools.product(dtypes, ((4,), (4, 1000))):
        if len(shape) == 2 or not dtype.is_floating_point:
            target, partner = torch.zeros(shape, dtype=dtype), torch.zeros(4, dtype=torch.int64)
            own, out = (
                torch.ones(4, dtype=torch.float64),
                torch.zeros(4, 1000, dtype=dtype if dtype == torch.float64 else torch.float32),
            )
            name = f"labels of {'classes' if len(shape) == 1 else 'shares'}, {str(dtype).removeprefix('torch.')}"
            yield name, mixing(out, target, target, partner, own, 1000, 0.9, 1e-4)


_DTYPES = (
    *(torch.uint8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


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


def _images(layout: str, dtype: torch.dtype, size: tuple[int, int]) -> Tensor:
    h, w = size
    if layout == "strided":
        return torch.zeros(4, 1, 3, h + 2, w + 3, dtype=dtype)[..., 1 : h + 1, 2 : w + 2]
    x = torch.zeros(4, 3, h, w, dtype=dtype)
    return (x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x).unsqueeze(1)


def _region(kind: int, samples: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    n_params = {BOXES: 4, BLOCKS: 43, GRID: 14, CELLS: 2, MASK: 1}[kind]
    shape = {CELLS: (samples, 14, 14), MASK: (samples, height, width)}.get(kind, (1, 1, 1))
    return torch.zeros(samples, n_params, dtype=torch.int64), torch.zeros(shape, dtype=torch.uint8)


def _fills(x: Tensor, kind: int) -> dict[str, dict[str, Any]]:
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
    for factor in (16, 5):
        cells = torch.zeros(*x.shape[:3], -(-x.shape[3] // factor), -(-x.shape[4] // factor))
        fills[f"blur {factor}"] = {"fill": BLUR, "cells": cells.to(working_type(x.dtype)), "factor": factor}
    return fills
