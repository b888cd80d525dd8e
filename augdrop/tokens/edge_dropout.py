"""Edge dropout: paths of attention are cut at random, in the space-time graphs of random walks and in DropKey."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from augdrop.checks import check_choice, check_positive, check_probability
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import Ids
from augdrop.rng import Draws
from augdrop.tokens.actions import hide
from augdrop.tokens.perturb import Perturbation, coins


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgeDropout(Perturbation):
    """Hide each edge of a graph with probability ``p`` before softmax, so that the others take its weight.

    Jabri, Owens & Efros (2020), Space-time correspondence as a contrastive random walk, arXiv 2006.14613. A node of
    which every edge is cut goes everywhere alike.

    Args:
        p: chance of each edge; the authors' command line has 0, their instructions 0.1.

    Example:
        >>> EdgeDropout(p=0.5, seed=0)(torch.zeros(1, 2, 4), keys=[3]).softmax(-1).sum(-1).tolist()
        [[1.0, 1.0]]
    """

    p: float = 0.1
    citation = Citation(
        "Jabri, Owens & Efros", 2020, "Space-time correspondence as a contrastive random walk, NeurIPS", "2006.14613"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability(f"{type(self).__name__}: p", self.p)

    def perturb(self, logits: Tensor, draws: Draws, prefix: int) -> Tensor:
        return hide(logits, coins(draws, self.p, logits.shape[1:], logits.device))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DropKey(EdgeDropout):
    """The same on the attention logits of a transformer, each query's and head's own keys, in training.

    Li, Hu, Nie, Han, Jiang, Guo & Liu (2023), DropKey for vision transformer, arXiv 2208.02646.

    Args:
        p: chance of each key.
    """

    citation = Citation(
        "Li, Hu, Nie, Han, Jiang, Guo & Liu", 2023, "DropKey for vision transformer, CVPR", "2208.02646"
    )


def palindrome_losses(
    nodes: Tensor,
    tau: float = 0.07,
    dropout: EdgeDropout | None = None,
    *,
    keys: Ids | None = None,
    epoch: Ids | None = None,
    rule: Literal["independent", "reference"] = "independent",
) -> Tensor:
    """Of walks to a frame and back, how unlikely they are to end where they began: a loss for each length, ``[T - 1]``.

    Args:
        nodes: ``[B, T, n, d]``, the patches of T frames; they are normalised here.
        tau: temperature of the transitions; the authors take 0.05 to 0.07.
        dropout: cuts edges; None cuts none.
        keys, epoch: see `augdrop.keys`.
        rule: the way there and the way back lose edges ``"independent"``-ly, or the way back also those that the way
            there has lost, as in the authors' code, which writes into a matrix that both share: its rate is then
            ``1 - (1 - p) ** 2``.

    Returns:
        Entry i is the mean over samples and nodes of the negative log-probability of returning after i + 1 steps there
        and as many back; take their mean or sum.
    """
    check_positive("palindrome_losses: tau", tau)
    check_choice("palindrome_losses: rule", rule, ("independent", "reference"))
    if nodes.ndim != 4 or nodes.shape[1] < 2:
        raise fail(
            "palindrome_losses",
            got=tuple(nodes.shape),
            expected="[B, T, n, d], two frames or more",
            fix="Stack frames.",
        )
    there, back = transitions(nodes, tau, dropout, keys=keys, epoch=epoch, rule=rule)
    walk, losses, ways_back = None, [], None
    for step in range(nodes.shape[1] - 1):
        walk = there[:, step] if walk is None else walk @ there[:, step]
        ways_back = back[:, step] if ways_back is None else back[:, step] @ ways_back
        returned = (walk @ ways_back).diagonal(dim1=-2, dim2=-1)
        losses.append(-(returned + 1e-20).log().mean())
    return torch.stack(losses)


def transitions(
    nodes: Tensor,
    tau: float = 0.07,
    dropout: EdgeDropout | None = None,
    *,
    keys: Ids | None = None,
    epoch: Ids | None = None,
    rule: Literal["independent", "reference"] = "independent",
) -> tuple[Tensor, Tensor]:
    """Probabilities of going from each frame's nodes to the next one's, and back: ``[B, T - 1, n, n]`` each.

    The arguments are those of `palindrome_losses`.
    """
    q = normalize(nodes, dim=-1)
    logits = q[:, :-1] @ q[:, 1:].mT / tau
    there, back = logits, logits.mT
    if dropout is not None:
        draws = dropout.draws(len(nodes), keys, epoch)
        cut = coins(draws, dropout.p, (2, *logits.shape[1:]), nodes.device)
        there = hide(there, cut[:, 0])
        back = hide(back, cut[:, 1] | cut[:, 0].mT if rule == "reference" else cut[:, 1])
    return there.softmax(-1), back.softmax(-1)
