"""Actions: what becomes of the tokens that a selection removes."""

from __future__ import annotations

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.tokens.choose import check_scores
from augdrop.tokens.reducer import Reduced
from augdrop.tokens.selection import Selection


def drop(x: Tensor, selection: Selection) -> Tensor:
    """The kept tokens ``[B, prefix + K, D]`` of ``x [B, prefix + N, D]``: the rest is not computed any more."""
    return selection.gather(x)


def replace(x: Tensor, selection: Selection, token: Tensor) -> Tensor:
    """``x [B, prefix + N, D]`` with a mask token ``[D]`` (or tokens ``[B, N, D]``) where tokens are removed.

    Example:
        >>> x = torch.arange(8.0).view(1, 4, 2)
        >>> replace(x, Selection(torch.tensor([[0, 3]]), 4), torch.zeros(2))[0].tolist()
        [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [6.0, 7.0]]
    """
    prefix = prefix_of(x, selection)
    removed = selection.mask("removed").to(x.device)[..., None]
    body = torch.where(removed, token.to(x), x[:, prefix:])
    return torch.cat([x[:, :prefix], body], 1) if prefix else body


def fuse(x: Tensor, selection: Selection, weights: Tensor) -> Tensor:
    """The kept tokens, then one that is the weighted sum of the removed ones: ``[B, prefix + K + 1, D]``.

    Args:
        x: ``[B, prefix + N, D]``.
        weights: ``[B, N]``, taken as they are; those of kept tokens do not count.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> fuse(x, Selection(torch.tensor([[1]]), 3), torch.tensor([[0.5, 9.0, 0.25]])).flatten().tolist()
        [2.0, 1.5]
    """
    prefix = prefix_of(x, selection)
    if weights.shape != (len(selection), selection.total):
        shape = (len(selection), selection.total)
        raise fail("fuse: weights", got=tuple(weights.shape), expected=f"{shape}", fix="Leave prefix tokens out.")
    weights = weights.masked_fill(selection.mask("kept").to(x.device), 0).to(x.dtype)
    return torch.cat([selection.gather(x), weights[:, None] @ x[:, prefix:]], 1)


def hide(logits: Tensor, where: Tensor) -> Tensor:
    """Attention logits that softmax turns into zeros where ``where`` (bool, broadcast to them) is True; a new tensor.

    The value is finite, for a row of which everything is hidden is to weigh all alike, and not to be NaN.

    Example:
        >>> hide(torch.zeros(2, 2), torch.tensor([[True, False], [True, True]])).softmax(-1).tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """
    return logits.masked_fill(where, hidden(logits.dtype))


def hidden(dtype: torch.dtype) -> float:
    """The logit of what is hidden: half the lowest number, so that something may still be added to it."""
    return torch.finfo(dtype).min / 2


def attention_bias(selection: Selection, dtype: torch.dtype = torch.float32) -> Tensor:
    """What hides removed tokens as keys when it is added to attention logits: ``[B, 1, 1, prefix + N]``.

    No token is removed by it, so a model takes it as its additive attention mask, and the cost stays.
    """
    removed = torch.nn.functional.pad(selection.mask("removed"), (selection.prefix, 0))
    return hide(torch.zeros(removed.shape, dtype=dtype, device=removed.device), removed)[:, None, None]


def highest(scores: Tensor, count: int, prefix: int = 0, ordered: bool = True) -> Selection:
    """Keep the ``count`` highest scores of ``[B, N]``; equal scores go by the lowest position.

    Args:
        ordered: keep them ascending; else best first.

    Example:
        >>> scores = torch.tensor([[0.1, 0.9, 0.5, 0.95]])
        >>> highest(scores, 3).ids.tolist(), highest(scores, 3, ordered=False).ids.tolist()
        ([[1, 2, 3]], [[3, 1, 2]])
    """
    check_scores("tokens: scores", scores)
    keep, order = scores.detach().sort(dim=1, descending=True, stable=True).indices[:, :count].sort(1)
    return Selection(keep, scores.shape[1], prefix=prefix, order=None if ordered else order.argsort(1), scores=scores)


def prefix_of(x: Tensor, selection: Selection) -> int:
    """How many prefix tokens ``x`` has: those of the selection, or none."""
    if x.ndim != 3 or len(x) != len(selection) or x.shape[1] - selection.total not in (0, selection.prefix):
        raise fail(
            "tokens",
            got=f"a tensor {tuple(x.shape)}",
            expected=f"[{len(selection)}, {selection.prefix} + {selection.total}, D], the tokens that were selected",
            fix="Select for this model's tokens, and say how many prefix tokens there are.",
        )
    return x.shape[1] - selection.total


def unchanged(x: Tensor) -> Reduced:
    """What a reducer that has nothing to do returns."""
    return Reduced(x, torch.arange(x.shape[1], device=x.device).expand(len(x), -1))


def places(selection: Selection, others: int = -1) -> Tensor:
    """Where tokens went: ``source [B, prefix + N]`` of a `Reduced`, ``others`` for those that were removed.

    Samples keep equal numbers of tokens, for a reducer has nowhere to say which of them pad a sample.

    Example:
        >>> places(Selection(torch.tensor([[0, 2]]), 4, prefix=1)).tolist()
        [[0, 1, -1, 2, -1]]
    """
    if selection.padded:
        raise fail(
            "places",
            got=f"{selection!r}, whose samples keep different numbers",
            expected="as many of every sample",
            fix="Take a Ratio or a Count; for other budgets a selector, behind the embedding.",
        )
    body = torch.where(selection.mask("kept"), selection.restore + selection.prefix, others)
    return torch.cat([torch.arange(selection.prefix, device=body.device).expand(len(body), -1), body], 1)
