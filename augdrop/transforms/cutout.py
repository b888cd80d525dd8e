"""Cutout: a square around a uniform pixel, cut off by the border."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_whole
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.random_boxes import CentredBoxes
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class Cutout(RegionalDropout):
    """Drop ``n_holes`` squares of side ``length`` around uniform pixels.

    A square may stick out, and is clipped: on average less than ``length**2`` pixels go, and the authors found that to
    matter. ``length`` is the full side; as in their code an odd one loses a pixel. Meant for normalised images, where
    the fill of 0 is the data set's mean.

    Args:
        length: side in pixels, >= 0.
        n_holes: squares an image, >= 1.
        fill: see `augdrop.fills`.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> ad.Cutout(length=4, seed=0)(torch.ones(8, 3, 32, 32)).mean().item() < 1
        True
    """

    citation: ClassVar = Citation(
        "DeVries & Taylor", 2017, "Improved regularization of convolutional neural networks with Cutout", "1708.04552"
    )
    presets: ClassVar = {
        "cifar10": {"length": 16},
        "cifar100": {"length": 8},
        "svhn": {"length": 20},
        "tiny-imagenet": {"length": 16},
        "imagenet": {"length": 56},
    }

    def __init__(
        self,
        length: int = 16,
        n_holes: int = 1,
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        check_whole("Cutout: length", length, 0)
        check_whole("Cutout: n_holes", n_holes, 1)
        super().__init__(where=CentredBoxes(length, n_holes), fill=fill, **options)
