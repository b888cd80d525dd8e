"""ToMe: merge the tokens that are most alike, a few in every block."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import normalize

from augdrop.checks import check_whole
from augdrop.citation import Citation
from augdrop.kernels.allocate import room
from augdrop.tokens.actions import unchanged
from augdrop.tokens.choose import check_scores
from augdrop.tokens.reducer import Reduced, Reducer, Seen
from augdrop.tokens.rows import take


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToMe(Reducer):
    """Between attention and MLP, merge ``r`` tokens into those that are most like them, as means weighted by size.

    Bolya, Fu, Dai, Zhang, Feichtenhofer & Hoffman (2023), Token merging: your ViT but faster, arXiv 2210.09461. Written
    from the paper's description: tokens at even positions are matched with those at odd ones by the cosine of their
    keys (the mean over heads); the ``r`` best matches of even tokens are merged. What is left is in the order [prefix,
    unmerged even tokens, odd tokens], each ascending. Attention goes by size ever after (`proportional`).

    Args:
        r: merges in each block, or in each of them; at most half of the tokens without the prefix can go.

    Example:
        >>> x, keys = torch.rand(2, 197, 8), torch.rand(2, 3, 197, 4)
        >>> reduced = ToMe(r=13).reduce(x, Seen(layer=0, prefix=1, keys=keys))
        >>> reduced.x.shape, float(reduced.sizes[0].sum())
        (torch.Size([2, 184, 8]), 197.0)
    """

    r: int | tuple[int, ...] = 13
    needs = "keys"
    proportional = True
    citation = Citation(
        "Bolya, Fu, Dai, Zhang, Feichtenhofer & Hoffman",
        2023,
        "Token merging: your ViT but faster, ICLR",
        "2210.09461",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for r in self.r if isinstance(self.r, tuple | list) else (self.r,):
            check_whole("ToMe: r", r, 0)

    def reduce(self, x: Tensor, seen: Seen) -> Reduced:
        assert seen.keys is not None
        r = self.r if isinstance(self.r, int) else self.r[seen.layer] if seen.layer < len(self.r) else 0
        r = min(r, (x.shape[1] - seen.prefix) // 2)
        if r <= 0:
            return unchanged(x)._replace(sizes=seen.sizes)
        source = match(seen.keys.mean(1), r, seen.prefix)
        return merge(x, source, x.shape[1] - r, seen.sizes)


def merges(r: int, inflect: float, depth: int) -> tuple[int, ...]:
    """Merges in each of ``depth`` blocks, ``r`` in the mean: ``inflect`` -1 is falling, 0 constant, 1 rising.

    Example:
        >>> merges(8, -1, 5), merges(8, 0, 5), merges(8, 1, 5)
        ((16, 12, 8, 4, 0), (8, 8, 8, 8, 8), (0, 4, 8, 12, 16))
    """
    first = int(r * (1 - inflect))
    step = (2 * r - 2 * first) / max(1, depth - 1)
    return tuple(int(first + step * i) for i in range(depth))


def match(metric: Tensor, r: int, prefix: int) -> Tensor:
    """Where each token goes when the ``r`` best pairs of ``metric [B, T, d]`` are merged: int64 ``[B, T]``.

    Places are of the shorter sequence: [prefix, unmerged tokens of even positions, tokens of odd positions].
    """
    b, t, _ = metric.shape
    metric = normalize(metric.detach()[:, prefix:], dim=-1)
    # Positions count from the prefix on, as if it took part: after one class token the first patch is odd.
    even, odd = (torch.arange(start, t - prefix, 2, device=metric.device) for start in (prefix % 2, 1 - prefix % 2))
    best = (metric[:, even] @ metric[:, odd].mT).max(-1)
    if best.values.is_cpu:  # on a GPU, to look in every block would be to wait in every block
        check_scores("ToMe: keys", best.values)
    merged = torch.zeros_like(best.indices, dtype=torch.bool)
    merged.scatter_(1, best.values.sort(dim=1, descending=True, stable=True).indices[:, :r], True)
    stays = (~merged).cumsum(1) - 1
    first = len(even) - r
    body = torch.empty(b, t - prefix, dtype=torch.int64, device=metric.device)
    body[:, even] = torch.where(merged, first + best.indices, stays)
    body[:, odd] = torch.arange(first, first + len(odd), device=metric.device).expand(b, -1)
    return torch.cat([torch.arange(prefix, device=metric.device).expand(b, -1), body + prefix], 1)


def merge(x: Tensor, source: Tensor, length: int, sizes: Tensor | None = None) -> Reduced:
    """Means of the tokens of ``x [B, T, D]`` that go to the same place, weighted by ``sizes [B, T]``.

    Args:
        source: int64 ``[B, T]``, places from 0 to ``length`` - 1, none of them empty.
    """
    from augdrop.kernels import token_ops

    b, t, d = x.shape
    if token_ops.merges(x, sizes):
        means, total = token_ops.merge(x, source, length, sizes)
        return Reduced(means, source, total)
    weights = torch.ones(b, t, device=x.device) if sizes is None else sizes.float()
    # Whole rows of one long table, as in `augdrop.tokens.rows.take`.
    rows = (source + torch.arange(b, device=x.device)[:, None] * length).flatten()
    total = torch.zeros(b * length, device=x.device).index_add(0, rows, weights.flatten()).view(b, length)
    # Shares rather than sums that are divided: what has not merged stays as it is, bit for bit.
    shares = (weights / total.gather(1, source)).to(x.dtype)
    parts = torch.mul(x, shares[..., None], out=room(x.shape, x, shares))
    means = room((b * length, d), parts)
    means = x.new_zeros(b * length, d) if means is None else means.zero_()
    means = means.index_add_(0, rows, parts.flatten(0, 1))
    return Reduced(means.view(b, length, d), source, total)


def unmerge(y: Tensor, source: Tensor, fill: float = 0.0) -> Tensor:
    """Copy each token of ``y [B, T', D]`` back to all places that went into it; ``fill`` where nothing is left.

    Args:
        source: int64 ``[B, T]``, see `Reduced`, or what `compose` made of several.

    Example:
        >>> unmerge(torch.tensor([[[5.0], [7.0]]]), torch.tensor([[1, 0, 1, -1]])).flatten().tolist()
        [7.0, 5.0, 7.0, 0.0]
    """
    return take(y, source).masked_fill((source < 0)[..., None], fill)
