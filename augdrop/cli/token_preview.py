"""What ``augdrop preview --tokens`` draws: the patches that a method keeps, and those that it removes, faded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from augdrop.errors import fail
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import Ratio
from augdrop.tokens.mae import patchify
from augdrop.tokens.registry import SELECTORS
from augdrop.transforms.grid_mask import GridMask

PATCH = 16
"""Side of a token in pixels, a vision transformer's."""

_SHOWN: dict[str, dict[str, Any]] = {
    "DINOv2Mask": {"share": 1.0},
    "HPM": {"rising": False},
    "TokenDropping": {"keep": Ratio(0.5)},
}
"""Where defaults show little: a draw that misses, an early epoch, more tokens than a picture has."""

_NOTES = {
    "RegionKeep": "here of GridMask",
    "DINOv2Mask": "of hit samples",
    "GMML": "faded: corrupted",
    "Tube": "a time step; all are alike",
    "IJEPA": "the context",
    "DropPos": "the visible patches",
    "HPM": "as in the last epoch; scores: each patch's contrast",
    "TokenDropping": "the half of most contrast, no draw",
}
"""What is shown, where the name does not say it."""

_SCORED = ("HPM", "TokenDropping")
"""Methods that go by scores. Here a patch's contrast stands in for a teacher's loss, or for importance."""


def check_size(size: tuple[int, int]) -> None:
    """Patches, and SimMIM's cells of two by two, are to fill the pictures."""
    if any(side % (2 * PATCH) for side in size):
        raise fail(
            "--size", got=size, expected=f"multiples of {2 * PATCH} with --tokens", fix="Such as 224, or 192 256."
        )


def selector_of(name: str, preset: str, seed: int, size: tuple[int, int]) -> Selector:
    """The method for pictures of ``size``."""
    grid = size[0] // PATCH, size[1] // PATCH
    options = {"seed": seed, "grid": (1, *grid) if name == "Tube" else grid} | _SHOWN.get(name, {})
    if name == "RegionKeep":
        options |= {"patch": PATCH, "transform": GridMask((48, 96), seed=seed)}
    cls = SELECTORS[name]
    return cls.preset(preset, **options) if preset else cls(**options)


def note_of(selector: Selector) -> str:
    """What the picture shows, in a few words."""
    return _NOTES.get(type(selector).__name__, "")


def faded(selector: Selector, picture: Image.Image, key: int) -> Image.Image:
    """The picture with the removed patches faded to grey."""
    pixels = torch.from_numpy(np.array(picture))
    patches = patchify(pixels.movedim(-1, 0)[None].float(), PATCH)
    scores = {"scores": patches.std(-1)} if type(selector).__name__ in _SCORED else {}
    removed = selector(patches, keys=[key], epoch=0, **scores).mask("removed").view(pixels.shape[0] // PATCH, -1)
    where = Image.fromarray(removed.numpy()).resize(picture.size, Image.Resampling.NEAREST)
    pale = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, (222, 222, 226)), 0.85)
    return Image.composite(pale, picture, where)
