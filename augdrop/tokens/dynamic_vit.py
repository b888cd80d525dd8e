"""DynamicViT: small predictors say which tokens a vision transformer goes on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.tokens.actions import drop, highest, places, unchanged
from augdrop.tokens.reducer import Reduced, Reducer, Seen
from augdrop.tokens.selection import Selection


class Predictor(nn.Module):
    """Log-probabilities ``[B, N, 2]`` of keeping and of dropping each token of ``[B, N, width]``.

    One half of each token's features is its own (local); the other is replaced by the mean over the tokens that are
    still kept (global).

    Args:
        width: features of a token, a multiple of 4.

    Example:
        >>> log_p = Predictor(8)(torch.rand(2, 5, 8))
        >>> log_p.shape, bool(torch.allclose(log_p.exp().sum(-1), torch.ones(2, 5)))
        (torch.Size([2, 5, 2]), True)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.decide = nn.Sequential(
            *(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width // 4), nn.GELU()),
            *(nn.Linear(width // 4, 2), nn.LogSoftmax(-1)),
        )

    def forward(self, x: Tensor, policy: Tensor | None = None) -> Tensor:
        """Args: ``policy [B, N]``, 1 where a token is still kept, 0 where it is not; None keeps all."""
        local, others = self.features(x).chunk(2, -1)
        if policy is None:
            mean = others.mean(1, keepdim=True)
        else:
            weights = policy[..., None].to(others)
            mean = (others * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        return self.decide(torch.cat([local, mean.expand_as(others)], -1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicViT(Reducer):
    """Keep the tokens that a predictor at each stage would rather keep: the policy at inference.

    Rao, Zhao, Liu, Lu, Zhou & Hsieh (2021), DynamicViT: efficient vision transformers with dynamic token
    sparsification, arXiv 2106.02034. It decides at the input of the blocks 3, 6 and 9; after stage s ``int(total * keep
    ** s)`` tokens are left. Training the predictors, with Gumbel-softmax and distillation, is not part of this.

    Args:
        predictors: one for each layer, anything that takes ``[B, N, D]`` to ``[B, N, 2]``, keeping first.
        total: tokens of a full sequence without the prefix.
        keep: kept share at each stage.
        ordered: kept tokens in ascending order, or (the authors') the best first, to which a model is blind.

    Example:
        >>> policy = DynamicViT(predictors=[Predictor(8) for _ in range(3)])
        >>> policy.counts
        (137, 96, 67)
        >>> policy.reduce(torch.rand(2, 197, 8), Seen(layer=3, prefix=1)).x.shape
        torch.Size([2, 138, 8])
    """

    predictors: Sequence[nn.Module] | nn.ModuleList
    layers: tuple[int, ...] | None = (3, 6, 9)
    total: int = 196
    keep: float = 0.7
    ordered: bool = True
    at_input = True
    presets: ClassVar = {"paper": {}, "reference": {"ordered": False}}
    citation = Citation(
        "Rao, Zhao, Liu, Lu, Zhou & Hsieh",
        2021,
        "DynamicViT: efficient vision transformers with dynamic token sparsification, NeurIPS",
        "2106.02034",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("DynamicViT: keep", self.keep)
        if self.layers is None or len(self.predictors) != len(self.layers) or not self.counts[-1]:
            raise fail(
                "DynamicViT",
                got=f"{len(self.predictors)} predictors at layers {self.layers}, keeping {self.keep} of {self.total}",
                expected="a predictor for each layer, and a token that stays",
                fix="Pass layers=(...), as many as there are predictors.",
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Kept tokens after each stage."""
        return tuple(int(self.total * self.keep ** (s + 1)) for s in range(len(self.layers or ())))

    def selection(self, x: Tensor, stage: int, prefix: int = 1) -> Selection:
        """What stage ``stage`` (from 0) keeps of ``x [B, prefix + N, D]``, which holds what the last one kept."""
        body = x[:, prefix:]
        before = (self.total, *self.counts)[stage]
        if body.shape[1] != before:
            raise fail(
                "DynamicViT",
                got=f"{body.shape[1]} tokens at stage {stage}",
                expected=f"{before} of {self.total}",
                fix="Pass total=, the model's tokens without the prefix.",
            )
        return highest(self.predictors[stage](body)[..., 0], self.counts[stage], prefix, self.ordered)

    def reduce(self, x: Tensor, seen: Seen) -> Reduced:
        selection = self.selection(x, (self.layers or ()).index(seen.layer), seen.prefix)
        if selection.keep.shape[1] == selection.total:
            return unchanged(x)
        return Reduced(drop(x, selection), places(selection))
