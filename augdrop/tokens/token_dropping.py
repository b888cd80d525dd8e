"""Token dropping in BERT's pre-training: the middle layers see important tokens only; and ScTD's consistency."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from augdrop.checks import check_choice, check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.actions import highest
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import Count, Ratio
from augdrop.tokens.choose import check_scores
from augdrop.tokens.selection import Selection


class ImportanceTable(nn.Module):
    """How hard each token of a vocabulary is to predict: a running mean of its masked-language-model loss.

    Args:
        size: of the vocabulary.
        always: ids that are never dropped (special tokens), of importance 1e4.
        never: ids that go first (padding), of importance -1e4. In the reference these drift towards the losses of
            unused prediction slots; here both kinds stay put.
        beta: weight of what was, in an update; ScTD takes 0.95.
        start: importance at first.

    Example:
        >>> table = ImportanceTable(200)
        >>> table(torch.tensor([[101, 7, 0]])).tolist()
        [[10000.0, 10.0, -10000.0]]
        >>> table.update(torch.tensor([7]), torch.tensor([2.0]))
        >>> round(table(torch.tensor([7])).item(), 4)
        9.96
    """

    table: Tensor

    def __init__(
        self,
        size: int,
        *,
        always: Sequence[int] = (100, 101, 102, 103),
        never: Sequence[int] = (0,),
        beta: float = 0.995,
        start: float = 10.0,
    ) -> None:
        super().__init__()
        check_share("ImportanceTable: beta", beta)
        if not all(0 <= i < size for i in (*always, *never)):
            raise fail(
                "ImportanceTable", got=(*always, *never), expected=f"ids below {size}", fix="Pass always, never."
            )
        self.always, self.never, self.beta = list(always), list(never), beta
        self.register_buffer("table", torch.full((size,), start))
        self._clamp()

    def forward(self, ids: Tensor) -> Tensor:
        """The importance of each token of ``ids [B, T]``."""
        return self.table[ids]

    @torch.no_grad()
    def update(self, ids: Tensor, losses: Tensor, valid: Tensor | None = None) -> None:
        """Take in the losses of predicted tokens; of a token that was predicted several times, their mean.

        Args:
            ids: the original tokens, of any shape.
            losses: as many.
            valid: bool, as many; False for slots that predict nothing.
        """
        if valid is not None:
            ids, losses = ids[valid], losses[valid]
        ids, losses = ids.flatten(), losses.flatten().to(self.table)
        counts = torch.zeros_like(self.table).index_add_(0, ids, torch.ones_like(losses))
        means = torch.zeros_like(self.table).index_add_(0, ids, losses) / counts.clamp(min=1)
        self.table.copy_(torch.where(counts > 0, self.beta * self.table + (1 - self.beta) * means, self.table))
        self._clamp()

    def _clamp(self) -> None:
        self.table[self.always], self.table[self.never] = 1e4, -1e4


@dataclasses.dataclass(frozen=True)
class TokenDropping(Selector):
    """Keep the tokens of the highest importance: ``method(x, scores=table(ids))``.

    Hou, Pang, Zhou, Wu, Song, Song & Zhou (2022), Token dropping for efficient BERT pretraining, ACL, arXiv 2203.13240.
    The preset ``"sctd"`` is of Zhong, Ding, Liu, Liu, Zhang, Du & Tao (2023), Revisiting token dropping strategy in
    efficient BERT pretraining, arXiv 2305.15273.

    Args:
        keep: kept tokens (256 of 512 in the paper), or a budget.
        ordered: ascending, or (the reference) by importance, to which a model is blind.

    Example:
        >>> scores = torch.tensor([[10000.0, 3.0, 9.0, 5.0, -10000.0]])
        >>> TokenDropping(3, seed=0)(torch.rand(1, 5, 4), scores=scores).keep.tolist()
        [[0, 2, 3]]
    """

    keep: int | Ratio | Count = 256
    ordered: bool = True
    presets: ClassVar = {
        "paper": {},
        "reference": {"ordered": False},
        "sctd": {"keep": Ratio(0.5, "ceil")},
    }
    citation = Citation(
        "Hou, Pang, Zhou, Wu, Song, Song & Zhou",
        2022,
        "Token dropping for efficient BERT pretraining, ACL",
        "2203.13240",
    )

    def select(self, draws: Draws, total: int, scores: Tensor | None = None, **given: Any) -> Selection:
        if scores is None:
            raise fail("TokenDropping", got="no scores", expected="scores=[B, N]", fix="Pass scores=table(ids).")
        check_scores("TokenDropping: scores", scores, (len(draws), total))
        budget = Count(self.keep) if isinstance(self.keep, int) else self.keep
        epoch = int(draws.epochs[0]) if len(draws) else 0
        return highest(scores, budget.count(total, epoch), ordered=self.ordered)


def drop_middle(
    layers: Sequence[Callable[..., Tensor]], x: Tensor, selection: Selection | None, *per_token: Tensor
) -> Tensor:
    """Run a transformer's layers; of D, the layers D/2 to D - 2 see the selected tokens only.

    In the layer before them the selected tokens attend to all: here that layer computes all and drops the rest, where
    the reference computes as queries the selected alone. The last layer sees all tokens again, the dropped ones as they
    were before that layer.

    Args:
        layers: called with the tokens, and with ``per_token``.
        x: ``[B, T, D]``.
        selection: None drops nothing, as after pre-training.
        per_token: what goes with the tokens, such as a padding mask ``[B, T]``.
    """
    check_whole("drop_middle: layers", len(layers), 4)
    half = len(layers) // 2
    for layer in layers[: half - 1]:
        x = layer(x, *per_token)
    y = layers[half - 1](x, *per_token)
    kept = per_token
    if selection is not None:
        y, kept = selection.gather(y), tuple(selection.gather(t) for t in per_token)
    for layer in layers[half:-1]:
        y = layer(y, *kept)
    return layers[-1](y if selection is None else selection.scatter(y, fill=x), *per_token)


def aligns(step: int, every: int = 10) -> bool:
    """Is this step (from 0) one of ScTD's alignment steps, with a second forward that drops nothing?"""
    return step % every == every - 1


def sctd_loss(
    dropped: Tensor,
    full: Tensor,
    dropped_hidden: Sequence[Tensor],
    full_hidden: Sequence[Tensor],
    weight: float = 0.05,
    rule: Literal["paper", "reference"] = "paper",
) -> Tensor:
    """The loss of ScTD's alignment step: the mean of both forwards' losses, and class tokens that are to agree.

    Args:
        dropped, full: masked-language-model losses of the forward that drops, and of the one that does not.
        dropped_hidden, full_hidden: class tokens ``[B, D]`` of the last layer but one, and of the last.
        weight: of each layer's KL(full || dropped), summed over the batch, of the softmax over the D features.
        rule: ``"reference"`` does as the authors' code, which takes the loss of the dropping forward for both.
    """
    check_choice("sctd_loss: rule", rule, ("paper", "reference"))
    loss = 0.5 * dropped + 0.5 * (full if rule == "paper" else dropped)
    for ours, goal in zip(dropped_hidden, full_hidden, strict=True):
        loss = loss + weight * kl_div(ours.log_softmax(-1), goal.log_softmax(-1), reduction="sum", log_target=True)
    return loss
