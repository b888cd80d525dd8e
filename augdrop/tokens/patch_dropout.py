"""PatchDropout: a transformer trains on a random part of its patches, and is used on all of them."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import FIRST, Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import kept
from augdrop.tokens.choose import check_scores, lowest
from augdrop.tokens.draw import subsets
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class PatchDropout(Selector):
    """Keep a random part of the patches in training; in eval mode a model keeps all.

    Liu, Matsoukas, Strand, Azizpour & Smith (2023), PatchDropout: economizing vision transformers using patch dropout,
    arXiv 2208.07220. Kept patches are not rescaled, and labels stay as they are. With ``noise`` given, what scores
    lowest stays.

    The authors and timm count differently: of 10 patches ``keep_rate=0.2`` keeps 2, and timm's ``prob=0.8`` keeps 1.

    Args:
        keep_rate: kept share, in (0, 1], counted as the authors do: ``int(N * keep_rate)``.
        prob: in place of it, the dropped share, in [0, 1), counted as timm does: ``max(1, int(N * (1 - prob)))``.
        ordered: kept patches in ascending order (the authors' default), or shuffled (timm's).

    Example:
        >>> x = torch.rand(2, 197, 8)
        >>> PatchDropout(prefix=1, seed=0)(x, keys=[5, 6]).gather(x).shape
        torch.Size([2, 99, 8])
        >>> PatchDropout.preset("timm", prob=0.99, seed=0)(torch.rand(1, 3, 8)).keep.shape
        torch.Size([1, 1])
    """

    keep_rate: float | None = 0.5
    prob: float | None = None
    ordered: bool = True
    presets: ClassVar = {"paper": {"keep_rate": 0.5}, "timm": {"keep_rate": None, "prob": 0.5, "ordered": False}}
    citation = Citation(
        "Liu, Matsoukas, Strand, Azizpour & Smith",
        2023,
        "PatchDropout: economizing vision transformers using patch dropout, WACV",
        "2208.07220",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.keep_rate is None) == (self.prob is None):
            raise fail(
                "PatchDropout",
                got=f"keep_rate={self.keep_rate} and prob={self.prob}",
                expected="one of the two",
                fix="Pass keep_rate=None along with prob, or take PatchDropout.preset('timm', prob=...).",
            )
        if self.prob is None:
            check_share("PatchDropout: keep_rate", self.keep_rate)
        else:
            check_share("PatchDropout: prob", self.prob, below=True)

    def count(self, total: int) -> int:
        """Kept patches of ``total``."""
        if self.keep_rate is None:
            return kept(total, self.prob or 0.0, "timm")
        if not int(total * self.keep_rate):
            raise fail(
                "PatchDropout: keep_rate",
                got=f"{self.keep_rate} of {total} patches, which keeps none",
                expected="one or more that stay",
                fix="Keep more.",
            )
        return int(total * self.keep_rate)

    def select(self, draws: Draws, total: int, noise: Tensor | None = None, **given: Any) -> Selection:
        count = self.count(total)
        if noise is not None:
            check_scores("PatchDropout: noise", noise, (len(draws), total))
            return lowest(noise, count, self.ordered)
        # The order comes from blocks that the set has left alone.
        order = None if self.ordered else torch.from_numpy(draws.uniforms(count, FIRST + total)).argsort(1)
        return Selection(torch.from_numpy(subsets(*draws, total, count)), total, order=order)
