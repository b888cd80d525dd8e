"""Choose: from scores and a budget to a selection."""

from __future__ import annotations

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.tokens.budgets import Budget, Count, Ratio
from augdrop.tokens.selection import Selection, from_mask


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
    if scores.ndim != 2 or not scores.shape[1]:
        raise fail("tokens: scores", got=tuple(scores.shape), expected="[B, N]", fix="Leave prefix tokens out.")
    if scores.is_floating_point() and not torch.compiler.is_compiling() and scores.isnan().any():
        raise fail("tokens: scores", got="NaN", expected="numbers", fix="Look for the layer that makes them.")
    if isinstance(budget, (Ratio, Count)):
        # A stable sort, for topk leaves open which of equal scores it takes.
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, : budget.count(scores.shape[1], epoch)]
        return Selection(best.sort(1).values, scores.shape[1], grid, prefix, scores=scores)
    keep, padded = from_mask(budget.mask(scores))
    return Selection(keep, scores.shape[1], grid, prefix, scores=scores, padded=padded)
