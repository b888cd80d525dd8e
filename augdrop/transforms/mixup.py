"""Mixup: a weighted mean of two samples, labels alike."""

from __future__ import annotations

from typing import ClassVar, Unpack

import numpy as np
from numba import njit

from augdrop.beta import law, quantile
from augdrop.checks import check_positive
from augdrop.citation import Citation
from augdrop.fills import Partner
from augdrop.regions.random_boxes import Everywhere
from augdrop.rng import FIRST, Draws, uniform_pair
from augdrop.transforms.options import MixOptions
from augdrop.transforms.regional import RegionalDropout


class Mixup(RegionalDropout):
    """Blend each sample with another: ``λ`` of itself, ``1 - λ`` of its partner, λ ~ Beta(alpha, alpha).

    In the algebra: a partner fill of the whole image, at partial opacity. Integer images are rounded to the nearest.
    λ is drawn on the odd multiples of 2**-15, where float32 mixes bytes without an error and without a tie: whatever
    computes the mean, and in whatever order, gets the same pixels, and labels weigh what pixels weigh.

    Args:
        alpha: parameter of the Beta law, > 0; the paper uses 0.2 for ImageNet and 1 for CIFAR.
        options: see `MixOptions`.

    Example:
        >>> import augdrop as ad, torch
        >>> x, (a, b, lam) = ad.Mixup(targets="pairs", seed=0)(torch.rand(4, 3, 8, 8), torch.arange(4))
        >>> bool((a != b).all()), lam.shape
        (True, torch.Size([4]))
    """

    citation: ClassVar = Citation(
        "Zhang, Cisse, Dauphin & Lopez-Paz", 2018, "mixup: beyond empirical risk minimization, ICLR", "1710.09412"
    )
    presets: ClassVar = {
        "cifar": {"alpha": 1.0, "per": "batch"},
        "imagenet": {"alpha": 0.2, "per": "batch"},
        "torchvision": {"alpha": 1.0, "per": "batch"},
        "timm": {"alpha": 1.0, "per": "batch", "label_smoothing": 0.1},
    }

    def __init__(self, alpha: float = 0.2, **options: Unpack[MixOptions]) -> None:
        check_positive("Mixup: alpha", alpha)
        super().__init__(where=Everywhere(), fill=Partner(), **options)
        self.alpha = alpha

    def opacity(self, draws: Draws) -> np.ndarray:
        stream, keys, epochs = draws
        power, table = law(self.alpha)
        out = np.empty(len(keys))
        _opacities(stream, keys, epochs, power, table, out)
        return out


@njit(cache=True, nogil=True)
def _opacities(stream, keys, epochs, power, table, out):
    for b in range(len(keys)):
        weight = 1.0 - quantile(uniform_pair(stream, keys[b], epochs[b], FIRST)[0], power, table)
        out[b] = (2.0 * min(np.floor(weight * 2**14), 2.0**14 - 1) + 1) / 2**15
