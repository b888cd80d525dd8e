"""Block masks (BEiT, iBOT, DINOv2): rectangles of neighbouring tokens are masked until enough are."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.checks import check_choice, check_positive, check_range, check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import FIRST, Draws, uniform_pair
from augdrop.tokens.base import Selector
from augdrop.tokens.rows import from_mask
from augdrop.tokens.selection import Selection

TRIES = 10
"""How often a rectangle is drawn anew before a mask is left as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Blocks(Selector):
    least: int = 4
    aspect: float = 0.3
    training_only = False

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_whole(f"{name}: least", self.least, 1)
        check_positive(f"{name}: aspect", self.aspect)
        check_share(f"{name}: aspect", self.aspect)

    def counts(self, draws: Draws, total: int) -> np.ndarray:
        """How many tokens each sample is to lose, int64 ``[B]``."""
        raise NotImplementedError

    def numbers(self, draws: Draws, total: int) -> Tensor:
        """Which rectangle covers each token, from 1; 0 where none does. int64 ``[B, N]``."""
        h, w = self.plane(total)
        counts = self.counts(draws, total)
        if counts.max(initial=0) >= total:
            raise fail(
                f"{type(self).__name__}", got=f"{counts.max()} masked", expected=f"below {total}", fix="Mask fewer."
            )
        return torch.from_numpy(_blocks(*draws, h, w, counts, self.least, float(np.log(self.aspect))))

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        keep, padded = from_mask(self.numbers(draws, total) == 0)
        return Selection(keep, total, padded=padded)


@dataclasses.dataclass(frozen=True)
class BlockMask(_Blocks):
    """Mask rectangles of random size, shape and place, until ``count`` tokens are masked or no more fits.

    Bao, Dong, Piao & Wei (2022), BEiT: BERT pre-training of image transformers, arXiv 2106.08254. A rectangle's area is
    uniform from ``least`` to what is still missing, its aspect log-uniform from ``aspect`` to 1 / aspect; it does not
    span the grid, and is taken if it adds at least one token and not too many. Tokens in the middle are masked more
    often than those at the border, and a sample may have fewer masked than asked for, never more: counts differ.
    Masking has no eval mode.

    Args:
        ratio: masked share, in [0, 1).
        count: masked tokens, in place of the ratio; BEiT's own 75 of 196.
        least: tokens of the smallest rectangle: BEiT has 16, DINOv2 4.
        aspect: smallest ratio of height to width, in (0, 1].

    Example:
        >>> BlockMask.preset("BEiT", seed=0)(torch.rand(2, 196, 8), keys=[5, 6]).mask("removed").sum(1)
        tensor([75, 75])
    """

    ratio: float = 0.4
    count: int | None = None
    least: int = dataclasses.field(default=16, kw_only=True)
    presets: ClassVar = {"BEiT": {"count": 75}, "DINOv2": {"ratio": 0.5, "least": 4}}
    citation = Citation(
        "Bao, Dong, Piao & Wei", 2022, "BEiT: BERT pre-training of image transformers, ICLR", "2106.08254"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(f"{type(self).__name__}: ratio", self.ratio, below=True)
        if self.count is not None:
            check_whole(f"{type(self).__name__}: count", self.count, 0)

    def counts(self, draws: Draws, total: int) -> np.ndarray:
        count = int(self.ratio * total) if self.count is None else self.count
        return np.full(len(draws), count, np.int64)


@dataclasses.dataclass(frozen=True)
class DINOv2Mask(_Blocks):
    """DINOv2's masks: a share of the samples has blocks masked, each at a ratio of its own.

    Oquab et al. (2024), DINOv2: learning robust visual features without supervision, arXiv 2304.07193; the blocks of
    iBOT (Zhou et al. 2022, arXiv 2111.07832). Weigh each masked token's loss by `token_weights`.

    Args:
        share: of the samples that have tokens masked.
        ratios: the masked share is between these.
        per: ``"sample"``: by its own key each sample is masked or not, at a uniform ratio. ``"batch"``, as the
            reference: exactly ``int(B * share)`` samples are, with one ratio from each of as many equal bins; a
            sample's mask then depends on which samples are with it (not on their order).
        least, aspect: see `BlockMask`.

    Example:
        >>> DINOv2Mask.preset("reference", seed=0)(torch.rand(8, 196, 4), keys=range(8)).mask("removed").sum(1).tolist()
        [90, 67, 0, 56, 0, 0, 0, 29]
    """

    share: float = 0.5
    ratios: tuple[float, float] = (0.1, 0.5)
    per: Literal["sample", "batch"] = "sample"
    presets: ClassVar = {"paper": {}, "reference": {"per": "batch"}}
    citation = Citation(
        "Oquab et al.", 2024, "DINOv2: learning robust visual features without supervision, TMLR", "2304.07193"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("DINOv2Mask: share", self.share)
        check_range("DINOv2Mask: ratios", self.ratios, 0, 1)
        check_choice("DINOv2Mask: per", self.per, ("sample", "batch"))

    def counts(self, draws: Draws, total: int) -> np.ndarray:
        order, place = draws.uniforms(2, first=0).T
        low, high = self.ratios
        hit = order < self.share
        if self.per == "batch":
            ranks, masked = np.argsort(np.argsort(order, kind="stable")), int(len(order) * self.share)
            hit, place = ranks < masked, (ranks + place) / max(1, masked)
        return np.where(hit, ((low + (high - low) * place) * total).astype(np.int64), 0)


def token_weights(selection: Selection) -> Tensor:
    """float32 ``[B, N]``: 1 / (masked tokens of the sample) for each masked token, and 0 for the others.

    So every sample counts alike, however many it has. The loss is the weighted sum over a batch by its samples.
    """
    removed = selection.mask("removed").float()
    return removed / removed.sum(1, keepdim=True).clamp(min=1)


@njit(cache=True, nogil=True)
def _blocks(stream, keys, epochs, h, w, counts, least, log_aspect):
    out = np.zeros((len(keys), h * w), np.int64)
    for b in range(len(keys)):
        grid = out[b].reshape(h, w)
        missing, draw, number, tries = counts[b], FIRST, 1, 0
        while missing > 0 and tries < TRIES:
            area, aspect = uniform_pair(stream, keys[b], epochs[b], draw)
            y, x = uniform_pair(stream, keys[b], epochs[b], draw + 1)
            draw, tries = draw + 2, tries + 1
            # With fewer missing than the least area, the range runs the other way, as in the references.
            size = least + area * (missing - least)
            ratio = np.exp(log_aspect * (1 - 2 * aspect))
            rows, columns = int(np.rint(np.sqrt(size * ratio))), int(np.rint(np.sqrt(size / ratio)))
            if rows >= h or columns >= w:
                continue
            top, left = int(y * (h - rows + 1)), int(x * (w - columns + 1))
            block = grid[top : top + rows, left : left + columns]
            new = (block == 0).sum()
            if 0 < new <= missing:
                for i in range(rows):
                    for j in range(columns):
                        block[i, j] = block[i, j] or number
                missing, number, tries = missing - new, number + 1, 0
    return out
