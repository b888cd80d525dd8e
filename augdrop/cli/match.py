"""Bring pixels to one size and kind, and fills to a file's range."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image, ImageOps

from augdrop import fills
from augdrop.cli.images import LoadedImage
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as Pillow turns colour to grey."""


def fit(image: LoadedImage, size: tuple[int, int]) -> LoadedImage:
    """The image scaled to cover ``size`` (H, W), and the middle of it; bilinear over all pixels that count."""
    if image.pixels.shape[:2] == size:
        return image
    pixels = np.atleast_3d(_scaled(image.pixels.squeeze(-1) if image.pixels.shape[-1] == 1 else image.pixels, size))
    alpha = None if image.alpha is None else _scaled(image.alpha, size)
    return dataclasses.replace(image, pixels=pixels, alpha=alpha)


def _scaled(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # Pillow's resampling is in whole numbers and of one thread: the same on every machine.
    scaled = ImageOps.fit(Image.fromarray(values), (size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(scaled, values.dtype)


def like(partner: LoadedImage, image: LoadedImage) -> np.ndarray:
    """The partner's pixels in the image's channels and depth."""
    pixels, channels = partner.pixels, image.pixels.shape[-1]
    if channels < pixels.shape[-1]:
        pixels = np.rint(pixels @ _LUMA)[..., None].astype(pixels.dtype)
    elif channels > pixels.shape[-1]:
        pixels = pixels.repeat(channels, axis=-1)
    if image.bits > partner.bits:
        pixels = pixels.astype(np.int32) * 257
    elif image.bits < partner.bits:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def fit_fill(plan: Plan | Plans, image: LoadedImage) -> Plan | Plans:
    """The same plan with its fill in the file's own units.

    A recipe's numbers are levels of 8 bits, 0 to 255, and numbers with a fraction are shares of the range, as in float
    images; so that one recipe looks alike in files of 8 and 16 bits, in grey and in colour.
    """
    if isinstance(plan, Plans):
        members = tuple(fit_fill(p, image) for p in plan.plans)
        return dataclasses.replace(plan, plans=members)
    fill, white = plan.fill, (1 << image.bits) - 1
    if isinstance(fill, fills.Constant):
        fill = fills.Constant(_levels((fill.value,), white)[0])
    elif isinstance(fill, fills.PerChannel):
        values = _levels(fill.values, white)
        if len(values) == 3 and image.pixels.shape[-1] == 1:
            values = (float(round(float(np.dot(_LUMA, values)))),)
        fill = fills.PerChannel(values)
    elif isinstance(fill, fills.Noise) and image.bits == 16:
        fill = _wide(fill, white)
    return dataclasses.replace(plan, fill=fill)


def _levels(values: tuple[float, ...], white: int) -> tuple[float, ...]:
    if not all(math.isfinite(v) for v in values):
        raise fail("fill", got=values, expected="levels from 0 to 255, or shares of the range", fix="Choose a colour.")
    share = all(0 <= v <= 1 for v in values) and any(v != int(v) for v in values)
    scale = white if share else white / 255
    return tuple(float(round(v * scale)) for v in values)


def _wide(noise: fills.Noise, white: int) -> fills.Noise:
    """Noise over 16 bits: these files are held as int32, whose own range is far too wide."""
    # The normal law's defaults are those of 8-bit files: half and a quarter of the range.
    default = {"low": 0, "high": 255, "mean": 127.5, "std": 63.75}
    names = ("low", "high") if noise.distribution == "uniform" else ("mean", "std")
    given = {name: getattr(noise, name) for name in names}
    return dataclasses.replace(noise, **{n: (default[n] if v is None else v) * white / 255 for n, v in given.items()})
