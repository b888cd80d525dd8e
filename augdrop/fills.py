"""What with: the values that take the place of a dropped region.

A fill is configuration; `augdrop.kernels.paint` turns it into what a kernel needs for one batch.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Literal

from augdrop.checks import plain_fields
from augdrop.errors import fail


@dataclasses.dataclass(frozen=True)
class Fill:
    """Base of the fills."""


@dataclasses.dataclass(frozen=True)
class Constant(Fill):
    """One number for every channel, in the image's own units (0 is black, or the mean of a normalised image)."""

    value: float = 0.0

    def __post_init__(self) -> None:
        if not _is_number(self.value):
            raise fail("Constant", got=repr(self.value), expected="a number", fix="A colour is PerChannel((r, g, b)).")
        object.__setattr__(self, "value", float(self.value) + 0.0)  # equal fills paint equal bits: -0.0 is 0.0


@dataclasses.dataclass(frozen=True)
class PerChannel(Fill):
    """One number a channel, in the image's own units: a data set's mean colour, say."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        try:
            values = tuple(float(v) + 0.0 for v in self.values)
        except (TypeError, ValueError):
            values = ()
        if not values or isinstance(self.values, str):
            got, fix = repr(self.values), "Write PerChannel((0.485, 0.456, 0.406)), say."
            raise fail("PerChannel", got=got, expected="one number a channel", fix=fix)
        object.__setattr__(self, "values", values)


@dataclasses.dataclass(frozen=True, repr=False)
class Noise(Fill):
    """Random values from each sample's own key: equal on every device, at every batch size.

    Args:
        distribution: ``"uniform"`` or ``"normal"``.
        per: ``"pixel"`` (every element its own value) or ``"channel"`` (one colour a box, as timm's mode ``rand``).
        low, high: uniform range in the image's units, ``high`` excluded for floats (but for what a half rounds up) and
            included for integers. By default [0, 1) for floats, and for integers the dtype's non-negative range, of 31
            bits at most.
        mean, std: of the normal law, in the image's units. By default 0 and 1 for floats, and half and a quarter of
            the dtype's maximum for integers, rounded and clipped to the dtype.
    """

    distribution: Literal["uniform", "normal"] = "uniform"
    per: Literal["pixel", "channel"] = "pixel"
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        plain_fields(self)
        for name, valid in (("distribution", ("uniform", "normal")), ("per", ("pixel", "channel"))):
            if getattr(self, name) not in valid:
                raise fail(
                    f"Noise: {name}", got=repr(getattr(self, name)), expected=" or ".join(valid), fix="Choose one."
                )
        for name in ("low", "high", "mean", "std"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and math.isfinite(value)):
                raise fail(f"Noise: {name}", got=repr(value), expected="a finite number", fix="Leave it out.")
        if self.low is not None and self.high is not None and self.low > self.high:
            got = f"low={self.low:g}, high={self.high:g}"
            raise fail("Noise", got=got, expected="low <= high", fix="Change places.")
        if self.std is not None and self.std < 0:
            raise fail("Noise: std", got=self.std, expected="0 or more", fix="It is a width.")

    def __repr__(self) -> str:
        given = {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) != f.default}
        return f"Noise({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class ImageMean(Fill):
    """The mean of each channel of the sample itself (all frames of a video), rounded for integers."""


@dataclasses.dataclass(frozen=True)
class Blur(Fill):
    """The sample itself without its fine detail: means of ``factor`` by ``factor`` pixels, interpolated bilinearly."""

    factor: int = 16

    def __post_init__(self) -> None:
        plain_fields(self)
        if not (isinstance(self.factor, int) and self.factor >= 1):
            raise fail(
                "Blur: factor", got=self.factor, expected="a whole number of pixels >= 1", fix="The default is 16."
            )


@dataclasses.dataclass(frozen=True)
class Partner(Fill):
    """The same pixels of another sample of the batch: CutMix is a partner fill, and Mixup one at partial opacity."""


def as_fill(fill: Fill | float | tuple[float, ...] | list[float] | str) -> Fill:
    """A fill from what a user writes: a fill, a number, one number a channel, or a fill's name.

    Example:
        >>> as_fill(0), as_fill((0.5, 0.4, 0.3)), as_fill("mean")
        (Constant(value=0.0), PerChannel(values=(0.5, 0.4, 0.3)), ImageMean())
    """
    if isinstance(fill, Fill):
        return fill
    if isinstance(fill, str) and fill in NAMED:
        return NAMED[fill]
    if _is_number(fill):
        return Constant(fill)  # type: ignore[arg-type]
    if isinstance(fill, (tuple, list)):
        return PerChannel(tuple(fill))
    raise fail(
        "fill",
        got=repr(fill),
        expected="a Fill, a number, one number a channel, or a name",
        fix=f"Names: {', '.join(NAMED)}.",
    )


NAMED: dict[str, Fill] = {
    "noise": Noise(),
    "normal": Noise("normal"),
    "mean": ImageMean(),
    "blur": Blur(),
    "partner": Partner(),
}
"""Fills by the name that a recipe file uses."""
