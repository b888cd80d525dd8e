"""SimMIM: cells of patches are masked, and all tokens stay in the sequence."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from augdrop.checks import check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.draw import subsets
from augdrop.tokens.mae import patchify, removed_mean
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class SimMIM(Selector):
    """Mask a random share of square cells of the image, each of several tokens.

    Xie, Zhang, Cao, Lin, Bao, Yao, Dai & Hu (2022), SimMIM: a simple framework for masked image modeling, arXiv
    2111.09886. The model sees all tokens, the masked ones replaced by one it learns:
    ``selection.scatter(selection.gather(x), fill=mask_token)``. Masking has no eval mode.

    Args:
        ratio: masked share, in [0, 1); of n cells ``ceil(n * ratio)`` are masked.
        mask_patch: side of a cell in pixels.
        patch: side of a token in pixels; 16 for ViT, 4 for Swin (preset ``"swin"``).

    Example:
        >>> selection = SimMIM(seed=0)(torch.rand(2, 144, 8), keys=[5, 6])
        >>> selection.mask("removed").sum(1).tolist()  # 22 of 36 cells of 2 × 2 tokens
        [88, 88]
    """

    ratio: float = 0.6
    mask_patch: int = 32
    patch: int = 16
    training_only = False
    presets: ClassVar = {"paper": {}, "swin": {"patch": 4}}
    citation = Citation(
        "Xie, Zhang, Cao, Lin, Bao, Yao, Dai & Hu",
        2022,
        "SimMIM: a simple framework for masked image modeling, CVPR",
        "2111.09886",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("SimMIM: ratio", self.ratio, below=True)
        check_whole("SimMIM: patch", self.patch, 1)
        check_whole("SimMIM: mask_patch", self.mask_patch, 1)
        if self.mask_patch % self.patch:
            raise fail(
                "SimMIM: mask_patch",
                got=self.mask_patch,
                expected=f"a multiple of the token's side, {self.patch}",
                fix="Say the model's patch size.",
            )

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        h, w = self.plane(total)
        side = self.mask_patch // self.patch
        if h % side or w % side:
            raise fail(
                "SimMIM: mask_patch",
                got=f"cells of {side} × {side} tokens on a grid of {h} × {w}",
                expected="cells that fill the grid",
                fix="Change the image size or mask_patch.",
            )
        rows, columns = h // side, w // side
        cells = rows * columns
        stay = cells - math.ceil(cells * self.ratio)
        if not stay:
            raise fail(
                "SimMIM: ratio", got=self.ratio, expected=f"a ratio that leaves one of {cells} cells", fix="Mask less."
            )
        chosen = torch.from_numpy(subsets(*draws, cells, stay))
        # The tokens of cell (r, c) begin at token (r * side, c * side).
        corners = chosen // columns * side * w + chosen % columns * side
        within = (torch.arange(side)[:, None] * w + torch.arange(side)).flatten()
        return Selection((corners[:, :, None] + within).flatten(1).sort(1).values, total)


def simmim_loss(predicted: Tensor, images: Tensor, selection: Selection, patch: int) -> Tensor:
    """Mean absolute error over the pixels of the masked tokens.

    Args:
        predicted: ``[B, N, patch * patch * C]``, as `patchify` has them.
        images: ``[B, C, H, W]``, normalised as the model gets them.
    """
    return removed_mean((predicted - patchify(images, patch)).abs().mean(-1), selection)
