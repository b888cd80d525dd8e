"""Attentive CutMix: the strongest cells of another sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from augdrop.checks import check_positive, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.fills import Partner
from augdrop.regions.random_cells import TopCells, check_scores
from augdrop.saliency import spectral_residual
from augdrop.transforms.options import MixOptions
from augdrop.transforms.regional import RegionalDropout
from augdrop.transforms.shapes import batch_size


class AttentiveCutMix(RegionalDropout):
    """Paste the ``top_k`` cells of another sample that score highest, where they are, and weigh labels by area.

    The partner is the attended image (the paper's image 1), so it gets the small weight: 6 / 49 by default. Equal
    scores go by the lowest index. Score maps may be given with each call, ``t(x, y, scores=maps)``, ``[B, h, w]``.

    Args:
        top_k: how many cells.
        alpha: instead of ``top_k``, a share of cells λ ~ Beta(alpha, alpha) (the AttentiveMix+ variant).
        extractor: from images to score maps ``[B, h, w]``: `augdrop.saliency.FeatureMean` of a ResNet is the paper's;
            the default needs no weights (`augdrop.saliency.spectral_residual`).
        grid: cells of the default extractor's map, per side; a given map brings its own.
        options: see `MixOptions`.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.AttentiveCutMix(num_classes=2, seed=0)
        >>> x, y = t(torch.rand(4, 3, 224, 224), torch.tensor([0, 1, 0, 1]), scores=torch.rand(4, 7, 7))
        >>> t.plan((4, 3, 224, 224), scores=torch.rand(4, 7, 7)).area().tolist()
        [6144, 6144, 6144, 6144]
    """

    citation: ClassVar = Citation(
        "Walawalkar, Shen, Liu & Savvides",
        2020,
        "Attentive CutMix: an enhanced data augmentation approach for deep learning based image classification, ICASSP",
        "2003.13048",
    )
    presets: ClassVar = {"paper": {"top_k": 6}, "openmixup": {"alpha": 1.0}}

    def __init__(
        self,
        top_k: int = 6,
        alpha: float | None = None,
        extractor: Callable[[Tensor], Tensor] | None = None,
        grid: int = 7,
        **options: Unpack[MixOptions],
    ) -> None:
        check_whole("AttentiveCutMix: top_k", top_k, 1)
        check_whole("AttentiveCutMix: grid", grid, 1)
        if alpha is not None:
            check_positive("AttentiveCutMix: alpha", alpha)
        if not (extractor is None or callable(extractor)):
            raise fail(
                "AttentiveCutMix: extractor",
                got=repr(extractor),
                expected="a callable, from images to score maps",
                fix="Such as augdrop.saliency.FeatureMean of a ResNet; maps alone go to t(x, y, scores=maps).",
            )
        super().__init__(where=TopCells(top_k, alpha), fill=Partner(), **options)
        self.extractor, self.grid, self.uses_pixels = extractor, grid, True

    def inputs(
        self, x: Tensor, partner: np.ndarray | None, scores: Tensor | None = None, **given: Any
    ) -> dict[str, Any]:
        if given:
            super().inputs(x, partner, **given)  # which names what it does not know
        if scores is None:
            if not isinstance(x, Tensor):
                raise fail(
                    "AttentiveCutMix.plan",
                    got="a shape alone",
                    expected="scores=, for the plan depends on pixels",
                    fix="Call with_plan(images), or give the score maps.",
                )
            scores = self.score(x if x.ndim > 3 else x[None])
        maps = check_scores(scores, batch_size(x))
        # Plans are made on the host: small maps come over, and the host waits for them once. A sample's cells are those
        # of the image they are cut from.
        return {"scores": maps if maps.is_cpu else maps.cpu(), "of": partner}

    def score(self, images: Tensor) -> Tensor:
        """Score maps ``[B, h, w]`` of a batch."""
        if self.extractor is not None:
            return self.extractor(images)
        return F.adaptive_avg_pool2d(spectral_residual(images), self.grid)
