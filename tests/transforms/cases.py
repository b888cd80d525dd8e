"""What the battery runs on: every registered method, its presets, and the compositions."""

from __future__ import annotations

import torch
from torch import Tensor

import augdrop as ad
from augdrop.transforms.base import Transform

METHODS = sorted(ad.METHODS)
PRESETS = [(name, preset) for name in METHODS for preset in ad.METHODS[name].presets]
COMPOSITIONS = ["Compose", "OneOf"]
ALL = METHODS + COMPOSITIONS

DTYPES = [
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


def make(name: str, **options: object) -> Transform:
    """A transform of the battery, with seed 0 unless told otherwise."""
    seed = options.pop("seed", 0)
    if name == "Compose":
        return ad.Compose([ad.Cutout(8), ad.GridMask((8, 16)), ad.Cutout(8)], seed=seed)
    if name == "OneOf":
        members = [ad.CutMix(num_classes=5), ad.GridMask((8, 16)), ad.Mixup(num_classes=5), ad.Identity()]
        return ad.OneOf(members, weights=[3, 3, 3, 1], seed=seed)
    cls = ad.METHODS[name]
    if name in MIXING:
        options = {"num_classes": 5, **options}
    return cls(**{"p": 1.0, **options}, seed=seed)


MIXING = [name for name in METHODS if ad.METHODS[name](**{}).mixes]


def images(
    batch: int = 6, size: tuple[int, int] = (48, 64), dtype: torch.dtype = torch.float32, seed: int = 0
) -> Tensor:
    """A batch in which no two pixels' neighbourhoods look alike."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 250, (batch, 3, *size), generator=generator)
    return (x % 2 == 0) if dtype == torch.bool else x.to(dtype)


def same(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit, NaN included."""
    return a.dtype == b.dtype and a.shape == b.shape and bool((bits(a) == bits(b)).all())


def bits(x: Tensor) -> Tensor:
    return x.detach().contiguous().view(torch.uint8)
