"""From a fill to what a kernel needs for one batch: a table of colours, a noise law, or a source image a sample."""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from augdrop import fills
from augdrop.errors import fail
from augdrop.kernels import noise
from augdrop.kernels.statistics import cell_means, channel_means
from augdrop.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Paint:
    """One batch's fill as kernels take it; exactly one of ``table``, ``noise``, ``source`` and ``cells`` is set.

    Args:
        table: ``[1 or B, 1 or N, C]`` in the image's dtype: a colour for each sample and box.
        noise: how random words become values; the words come from ``keys``, int64 ``[B]``.
        source: images shaped like the input; sample ``b`` copies from ``source[index[b]]``.
        opacity: float64 ``[B]``, the source's weight where it is painted; None is 1.
        cells: the image in squares of ``factor`` pixels, to interpolate; see `augdrop.kernels.blur`.
    """

    table: Tensor | None = None
    noise: noise.Law | None = None
    keys: Tensor | None = None
    source: Tensor | None = None
    index: Tensor | None = None
    opacity: Tensor | None = None
    cells: Tensor | None = None
    factor: int = 1


@singledispatch
def prepare(fill: fills.Fill, x: Tensor, plan: Plan) -> Paint:
    """The paint of one batch ``x [B, T, C, H, W]``. Register a function here for a fill of your own."""
    raise fail(
        "fill", got=repr(fill), expected="a fill with a paint", fix="Register one with augdrop.kernels.paint.prepare."
    )


@prepare.register
def _(fill: fills.Constant, x: Tensor, plan: Plan) -> Paint:
    return Paint(table=_table((float(fill.value),), x.shape[2], x.dtype, x.device))


@prepare.register
def _(fill: fills.PerChannel, x: Tensor, plan: Plan) -> Paint:
    if len(fill.values) not in (1, x.shape[2]):
        raise fail(
            "PerChannel", got=f"{len(fill.values)} values", expected=f"1 or {x.shape[2]}", fix="Give one a channel."
        )
    return Paint(table=_table(fill.values, x.shape[2], x.dtype, x.device))


@prepare.register
def _(fill: fills.Noise, x: Tensor, plan: Plan) -> Paint:
    first, second = (fill.low, fill.high) if fill.distribution == "uniform" else (fill.mean, fill.std)
    law = noise.law(x.dtype, fill.distribution == "normal", first, second)
    if fill.per == "pixel":
        return Paint(noise=law, keys=plan.noise)
    boxes = getattr(plan.region, "boxes", None)
    count = 1 if boxes is None else boxes.shape[1]
    values = noise.values(law, plan.noise.to(x.device), count * x.shape[2], x.dtype)
    return Paint(table=values.view(len(plan), count, x.shape[2]))


@prepare.register
def _(fill: fills.ImageMean, x: Tensor, plan: Plan) -> Paint:
    return Paint(table=channel_means(x.detach(), plan.hit).unsqueeze(1))


@prepare.register
def _(fill: fills.Blur, x: Tensor, plan: Plan) -> Paint:
    return Paint(cells=cell_means(x.detach(), fill.factor, plan.hit), factor=fill.factor)


@prepare.register
def _(fill: fills.Partner, x: Tensor, plan: Plan) -> Paint:
    return Paint(source=x, index=plan.partner, opacity=plan.opacity)


def _table(values: tuple[float, ...], channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A constant table; kept, for it costs as much to make as a small image to paint."""
    key = (values, channels, dtype, device)
    table = _TABLES.get(key)
    if table is None:
        if not dtype.is_floating_point:
            limits = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
            if not all(float(v).is_integer() and limits[0] <= v <= limits[1] for v in values):
                raise fail(
                    f"fill for a {dtype} image",
                    got=values,
                    expected=f"whole numbers from {limits[0]} to {limits[1]}",
                    fix="Give the fill in the image's own units (0 to 255 for uint8).",
                )
        if len(_TABLES) > 256:
            _TABLES.clear()
        row = torch.from_numpy(np.asarray(values, np.float64)).to(dtype).expand(channels)
        table = _TABLES[key] = row.to(device).contiguous().view(1, 1, channels)
    return table


_TABLES: dict[tuple, Tensor] = {}
