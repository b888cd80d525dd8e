"""Scores: how much each token counts, for `choose` and a budget. Higher is kept.

Predicted losses, uncertainties and other numbers that a model gives for each token are scores as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from augdrop.errors import fail


def cls_attention(attention: Tensor, prefix: int = 1, query: int = 0) -> Tensor:
    """How much one token attends to each of the others, mean over heads: ``[B, N]``.

    Args:
        attention: probabilities ``[B, H, T, T]``, queries before keys.
        prefix: tokens at the head that are no candidates.
        query: whose attention; 0 is the class token, -1 the last token of a causal model.

    Example:
        >>> attention = torch.eye(4).expand(1, 2, 4, 4)
        >>> cls_attention(attention, query=-1).tolist()
        [[0.0, 0.0, 1.0]]
    """
    _check(attention, prefix)
    return attention[:, :, query, prefix:].mean(1)


def received_attention(attention: Tensor, prefix: int = 1) -> Tensor:
    """How much attention each token gets, mean over heads and queries (the prefix's too): ``[B, N]``.

    Example:
        >>> received_attention(torch.full((1, 2, 4, 4), 0.25)).tolist()
        [[0.25, 0.25, 0.25]]
    """
    _check(attention, prefix)
    return attention[..., prefix:].mean((1, 2))


def similarity(tokens: Tensor, reference: Tensor) -> Tensor:
    """Cosine of each token with a reference: ``[B, N]``.

    Args:
        tokens: ``[B, N, D]``, without prefix.
        reference: ``[B, D]`` or ``[D]``, a class token say, or ``[B, M, D]``, over which the mean is taken: a text's
            tokens.

    Example:
        >>> similarity(torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.tensor([1.0, 0.0])).tolist()
        [[1.0, 0.0]]
    """
    if tokens.ndim != 3 or reference.ndim not in (1, 2, 3) or reference.shape[-1] != tokens.shape[-1]:
        raise fail(
            "similarity",
            got=f"tokens {tuple(tokens.shape)} and a reference {tuple(reference.shape)}",
            expected="[B, N, D], and [D], [B, D] or [B, M, D]",
            fix="Project them to one width.",
        )
    reference = reference if reference.ndim == 3 else reference.unsqueeze(-2)
    return (F.normalize(tokens, dim=-1) @ F.normalize(reference, dim=-1).transpose(-1, -2)).mean(-1)


def norm(tokens: Tensor) -> Tensor:
    """The length of each token of ``[B, N, D]``: ``[B, N]``.

    Example:
        >>> norm(torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])).tolist()
        [[5.0, 1.0]]
    """
    return torch.linalg.vector_norm(tokens, dim=-1)


def from_table(table: Tensor, ids: Tensor) -> Tensor:
    """The score of each token's id: ``[B, N]``.

    Args:
        table: ``[V]``, a score for each id of a vocabulary.
        ids: int64 ``[B, N]`` in [0, V).

    Example:
        >>> from_table(torch.tensor([0.0, 5.0, 2.0]), torch.tensor([[2, 1, 0]])).tolist()
        [[2.0, 5.0, 0.0]]
    """
    if table.ndim != 1 or ids.ndim != 2:
        raise fail(
            "from_table",
            got=(tuple(table.shape), tuple(ids.shape)),
            expected="[V] and [B, N]",
            fix="Give each id a score.",
        )
    return table[ids]


def _check(attention: Tensor, prefix: int) -> None:
    if attention.ndim != 4 or attention.shape[2] != attention.shape[3] or not 0 <= prefix < attention.shape[3]:
        raise fail(
            "scores: attention",
            got=f"{tuple(attention.shape)}, prefix {prefix}",
            expected="[B, H, T, T] with T above the prefix",
            fix="Ask the model for its attention probabilities: fused kernels do not make them.",
        )
