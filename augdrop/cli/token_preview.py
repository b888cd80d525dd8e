"""What ``augdrop preview --tokens`` draws: the patches that a method keeps, those it removes, and those it merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from augdrop.cli.token_stages import clip, reduced, sides, tiled
from augdrop.errors import fail
from augdrop.tokens.base import Selector
from augdrop.tokens.evad import EVAD, TokenGrid
from augdrop.tokens.mae import patchify, unpatchify
from augdrop.tokens.micdrop import MICDrop
from augdrop.tokens.reducer import Reducer
from augdrop.tokens.registry import METHODS
from augdrop.transforms.grid_mask import GridMask

PATCH = 16
"""Side of a token in pixels, a vision transformer's."""

STEPS = 4
"""Time steps of the clips that video methods are shown."""

_ATTENTION = "it changes attention, and every patch stays"
NOT_DRAWN = {
    "TokenDropping": "it goes by a table of word ids, whose tokens rest over the middle blocks",
    "random_ltd": "every middle layer draws a part of its own, each as RandomKeep does",
    **dict.fromkeys(("HardMasking", "BlurredSmoothing", "DropKey", "EdgeDropout"), _ATTENTION),
}
"""Methods of which a picture would say nothing, and why."""

DRAWN: dict[str, Callable[..., Any]] = {name: cls for name, cls in METHODS.items() if name not in NOT_DRAWN}

Method = Selector | Reducer | MICDrop

_SHOWN: dict[str, dict[str, Any]] = {"DINOv2Mask": {"share": 1.0}, "HPM": {"rising": False}}
"""Where defaults show little: a draw that misses, an early epoch."""

_VIDEO = "four frames, the picture in motion"
_LATER = "no draw; to the right, later layers"
_NOTES = {
    "RegionKeep": "here of GridMask",
    "DINOv2Mask": "of hit samples",
    "GMML": "faded: corrupted",
    "Tube": _VIDEO,
    "IJEPA": "the context",
    "VJEPA": f"the context; {_VIDEO}",
    "DropPos": "the visible patches",
    "HPM": "as in the last epoch; scores: each patch's contrast",
    "EViT": f"attention: saliency; flat: fused into one, in their mean colour; {_LATER}",
    "DynamicViT": f"predicted: saliency; {_LATER}",
    "ToMe": f"keys: pixels; flat: merged, in their mean colour; {_LATER}",
    "EVAD": f"attention: saliency; the third frame is the keyframe; {_VIDEO}; {_LATER}",
    "MICDrop": "blue: depth in place of the image",
}
"""What is shown, where the name does not say it."""


class _AsGiven(nn.Module):
    """Stands in for a trained predictor: the more a token's feature, the rather it is kept."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], -1)


def check_size(size: tuple[int, int]) -> None:
    """Patches, and SimMIM's cells of two by two, are to fill the pictures."""
    if any(side % (2 * PATCH) for side in size):
        raise fail(
            "--size", got=size, expected=f"multiples of {2 * PATCH} with --tokens", fix="Such as 224, or 192 256."
        )


def method_of(name: str, preset: str, seed: int, size: tuple[int, int]) -> Method:
    """The method for pictures of ``size``."""
    if name in NOT_DRAWN:
        raise fail(
            "--methods", got=name, expected="a method that has a picture", fix=f"{name} has none: {NOT_DRAWN[name]}."
        )
    cls: Any = DRAWN[name]
    return (cls.preset if preset else lambda _, **options: cls(**options))(preset, **_options(name, seed, size))


def _options(name: str, seed: int, size: tuple[int, int]) -> dict[str, Any]:
    grid = size[0] // PATCH, size[1] // PATCH
    if name in ("EViT", "ToMe"):
        return {}
    if name == "EVAD":
        return {"grid": TokenGrid(STEPS, *grid)}
    if name == "DynamicViT":
        return {"predictors": [_AsGiven() for _ in range(3)], "total": grid[0] * grid[1]}
    if name == "MICDrop":
        return {"seed": seed}
    options = {"seed": seed, "grid": (STEPS, *grid) if name in ("Tube", "VJEPA") else grid} | _SHOWN.get(name, {})
    return options | ({"patch": PATCH, "transform": GridMask((48, 96), seed=seed)} if name == "RegionKeep" else {})


def note_of(method: object) -> str:
    """What the picture shows, in a few words."""
    return _NOTES.get(type(method).__name__, "")


def drawn(method: Method, picture: Image.Image, key: int, progress: float = 1.0) -> Image.Image:
    """The picture with the removed patches faded to grey, and merged ones in the mean colour of their group.

    Args:
        progress: of the layers of a method that works in several, in (0, 1].
    """
    pixels = torch.from_numpy(np.array(picture)).movedim(-1, 0)
    if isinstance(method, MICDrop):
        masked, _ = method.mask(1, sides(pixels, PATCH), keys=[key])
        return _painted(pixels, patchify(_blue(pixels)[None], PATCH), masked.view(1, -1))
    steps = STEPS if isinstance(method, EVAD) or len(getattr(method, "grid", None) or ()) == 3 else 1
    frames = clip(pixels, steps, PATCH)
    patches = torch.cat([patchify(frame[None].float(), PATCH) for frame in frames], 1)
    if isinstance(method, Reducer):
        shown, gone = reduced(method, patches, frames, PATCH, progress)
    else:
        scores = {"scores": patches.std(-1)} if type(method).__name__ == "HPM" else {}
        shown, gone = patches, method(patches, keys=[key], epoch=0, **scores).mask("removed")
    per_step = zip(frames, shown.chunk(steps, 1), gone.chunk(steps, 1), strict=True)
    return tiled(
        [_painted(_pixels(some, frame), patchify(_pale(frame)[None], PATCH), away) for frame, some, away in per_step]
    )


def _pixels(patches: Tensor, like: Tensor) -> Tensor:
    """Patches ``[1, N, D]`` as pixels ``[3, H, W]`` of the size of ``like``."""
    return unpatchify(patches, PATCH, sides(like, PATCH))[0]


def _painted(pixels: Tensor, others: Tensor, where: Tensor) -> Image.Image:
    """``pixels`` with the patches ``others`` where ``where [1, N]`` is True."""
    mixed = torch.where(where[..., None], others.float(), patchify(pixels[None].float(), PATCH))
    return Image.fromarray(_pixels(mixed, pixels).round().clamp(0, 255).byte().movedim(0, -1).contiguous().numpy())


def _pale(pixels: Tensor) -> Tensor:
    picture = Image.fromarray(pixels.movedim(0, -1).contiguous().numpy())
    pale = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, (222, 222, 226)), 0.85)
    return torch.from_numpy(np.array(pale)).movedim(-1, 0)


def _blue(pixels: Tensor) -> Tensor:
    grey = pixels.float().mean(0)
    return torch.stack([grey * 0.35 + 20, grey * 0.5 + 40, grey * 0.6 + 100])
