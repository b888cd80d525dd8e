"""CutMix: a box of another sample, labels by area."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

from augdrop.checks import check_choice, check_positive, check_range
from augdrop.citation import Citation
from augdrop.fills import Partner
from augdrop.regions.beta_boxes import BetaBoxes
from augdrop.regions.random_boxes import MinMaxBoxes
from augdrop.transforms.options import MixOptions
from augdrop.transforms.regional import RegionalDropout


class CutMix(RegionalDropout):
    """Paste a box of another sample of the batch, and weigh both labels by the pixels that can be seen.

    The box has the share ``1 - λ``, λ ~ Beta(alpha, alpha), before rounding and clipping; label weights are counted
    after both. Each sample draws its own box (``per="sample"``); the authors and torchvision draw one for the batch.

    Args:
        alpha: parameter of the Beta law, > 0 (torchvision's name; the authors say ``beta``).
        box: ``"clipped"`` (around a uniform pixel, cut by the border: authors, torchvision), ``"clipped-odd"`` (timm)
            or ``"inside"`` (kornia).
        minmax: instead of a Beta law, each side uniform between two shares of the image (timm's ``cutmix_minmax``).
        options: see `MixOptions`.

    Example:
        >>> import augdrop as ad, torch
        >>> x, y = ad.CutMix(num_classes=3, seed=0)(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))
        >>> x.shape, y.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3]))
    """

    citation: ClassVar = Citation(
        "Yun, Han, Oh, Chun, Choe & Yoo",
        2019,
        "CutMix: regularization strategy to train strong classifiers with localizable features, ICCV",
        "1905.04899",
    )
    presets: ClassVar = {
        "cifar": {"alpha": 1.0, "p": 0.5, "per": "batch"},
        "imagenet": {"alpha": 1.0, "p": 1.0, "per": "batch"},
        "torchvision": {"alpha": 1.0, "per": "batch"},
        "timm": {"alpha": 1.0, "box": "clipped-odd", "per": "batch", "label_smoothing": 0.1},
        "timm-pair": {"alpha": 1.0, "box": "clipped-odd", "per": "pair", "label_smoothing": 0.1},
        "timm-elem": {"alpha": 1.0, "box": "clipped-odd", "per": "sample", "label_smoothing": 0.1},
        "kornia": {"alpha": 1.0, "box": "inside"},
    }

    def __init__(
        self,
        alpha: float = 1.0,
        box: Literal["clipped", "clipped-odd", "inside"] = "clipped",
        minmax: tuple[float, float] | None = None,
        **options: Unpack[MixOptions],
    ) -> None:
        check_positive("CutMix: alpha", alpha)
        check_choice("CutMix: box", box, ("clipped", "clipped-odd", "inside"))
        if minmax is not None:
            check_range("CutMix: minmax", minmax, 0, 1)
        where = BetaBoxes(alpha, box) if minmax is None else MinMaxBoxes(*minmax)
        super().__init__(where=where, fill=Partner(), **options)
