"""What a preview shows of methods that work inside a model: reducers layer by layer, and clips frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from augdrop.saliency import spectral_residual
from augdrop.tokens.dynamic_vit import DynamicViT
from augdrop.tokens.evad import EVAD
from augdrop.tokens.reducer import Reducer, Seen, compose

DEPTH = 12
"""Layers of the model that is imagined behind a picture."""


def sides(pixels: Tensor, patch: int) -> tuple[int, int]:
    """The grid of the patches of ``pixels [C, H, W]``."""
    return pixels.shape[-2] // patch, pixels.shape[-1] // patch


def clip(pixels: Tensor, steps: int, patch: int) -> list[Tensor]:
    """The picture ``[C, H, W]``, and as it moves to the right by a patch from step to step."""
    return [pixels.roll(patch * step, -1) for step in range(steps)]


def tiled(frames: Sequence[Image.Image]) -> Image.Image:
    """The first two frames over the others, in the size of one; a single one as it is."""
    if len(frames) == 1:
        return frames[0]
    width, height = frames[0].size
    sheet = Image.new("RGB", (width, height), "white")
    for i, frame in enumerate(frames):
        small = frame.resize((width // 2 - 1, height // 2 - 1), Image.Resampling.BOX)
        sheet.paste(small, (i % 2 * (width // 2 + 1), i // 2 * (height // 2 + 1)))
    return sheet


def saliency(frames: Sequence[Tensor], patch: int) -> Tensor:
    """How much each patch of the frames ``[C, H, W]`` stands out, in place of attention; they sum to 1. ``[1, N]``."""
    maps = spectral_residual(torch.stack(list(frames)))[:, None]
    cells = torch.nn.functional.interpolate(maps, size=sides(frames[0], patch), mode="area").view(1, -1)
    return cells / cells.sum()


def reduced(
    method: Reducer, patches: Tensor, frames: Sequence[Tensor], patch: int, progress: float
) -> tuple[Tensor, Tensor]:
    """The patches ``[1, N, D]`` as a reducer leaves them: merged ones in their mean colour, and which are gone."""
    scores = saliency(frames, patch)
    source = _source(method, patches, scores, progress)
    groups = int(source.max()) + 1
    gone = source < 0
    rows = source.clamp(min=0)[0]
    many = torch.bincount(source[~gone], minlength=groups)[rows][None] > 1
    colours = patches.view(1, patches.shape[1], -1, 3).mean(2)[0]
    sums = torch.zeros(groups, 3).index_add(0, rows[~gone[0]], colours[~gone[0]])
    means = (sums / torch.bincount(source[~gone], minlength=groups).clamp(min=1)[:, None])[rows]
    flat = means[None, :, None].expand(1, -1, patches.shape[2] // 3, 3).reshape(patches.shape)
    return torch.where((many & ~gone)[..., None], flat, patches), gone


def _source(method: Reducer, patches: Tensor, scores: Tensor, progress: float) -> Tensor:
    """Where each patch is after the method's first layers: ``[1, N]``, -1 for those that are gone."""
    prefix = 0 if isinstance(method, EVAD) else 1
    layers = range(DEPTH) if method.layers is None else method.layers
    # Likeness is of what sets patches apart, and not of the picture's brightness.
    body = scores[..., None] if isinstance(method, DynamicViT) else patches - patches.mean((0, 1))
    x = torch.cat([body.new_zeros(1, prefix, body.shape[2]), body], 1)
    source, sizes = torch.arange(x.shape[1])[None], None
    for layer in layers[: math.ceil(len(layers) * progress)]:
        # What has become one token attends, and is attended to, as all of its parts.
        places = source[0, prefix:]
        weights = torch.zeros(x.shape[1]).index_add(0, places.clamp(min=0), scores[0] * (places >= 0))
        attention = weights.expand(1, 1, x.shape[1], -1) if method.needs == "attention" else None
        keys = x[:, None] if method.needs == "keys" else None
        step = method.reduce(x, Seen(layer, prefix, attention, keys, sizes))
        x, sizes, source = step.x, step.sizes, compose(source, step.source)
    return source[:, prefix:]
