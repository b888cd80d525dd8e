"""Fills as DALI's operators take them: a colour for each sample, or values that were worked out on the host.

What travels a sample: for `Constant`, `PerChannel`, `ImageMean` and one colour of noise C numbers; for a partner its
place in the batch, and for a blend four numbers; for noise a pixel, several colours, `Blur` and a user's own fill the
part of an image that holds all that is dropped. `ImageMean`, `Blur` and a user's own fill look at the pixels,
which a GPU graph has to fetch for them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from augdrop.adapters.dali.layouts import channels_first
from augdrop.adapters.dali.native_host import Batch
from augdrop.adapters.dali.native_regions import bounds
from augdrop.errors import fail
from augdrop.fills import Constant, Fill, ImageMean, Noise, PerChannel
from augdrop.kernels import noise
from augdrop.kernels.paint import prepare
from augdrop.plan import Plan
from augdrop.transforms.regional import RegionalDropout

NOTHING = -0.0
"""What leaves every number as it is when it is added: the zero of integers, and in floats the negative one."""


def is_colour(t: RegionalDropout, plan: Plan) -> bool:
    """Does each sample have one colour?"""
    fill = plan.fill
    if isinstance(fill, (Constant, PerChannel)):
        return True
    boxes = getattr(plan.region, "boxes", None)
    one = boxes is None or (boxes.shape[1] == 1 and not t.uses_boxes)
    return not t.per_frame and (
        isinstance(fill, ImageMean) or (isinstance(fill, Noise) and fill.per == "channel" and one)
    )


def needs_pixels(fill: Fill) -> bool:
    """Does the fill look at the images?"""
    return not isinstance(fill, (Constant, PerChannel, Noise))


def needs_dtype(fill: Fill) -> bool:
    """Does the fill depend on the images' dtype? Whole numbers from 0 to 255 do not."""
    values = (fill.value,) if isinstance(fill, Constant) else getattr(fill, "values", (-1,))
    return not all(float(v).is_integer() and 0 <= v <= 255 for v in values)


def colours(batch: Batch) -> np.ndarray:
    """float32 ``[B, C]``."""
    plan, dtype = batch.plan, batch.dtype or torch.float32
    if needs_pixels(plan.fill):
        x = batch.images()
        x = x if x.ndim == 5 else x[:, None]
    else:
        x = torch.empty((batch.count, 1, batch.channels, 0, 0), dtype=dtype)
    table = prepare(plan.fill, x, plan).drawn(x, noise.words_compiled).table
    assert table is not None
    if table.shape[1] > 1:
        raise fail(
            "to_dali: route='native'", got=f"{table.shape[1]} colours a sample", expected="one, as in the first plan",
            fix="Choose route='kernel'.",
        )  # fmt: skip
    if not torch.equal(table, table.float().to(dtype)):
        raise fail(
            f"{plan.method}: fill", got=f"{dtype} values beyond 2**24", expected="numbers that float32 can hold",
            fix="Choose route='kernel'.",
        )  # fmt: skip
    return table[:, 0].float().expand(batch.count, -1).numpy()


def patches(t: RegionalDropout, batch: Batch) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The fill where it goes, in the images' dtype, and nothing elsewhere, as far as a sample's region reaches.

    Returns:
        Cut-outs, and where to slice them, beyond their borders, to get images: int32 ``[B, axes]``, start and shape.
    """
    check_adds(batch)
    assert batch.dtype is not None
    ends = bounds(batch)
    some = np.flatnonzero(ends[:, 2])
    rows = torch.from_numpy(some[:, None] * batch.frames + np.arange(batch.frames)).flatten()
    plan = batch.plan.take(rows)
    laid = torch.full((len(some), *batch.shape), NOTHING, dtype=batch.dtype)
    canvas = channels_first(laid, batch.layout)
    if needs_pixels(plan.fill):
        painted = t.apply(batch.images()[some], plan)
        masks = plan.mask().view(len(some), batch.frames, 1, *plan.size)
        canvas.copy_(torch.where(masks if painted.ndim == 5 else masks[:, 0], painted, canvas))
    else:
        t.apply(canvas, plan, inplace=True)
    start = np.zeros((batch.count, len(batch.layout)), np.int32)
    start[:, [batch.layout.index(axis) for axis in "HW"]] = -ends[:, :2]
    cut = [np.full((1,) * len(batch.layout), NOTHING).astype(laid.numpy().dtype)] * batch.count
    for image, b in zip(laid.numpy(), some, strict=True):
        y0, x0, y1, x1 = ends[b]
        reach = {"H": slice(y0, y1), "W": slice(x0, x1)}
        cut[b] = np.ascontiguousarray(image[tuple(reach.get(axis, slice(None)) for axis in batch.layout)])
    return cut, start, np.tile(np.array(batch.shape, np.int32), (batch.count, 1))


def partners(batch: Batch) -> np.ndarray:
    """int32 ``[B]``: whom each sample takes from; itself where it is not hit."""
    partner = batch.plan.partner.view(batch.count, -1)[:, 0] // batch.frames
    return torch.where(hit_samples(batch), partner, torch.arange(batch.count)).int().numpy()


def weights(batch: Batch) -> tuple[np.ndarray, ...]:
    """float32: the weights of a sample itself and of its partner, and what to add, and add again, to round the sum.

    A sample that is not hit is half itself and half itself: exact, but for floats below 2**-125. Adding ``1.5 * 2**23``
    leaves a float32 no place behind the point, and so rounds it as the core does, to the nearest, ties to even,
    whatever DALI's cast to integers does.
    """
    check_adds(batch)
    assert batch.dtype is not None
    opacity = torch.where(batch.plan.hit, batch.plan.opacity, torch.tensor(0.5, dtype=torch.float64))
    own, other = (w.float() for w in (1 - opacity, opacity))
    first = torch.full_like(own, NOTHING if batch.dtype.is_floating_point else 1.5 * 2**23)
    again = torch.full_like(own, NOTHING if batch.dtype.is_floating_point else -1.5 * 2**23)
    axis = "F" if batch.frames > 1 else "C"
    return tuple(batch.along(v.view(batch.count, -1).numpy(), axis) for v in (own, other, first, again))


def hit_samples(batch: Batch) -> Tensor:
    """bool ``[B]``: samples of which anything is hit."""
    return batch.plan.hit.view(batch.count, -1).any(1)


def check_adds(batch: Batch) -> None:
    """Refuse what float32 cannot add."""
    if batch.dtype in (torch.int32, torch.int64):
        raise fail(
            "to_dali: route='native'",
            got=f"{batch.dtype} images".replace("torch.", ""),
            expected="uint8, int16, float16 or float32, or a method that erases with a colour",
            fix="Cast them, or choose route='kernel'.",
        )
