"""Choose: from scores and a budget to a selection."""

from __future__ import annotations

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.budgets import Budget, Count, Ratio
from augdrop.tokens.draw import subsets
from augdrop.tokens.rows import from_mask
from augdrop.tokens.selection import Selection


def choose(
    scores: Tensor, budget: Budget, *, grid: tuple[int, ...] | None = None, prefix: int = 0, epoch: int = 0
) -> Selection:
    """Keep the tokens that score highest; equal scores go by the lowest position.

    Args:
        scores: ``[B, N]``, any real dtype, of the tokens without the prefix.
        budget: how many stay.
        grid, prefix: see `Selection`.
        epoch: for budgets with a schedule.

    Example:
        >>> choose(torch.tensor([[0.1, 0.9, 0.5, 0.5]]), Count(2)).keep.tolist()
        [[1, 2]]
    """
    check_scores("tokens: scores", scores)
    if not isinstance(budget, Budget):
        raise fail(
            "tokens: budget",
            got=repr(budget),
            expected="a Ratio, Count, Cumulative or Threshold",
            fix="Ratio(0.75) drops three quarters; Count(49) keeps 49.",
        )
    if isinstance(budget, (Ratio, Count)):
        # A stable sort, for topk leaves open which of equal scores it takes.
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, : budget.count(scores.shape[1], epoch)]
        return Selection(best.sort(1).values, scores.shape[1], grid, prefix, scores=scores)
    keep, padded = from_mask(budget.mask(scores))
    return Selection(keep, scores.shape[1], grid, prefix, scores=scores, padded=padded)


def lowest(noise: Tensor, count: int, ordered: bool = True) -> Selection:
    """Keep the ``count`` tokens of the lowest noise ``[B, N]``, as MAE and timm do: a random set.

    Args:
        ordered: keep them ascending; else in the order of their noise, as the references do.

    Example:
        >>> noise = torch.tensor([[0.6, 0.1, 0.9, 0.05]])
        >>> lowest(noise, 2).ids.tolist(), lowest(noise, 2, ordered=False).ids.tolist()
        ([[1, 3]], [[3, 1]])
    """
    keep, order = noise.argsort(dim=1, stable=True)[:, :count].sort(1)
    return Selection(keep, noise.shape[1], order=None if ordered else order.argsort(1), scores=noise)


def random_set(
    where: str, draws: Draws, total: int, count: int, noise: Tensor | None, ordered: bool = False
) -> Selection:
    """Keep ``count`` of ``total`` tokens, by key; or, where ``noise [B, N]`` is given, by `lowest`."""
    if noise is None:
        return Selection(torch.from_numpy(subsets(*draws, total, count)), total)
    check_scores(where, noise, (len(draws), total))
    return lowest(noise, count, ordered)


def check_scores(where: str, scores: Tensor, shape: tuple[int, int] | None = None) -> None:
    """Scores (or noise) are numbers, one for each token: ``shape`` is ``(B, N)``."""
    if not isinstance(scores, Tensor):
        raise fail(where, got=type(scores).__name__, expected="a tensor [B, N]", fix="Pass torch.tensor(scores).")
    if scores.ndim != 2 or not scores.shape[1] or (shape is not None and tuple(scores.shape) != shape):
        expected = "[B, N]" if shape is None else f"{shape}, a number for each token"
        raise fail(where, got=tuple(scores.shape), expected=expected, fix="Leave prefix tokens out.")
    if scores.is_complex():
        raise fail(where, got=f"{scores.dtype}", expected="real numbers", fix="Pass scores.abs(), say.")
    if scores.is_floating_point() and not torch.compiler.is_compiling() and scores.isnan().any():
        raise fail(where, got="NaN", expected="numbers", fix="Look for the layer that makes them.")
