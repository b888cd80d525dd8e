"""Budgets: how many tokens stay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from augdrop.checks import check_choice, check_share, check_whole, plain_fields
from augdrop.errors import fail

RULES: dict[str, Callable[[int, float], int]] = {
    "exact": lambda n, r: math.floor(n * (1 - r) + 1e-9),
    "mae": lambda n, r: int(n * (1 - r)),
    "timm": lambda n, r: max(1, int(n * (1.0 - r))),
    "ceil": lambda n, r: math.ceil(n * (1 - r) - 1e-9),
}
"""Kept tokens of ``n`` at drop ratio ``r``. Binary floats lose a token of some ratios (``int(10 * (1 - 0.8))`` is 1):
``exact`` does not; ``mae`` and ``timm`` are the float formulas of these references, to load what they have trained."""

Rule = Literal["exact", "mae", "timm", "ceil"]


def kept(total: int, ratio: float, rule: Rule | str = "exact") -> int:
    """How many of ``total`` tokens stay when a share of ``ratio`` is dropped.

    Example:
        >>> [kept(10, 0.8, rule) for rule in RULES], kept(196, 0.75)
        ([2, 1, 1, 2], 49)
    """
    check_choice("tokens: rule", rule, tuple(RULES))
    check_share("tokens: ratio", ratio)
    n = RULES[rule](total, ratio)
    if not 1 <= n <= total:
        raise fail(
            "tokens: ratio",
            got=f"{ratio} of {total} tokens, which keeps {n}",
            expected=f"a ratio that keeps 1 to {total}",
            fix="Drop less.",
        )
    return n


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Drop a share of the tokens, the same for every sample.

    Args:
        ratio: dropped share, in [0, 1), or a schedule of it such as `augdrop.Ramp`, called with the epoch.
        rule: see `RULES`.
    """

    ratio: float | Callable[[int], float]
    rule: Rule | str = "exact"

    def __post_init__(self) -> None:
        plain_fields(self)
        check_choice("tokens: rule", self.rule, tuple(RULES))
        if not callable(self.ratio):
            check_share("tokens: ratio", self.ratio)

    def count(self, total: int, epoch: int = 0) -> int:
        """Kept tokens of ``total``."""
        return kept(total, float(self.ratio(epoch)) if callable(self.ratio) else self.ratio, self.rule)


@dataclasses.dataclass(frozen=True)
class Count:
    """Keep so many tokens of every sample."""

    keep: int

    def __post_init__(self) -> None:
        plain_fields(self)
        check_whole("tokens: keep", self.keep, 1)

    def count(self, total: int, epoch: int = 0) -> int:
        """Kept tokens of ``total``."""
        if self.keep > total:
            raise fail("tokens: keep", got=self.keep, expected=f"at most {total} tokens", fix="Keep fewer.")
        return self.keep


@dataclasses.dataclass(frozen=True)
class Cumulative:
    """Keep the highest scores of each sample until they make up a share of their sum: counts differ; none below 0."""

    share: float

    def __post_init__(self) -> None:
        plain_fields(self)
        check_share("tokens: share", self.share)

    def mask(self, scores: Tensor) -> Tensor:
        """bool ``[B, N]``, True where kept: at least one a sample."""
        if (scores < 0).any():
            raise fail(
                "tokens: Cumulative",
                got=f"scores from {scores.min():.3g} on",
                expected="scores of 0 or more, such as attention",
                fix="Pass scores.softmax(1), say.",
            )
        ordered, order = scores.double().sort(dim=1, descending=True, stable=True)
        before = ordered.cumsum(1) - ordered
        stays = before < self.share * ordered.sum(1, keepdim=True)
        stays[:, 0] = True
        return torch.zeros_like(stays).scatter_(1, order, stays)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Keep what scores at least so much, and the best token of a sample that has none: counts differ."""

    least: float

    def __post_init__(self) -> None:
        plain_fields(self)
        if isinstance(self.least, bool) or not isinstance(self.least, (int, float)) or math.isnan(self.least):
            raise fail("tokens: least", got=self.least, expected="a number", fix="Scores from it on are kept.")

    def mask(self, scores: Tensor) -> Tensor:
        """bool ``[B, N]``, True where kept."""
        return (scores >= self.least).scatter_(1, scores.double().argmax(1, keepdim=True), True)


Budget = Ratio | Count | Cumulative | Threshold


def stages(budgets: Sequence[float], total: int, rule: Rule | str = "exact") -> list[int]:
    """Counts of a pyramid: shares of the *original* count that stay after each stage.

    Example:
        >>> stages([0.5, 0.25, 0.125], 575)
        [287, 143, 71]
    """
    return [kept(total, 1 - share, rule) for share in budgets]
