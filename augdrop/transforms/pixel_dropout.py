"""PixelDropout: single pixels."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.mask import RandomPixels
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class PixelDropout(RegionalDropout):
    """Drop each pixel (all its channels) with probability ``drop_ratio``.

    Args:
        drop_ratio: chance of each pixel, in [0, 1] (albumentations: ``dropout_prob``).
        fill: see `augdrop.fills`.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> 0.08 < (ad.PixelDropout(0.1, seed=0)(torch.ones(8, 3, 64, 64)) == 0).float().mean().item() < 0.12
        True
    """

    citation: ClassVar = Citation(
        "Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov",
        2014,
        "Dropout: a simple way to prevent neural networks from overfitting, JMLR 15 (on the input)",
    )
    presets: ClassVar = {"albumentations": {"p": 0.5}}

    def __init__(
        self, drop_ratio: float = 0.01, fill: Fill | float | tuple[float, ...] | str = 0, **options: Unpack[Options]
    ) -> None:
        check_share("PixelDropout: drop_ratio", drop_ratio)
        super().__init__(where=RandomPixels(drop_ratio), fill=fill, **options)
