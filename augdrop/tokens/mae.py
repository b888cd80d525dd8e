"""MAE: random masking, its patches and its loss; and dBOT's targets."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import Rule, kept
from augdrop.tokens.choose import random_set
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class MAE(Selector):
    """Mask a random share of the patches; masking has no eval mode.

    He, Chen, Xie, Li, Dollár & Girshick (2022), Masked autoencoders are scalable vision learners, arXiv 2111.06377.
    Kept tokens go in ascending order; the reference shuffles them, to which a model that has added its positions is
    blind. With ``noise`` given, what scores lowest stays, as in the reference. A decoder gets every token back at
    its place by ``selection.scatter(latent, fill=mask_token)``, and then adds its positions.

    Args:
        ratio: masked share.
        rule: ``"mae"`` counts as the reference does; see `augdrop.tokens.budgets.RULES`.

    Example:
        >>> import torch
        >>> selection = MAE(seed=0)(torch.rand(2, 196, 8), keys=[5, 6])
        >>> selection.mask("removed").sum(1).tolist()
        [147, 147]
    """

    ratio: float = 0.75
    rule: Rule | str = "mae"
    training_only = False
    citation = Citation(
        "He, Chen, Xie, Li, Dollár & Girshick",
        2022,
        "Masked autoencoders are scalable vision learners, CVPR",
        "2111.06377",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("MAE: ratio", self.ratio)

    def select(self, draws: Draws, total: int, noise: Tensor | None = None, **given: Any) -> Selection:
        return random_set("MAE: noise", draws, total, kept(total, self.ratio, self.rule), noise)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images ``[B, C, H, W]`` as patches ``[B, N, patch * patch * C]``: rows, columns, then channels.

    Example:
        >>> import torch
        >>> patchify(torch.arange(16.0).view(1, 1, 4, 4), 2)[0, 1].tolist()
        [2.0, 3.0, 6.0, 7.0]
    """
    b, c, h, w = images.shape
    if h % patch or w % patch:
        raise fail("patchify", got=(h, w), expected=f"sides that {patch} divides", fix="Resize the images.")
    cells = images.view(b, c, h // patch, patch, w // patch, patch)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """The inverse of `patchify`, for patches that lie in ``grid = (h, w)``."""
    b, (h, w) = len(patches), grid
    cells = patches.view(b, h, w, patch, patch, -1)
    return cells.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, h * patch, w * patch)


def mae_loss(predicted: Tensor, images: Tensor, selection: Selection, patch: int, norm_pixels: bool = False) -> Tensor:
    """Mean squared error over the removed patches.

    Args:
        predicted: ``[B, N, patch * patch * C]``, as `patchify` has them.
        images: ``[B, C, H, W]``.
        norm_pixels: of each patch, subtract the mean and divide by the deviation (unbiased variance + 1e-6).
    """
    target = patchify(images, patch)
    if norm_pixels:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    return removed_mean((predicted - target).square().mean(-1), selection)


def removed_mean(values: Tensor, selection: Selection) -> Tensor:
    """The mean of ``values [B, N]`` over removed tokens; 0 if there are none."""
    removed = selection.mask("removed").to(values)
    return (values * removed).sum() / removed.sum().clamp(min=1)


def dbot_target(tokens: Tensor) -> Tensor:
    """dBOT's target (Liu et al. 2022, arXiv 2209.03917): a teacher's tokens ``[..., D]``, each standardised.

    For ``smooth_l1_loss(..., beta=2.0)`` on removed tokens; the teacher is replaced by the student stage by stage.
    """
    mean, variance = tokens.mean(-1, keepdim=True), tokens.var(-1, keepdim=True)
    return (tokens - mean) / (variance + 1e-6).sqrt()
