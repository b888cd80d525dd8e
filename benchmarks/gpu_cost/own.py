"""What AugDrop's own operators cost: one launch each, and the bytes that their kernels' masks let through.

Exact to the pixel; kernels move 16 bytes at once, so a vector that an edge cuts is read whole, and from both sides. The
tests count the active lanes of the kernels in Triton's interpreter and hold them to these numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.kernels.blend import working_type
from augdrop.kernels.ops import soft_type
from augdrop.kernels.painter import BLEND, BLUR, SOURCE
from augdrop.memory import ahead, data
from augdrop.regions.spans import most_spans, row_spans
from benchmarks.gpu_cost.cost import Cost
from benchmarks.gpu_cost.rules import on_device, size

IMAGES = ("x", "out", "source", "cells", "target", "others")


def charge(cost: Cost, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor]) -> None:
    """Enter one of AugDrop's operators."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    name = func._schema.name.removeprefix("augdrop::")
    parameters = sum(size(t) for key, t in given.items() if on_device(t) and key not in IMAGES)
    if name.startswith("token_"):
        written = sum(size(t) for t in results)
        read = min(size(given["x"]), written) if name == "token_gather" else size(given["x"])
    elif name in COSTS:
        read, written = COSTS[name](given)
    else:
        raise NotImplementedError(f"what {name} reads and writes is not known")
    cost.launch(f"augdrop::{name}", read + parameters, written)
    cost.parameters += parameters


def paint(given: dict[str, Any]) -> tuple[int, int]:
    """Out of place every pixel is read and written once; a blend reads the partner as well, where it is mixed in."""
    whole, some = _bytes(given)
    more = {BLEND: some, BLUR: _squares(given)}
    return whole + more.get(given["fill"], 0), whole


def paint_in_place(given: dict[str, Any]) -> tuple[int, int]:
    """In place it is the dropped pixels, and those of a partner; rings of partners take a little more."""
    _, some = _bytes(given)
    fill = given["fill"]
    return some * {SOURCE: 1, BLEND: 2}.get(fill, 0) + _put_aside(given) + _squares(given), some


def _squares(given: dict[str, Any]) -> int:
    """Bytes of a blur's squares, of samples that are hit."""
    cells = given["cells"]
    return 0 if cells is None else size(cells[0]) * int(given["hit"].shadow.sum())


def _bytes(given: dict[str, Any]) -> tuple[int, int]:
    """Bytes of the images, and of their dropped pixels."""
    x = given["x"]
    return x.numel() * x.element_size(), int(dropped(given).sum()) * _pixel(x)


def _pixel(x: Any) -> int:
    return x.element_size() * x.shape[1] * x.shape[2]


def _put_aside(given: dict[str, Any]) -> int:
    """What rings of partners add: what drops of their first is read before, and is not read again by their last."""
    order = given.get("order")
    if order is None:
        return 0
    more, first, masks = 0, 0, dropped(given)
    for sample, saves, from_saved in order.shadow.tolist():
        if saves:
            first = sample
            more += int(masks[sample].sum())
        if from_saved:
            more -= int((masks[first] & masks[sample]).sum())
    return more * _pixel(given["x"])


def dropped(given: dict[str, Any]) -> torch.Tensor:
    """bool ``[B, H, W]``: what the kernel drops, by the parameters that it gets."""
    hit, params, bits = (given[name].shadow for name in ("hit", "params", "bits"))
    masks = np.zeros((len(hit), *given["x"].shape[-2:]), np.uint8)
    _draw(given["kind"], params.flatten(1).numpy(), bits.numpy(), masks)
    return torch.from_numpy(masks).view(torch.bool) & hit[:, None, None]


@njit(cache=True)
def _draw(kind, params, bits, masks):
    samples, n_params = params.shape
    rows, columns = bits.shape[1:]
    height, width = masks.shape[1:]
    spans = np.empty(3 * most_spans(kind, n_params, width), np.int32)
    for b in range(samples):
        own = ahead(data(params), b * n_params)
        flags = ahead(data(bits), b * rows * columns if len(bits) > 1 else 0)
        for y in range(height):
            n, _ = row_spans(kind, own, n_params, flags, rows, columns, y, width, data(spans))
            for i in range(n):
                masks[b, y, spans[3 * i] : spans[3 * i + 1]] = 1


def channel_means(given: dict[str, Any]) -> tuple[int, int]:
    """Every pixel of the samples that are hit is read once."""
    x = given["x"]
    return _hit(given), x.shape[0] * x.shape[2] * x.element_size()


def cell_means(given: dict[str, Any]) -> tuple[int, int]:
    """The same, and a cell is written for each square of pixels."""
    x, factor = given["x"], given["factor"]
    b, t, c, h, w = x.shape
    cells = int(given["hit"].shadow.sum()) * t * c * -(-h // factor) * -(-w // factor)
    return _hit(given), cells * working_type(x.dtype).itemsize


def _hit(given: dict[str, Any]) -> int:
    x = given["x"]
    return int(given["hit"].shadow.sum()) * _pixel(x) * x.shape[3] * x.shape[4]


def soft_labels(given: dict[str, Any]) -> tuple[int, int]:
    """Each target is read as its own sample's and as a partner's."""
    target, classes = given["target"], given["classes"]
    return 2 * size(target), len(target) * classes * soft_type(target.dtype).itemsize


COSTS = {
    "paint": paint,
    "paint_": paint_in_place,
    "channel_means": channel_means,
    "cell_means": cell_means,
    "soft_labels": soft_labels,
}
"""Bytes read and written of images and targets, by operator."""
