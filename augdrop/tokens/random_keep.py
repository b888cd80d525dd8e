"""RandomKeep: a random share of the tokens stays."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from augdrop.checks import check_positive, check_share
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import Count, Ratio
from augdrop.tokens.draw import subsets
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class RandomKeep(Selector):
    """Keep a random share of each sample's tokens, every set as likely.

    Args:
        keep: kept share, in (0, 1], or a budget.

    Example:
        >>> x = torch.rand(2, 197, 8)
        >>> selection = RandomKeep(0.25, prefix=1, seed=0)(x, keys=[5, 6])
        >>> selection, selection.gather(x).shape
        (Selection(49 of 196 tokens a sample, 2 samples, grid 14×14, prefix 1), torch.Size([2, 50, 8]))
    """

    keep: float | Ratio | Count = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.keep, (Ratio, Count)):
            check_share("RandomKeep: keep", self.keep)
            check_positive("RandomKeep: keep", self.keep)

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        budget = self.keep if isinstance(self.keep, (Ratio, Count)) else Ratio(1 - self.keep)
        epoch = int(draws.epochs[0]) if len(draws) else 0
        return Selection(torch.from_numpy(subsets(*draws, total, budget.count(total, epoch))), total)
