"""From a fill to what a kernel needs for one batch: a table of colours, a noise law, or a source image a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from augdrop import fills
from augdrop.errors import fail
from augdrop.kernels import noise, ops
from augdrop.kernels.backend import on_gpu
from augdrop.kernels.statistics import cell_means, channel_means
from augdrop.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Paint:
    """One batch's fill as kernels take it; exactly one of ``table``, ``noise``, ``source`` and ``cells`` is set.

    Args:
        table: ``[1 or B, 1 or N, C]`` in the image's dtype: a colour for each sample and box.
        constant: what ``table`` holds where one colour is for all; the table is then on the host, whatever the device.
        noise: how random words become values; the words come from ``keys``, int64 ``[B]``.
        boxes: how many colours of noise a sample has; 0 is a value for every element.
        source: images shaped like the input; sample ``b`` copies from ``source[index[b]]``.
        opacity: float64 ``[B]``, the source's weight where it is painted; None is 1.
        order: int64 ``[B, 3]``, see `augdrop.pairing.write_order`, where a plan on a device brought it.
        cells: the image in squares of ``factor`` pixels, to interpolate; see `augdrop.kernels.blur`.
    """

    table: Tensor | None = None
    constant: list[float] | None = None
    noise: noise.Law | None = None
    keys: Tensor | None = None
    boxes: int = 0
    source: Tensor | None = None
    index: Tensor | None = None
    opacity: Tensor | None = None
    order: Tensor | None = None
    cells: Tensor | None = None
    factor: int = 1

    def drawn(self, x: Tensor, words: Callable[[Tensor, int, bool], Tensor]) -> Paint:
        """With a table of colours, if they are noise that has not been drawn yet; ``words`` are that noise's."""
        if self.noise is None or self.keys is None or not self.boxes:
            return self
        count, law = self.boxes * x.shape[2], self.noise
        colours = noise.values(law, words(self.keys.to(x.device), count, law.narrow), x.dtype)
        return Paint(table=colours.view(len(x), self.boxes, x.shape[2]))


@singledispatch
def prepare(fill: fills.Fill, x: Tensor, plan: Plan) -> Paint:
    """The paint of one batch ``x [B, T, C, H, W]``. Register a function here for a fill of your own."""
    raise fail(
        "fill", got=repr(fill), expected="a fill with a paint", fix="Register one with augdrop.kernels.paint.prepare."
    )


@prepare.register
def _(fill: fills.Constant, x: Tensor, plan: Plan) -> Paint:
    return _constant((float(fill.value),), x.shape[2], x.dtype)


@prepare.register
def _(fill: fills.PerChannel, x: Tensor, plan: Plan) -> Paint:
    if len(fill.values) not in (1, x.shape[2]):
        raise fail(
            "PerChannel",
            got=f"{len(fill.values)} values",
            expected=" or ".join(sorted({"1", str(x.shape[2])})),
            fix="Give one a channel.",
        )
    return _constant(fill.values, x.shape[2], x.dtype)


@prepare.register
def _(fill: fills.Noise, x: Tensor, plan: Plan) -> Paint:
    first, second = (fill.low, fill.high) if fill.distribution == "uniform" else (fill.mean, fill.std)
    law = noise.law(x.dtype, fill.distribution == "normal", first, second)
    if fill.per == "pixel":
        return Paint(noise=law, keys=plan.noise)
    boxes = getattr(plan.region, "boxes", None)
    return Paint(noise=law, keys=plan.noise, boxes=1 if boxes is None else boxes.shape[1])


@prepare.register
def _(fill: fills.ImageMean, x: Tensor, plan: Plan) -> Paint:
    means = ops.channel_means if on_gpu(x) else channel_means
    return Paint(table=means(x.detach(), plan.hit).unsqueeze(1))


@prepare.register
def _(fill: fills.Blur, x: Tensor, plan: Plan) -> Paint:
    if on_gpu(x):
        return Paint(cells=ops.cell_means(x.detach(), plan.hit, fill.factor), factor=fill.factor)
    return Paint(cells=cell_means(x.detach(), fill.factor, plan.hit, plan.region), factor=fill.factor)


@prepare.register
def _(fill: fills.Partner, x: Tensor, plan: Plan) -> Paint:
    return Paint(source=x, index=plan.partner, opacity=plan.opacity, order=plan.order)


def _constant(values: tuple[float, ...], channels: int, dtype: torch.dtype) -> Paint:
    """One colour for all; kept, for it costs as much to make as a small image to paint."""
    key = (values, channels, dtype)
    paint = _CONSTANTS.get(key)
    if paint is None:
        if not dtype.is_floating_point:
            limits = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
            if not all(float(v).is_integer() and limits[0] <= v <= limits[1] for v in values):
                raise fail(
                    f"fill for a {dtype} image",
                    got=values,
                    expected=f"whole numbers from {limits[0]} to {limits[1]}",
                    fix="Give the fill in the image's own units (0 to 255 for uint8).",
                )
        if len(_CONSTANTS) > 256:
            _CONSTANTS.clear()
        numbers = [*values] * (channels // len(values))
        table = torch.from_numpy(np.asarray(numbers, np.float64)).to(dtype).view(1, 1, channels)
        paint = _CONSTANTS[key] = Paint(table=table, constant=numbers)
    return paint


_CONSTANTS: dict[tuple, Paint] = {}
