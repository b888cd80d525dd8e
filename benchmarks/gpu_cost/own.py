"""What AugDrop's own operators cost: one launch each, and the bytes that their kernels' masks let through.

Exact to the pixel; kernels move 16 bytes at once, so where a vector of kept and dropped pixels is cut, both sides are
read. The tests count the active lanes of the kernels in Triton's interpreter and hold them to these numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from augdrop.kernels.painter import BLEND, BLUR, SOURCE
from augdrop.regions import spans
from benchmarks.gpu_cost.cost import Cost
from benchmarks.gpu_cost.rules import on_device, size

IMAGES = ("x", "out", "source", "cells")


def charge(cost: Cost, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Enter one of AugDrop's operators."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    name = func._schema.name.removeprefix("augdrop::")
    if name in ("paint", "paint_"):
        read, written = paint(given)
    elif name in ("channel_means", "cell_means"):
        read, written = means(given)
    else:
        read, written = tokens(given, name)
    cost.launch(f"augdrop::{name}", read, written)


def paint(given: dict[str, Any]) -> tuple[int, int]:
    """Out of place every pixel is read and written once; in place it is the dropped ones, and those of a partner.

    A blend reads the image and its partner where they are mixed.
    """
    x, fill = given["x"], given["fill"]
    pixel = x.element_size() * x.shape[1] * x.shape[2]
    whole, some = pixel * len(x) * x.shape[3] * x.shape[4], pixel * dropped(given)
    parameters = sum(size(t) for name, t in given.items() if on_device(t) and name not in IMAGES)
    parameters += size(given["cells"]) if fill == BLUR else 0
    if "out" in given:
        return whole + (some if fill == BLEND else 0) + parameters, whole
    return some * {SOURCE: 1, BLEND: 2}.get(fill, 0) + parameters, some


def dropped(given: dict[str, Any]) -> int:
    """Dropped pixels of a batch, counted from the parameters that the kernel gets."""
    hit, params, bits = (given[name].shadow for name in ("hit", "params", "bits"))
    height, width = given["x"].shape[-2:]
    areas = spans.count(given["kind"], params.flatten(1).numpy(), bits.numpy(), height, width)
    return int((torch.from_numpy(areas) * hit).sum())


def means(given: dict[str, Any]) -> tuple[int, int]:
    """Every pixel of the samples that are hit is read once, and their means are written."""
    x, share = given["x"], given["hit"].shadow.double().mean().item()
    b, t, c, h, w = x.shape
    if "factor" not in given:
        return round(size(x) * share) + size(given["hit"]), b * c * x.element_size()
    cells = b * t * c * -(-h // given["factor"]) * -(-w // given["factor"])
    return round(size(x) * share) + size(given["hit"]), round(cells * max(4, x.element_size()) * share)


def tokens(given: dict[str, Any], name: str) -> tuple[int, int]:
    """What moves is as large as what comes out."""
    raise NotImplementedError(name)
