"""DropPos: guess where the visible patches are whose position was dropped."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augdrop.checks import check_choice, check_positive, check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import Ids
from augdrop.rng import FIRST, Draws, stream_key
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import kept
from augdrop.tokens.choose import random_set
from augdrop.tokens.mae import mae_loss
from augdrop.tokens.selection import Selection


class Puzzle(NamedTuple):
    """The two drops of a batch.

    Args:
        visible: which V of the N patches the encoder sees.
        told: which of these V patches come with their position.
        shuffle: int64 ``[B, V - K]``, whose position each patch that is not told gets in place of its own, as numbers
            among these patches; for ``filler="wrong"``.
    """

    visible: Selection
    told: Selection
    shuffle: Tensor

    @property
    def labels(self) -> Tensor:
        """Where each visible patch is, int64 ``[B, V]`` in [0, N)."""
        return self.visible.ids

    def tokens(self, patches: Tensor, positions: Tensor, filler: Tensor | Literal["zeros", "wrong"]) -> Tensor:
        """The encoder's input, without class token.

        Args:
            patches: ``[B, N, D]``, embedded, without positions.
            positions: ``[N, D]`` or ``[B, N, D]``, the patches' position embeddings.
            filler: in place of a dropped position: one learned vector ``[D]`` (the paper's; made with deviation 0.02),
                ``"zeros"``, or ``"wrong"`` for that of another of these patches.

        Returns:
            ``[B, V, D]``.
        """
        own = self.visible.gather(positions.expand_as(patches))
        if not isinstance(filler, str):
            own = torch.where(self.told.mask("kept")[..., None], own, filler.to(own))
        elif filler == "wrong" and self.shuffle.shape[1]:
            dropped = self.told.removed()
            others = self.shuffle[..., None].expand(-1, -1, own.shape[-1])
            own = dropped.scatter(dropped.gather(own).gather(1, others), fill=own)
        else:
            check_choice("DropPos: filler", filler, ("zeros", "wrong"))
            own = own.masked_fill(self.told.mask("removed")[..., None], 0)
        return self.visible.gather(patches) + own


@dataclasses.dataclass(frozen=True)
class DropPos(Selector):
    """Keep a quarter of the patches, and of these tell a quarter where they are; the model is to say it of the others.

    Wang, Fan, Wang, Song, Wang & Zhang (2023), DropPos: pre-training vision transformers by reconstructing dropped
    positions, arXiv 2309.03576. `puzzle` gives both drops; called, the method gives the first alone. It owns the
    addition of positions: `Puzzle.tokens` takes the place of a model's position embedding. The decoder gets neither
    positions nor mask tokens and says one of N places for each visible patch; see `droppos_loss`. For pre-training
    only: a model is fine-tuned without.

    Args:
        ratio: dropped share of the patches.
        position_ratio: share of the visible patches whose position is dropped, in [0, 1).

    Example:
        >>> puzzle = DropPos(seed=0).puzzle(torch.rand(2, 196, 8), keys=[5, 6])
        >>> puzzle.visible, puzzle.told
        (Selection(49 of 196 tokens a sample, 2 samples, grid 14×14), Selection(12 of 49 tokens a sample, 2 samples))
    """

    ratio: float = 0.75
    position_ratio: float = 0.75
    training_only = False
    citation = Citation(
        "Wang, Fan, Wang, Song, Wang & Zhang",
        2023,
        "DropPos: pre-training vision transformers by reconstructing dropped positions, NeurIPS",
        "2309.03576",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("DropPos: ratio", self.ratio, below=True)
        check_share("DropPos: position_ratio", self.position_ratio, below=True)

    def select(self, draws: Draws, total: int, noise: Tensor | None = None, **given: Any) -> Selection:
        return random_set("DropPos: noise", draws, total, kept(total, self.ratio, "mae"), noise)

    def puzzle(
        self,
        x: Tensor,
        *,
        keys: Ids | None = None,
        epoch: Ids | None = None,
        noise: Tensor | None = None,
        position_noise: Tensor | None = None,
    ) -> Puzzle:
        """Both drops for the patches ``x [B, prefix + N, ...]``, of which only the shape and the device count.

        Args:
            noise, position_noise: ``[B, N]`` and ``[B, V]``: what scores lowest stays visible, and is told.
        """
        patches = self.draws(len(x), keys, epoch)
        visible = self.finish(self.select(patches, self.total(x), noise), x)
        draws = Draws(stream_key(self.seed or 0, "DropPos/positions"), patches.keys, patches.epochs)
        v = visible.keep.shape[1]
        count = kept(v, self.position_ratio, "mae")
        told = random_set("DropPos: position_noise", draws, v, count, position_noise, ordered=True)
        # One permutation for all samples of an epoch; the reference has one for a batch.
        shared = Draws(draws.stream, np.zeros_like(draws.keys), draws.epochs).uniforms(v - count, FIRST + v)
        return Puzzle(visible, told.to(x.device), torch.from_numpy(shared).argsort(1).to(x.device))


def smoothing_map(grid: tuple[int, int], sigma: float = 1.0, normalised: Literal["rows", "columns"] = "rows") -> Tensor:
    """Soft labels of every place: near places count too. float32 ``[N, N]``, a row for each true place.

    Args:
        sigma: ``exp(-distance² / sigma²)``, distances in tokens; 0 is the identity.
        normalised: which sums are 1. The reference has the columns, for a dimension was lost in its division: on
            14 × 14 tokens with sigma 1 the loss of a corner then counts 0.886 times, that of its neighbour 1.11 times.

    Example:
        >>> smoothing_map((14, 14), 1.0, "columns").sum(1)[[0, 15, 105]]
        tensor([0.8863, 1.1096, 1.0000])
    """
    check_choice("smoothing_map: normalised", normalised, ("rows", "columns"))
    if sigma == 0:
        return torch.eye(grid[0] * grid[1])
    check_positive("smoothing_map: sigma", sigma)
    places = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1])).double()
    near = (-(places[:, None] - places).square().sum(-1) / sigma**2).exp()
    return (near / near.sum(1, keepdim=normalised == "rows")).float()


def sigma_at(epoch: int, epochs: int, start: float = 1.0) -> float:
    """The width of `smoothing_map` at an epoch of so many: from ``start`` straight towards 0.

    Example:
        >>> [round(sigma_at(epoch, 800), 5) for epoch in (0, 400, 799)]
        [1.0, 0.5, 0.00125]
    """
    if not 0 <= epoch < epochs:
        raise fail("sigma_at: epoch", got=epoch, expected=f"0 to {epochs - 1}", fix="Count epochs from 0.")
    return (1 - epoch / epochs) * start


@torch.no_grad()
def attentive_weights(tokens: Tensor, visible: Selection, temperature: float = 0.1) -> Tensor:
    """How much each visible patch is to count, by its likeness to the class token; they sum to 1. ``[B, V]``.

    Args:
        tokens: ``[B, prefix + N, D]`` of the encoder on the whole image with all positions, after its last norm; the
            class token comes first.
        visible: with its prefix.
    """
    if not visible.prefix:
        raise fail("attentive_weights: visible", got="no prefix", expected="a class token", fix="DropPos(prefix=1).")
    likeness = F.cosine_similarity(tokens[:, :1], tokens[:, visible.prefix :], dim=-1)
    weights = visible.labels((likeness / temperature).softmax(1))
    return weights / weights.sum(1, keepdim=True)


def droppos_loss(
    predicted: Tensor,
    puzzle: Puzzle,
    smoothing: Tensor,
    weights: Tensor | None = None,
    conf_ignore: bool = False,
) -> Tensor:
    """Cross entropy with soft labels over patches whose position was dropped; 0 if there are none.

    One ratio for the whole batch: the weighted sum of losses by the sum of weights. See also `multi_task_loss`.

    Args:
        predicted: logits ``[B, V, N]``.
        smoothing: ``[N, N]``, see `smoothing_map`.
        weights: ``[B, V]``, see `attentive_weights`; None is 1 each.
        conf_ignore: leave out patches that are surer of their true place than their soft label is.
    """
    labels, scores = smoothing.to(predicted.device)[puzzle.labels], predicted.log_softmax(-1)
    if conf_ignore:
        true = puzzle.labels[..., None]
        unsure = scores.detach().exp().gather(-1, true) <= labels.gather(-1, true)
        unsure = unsure[..., 0].to(predicted)
        weights = unsure if weights is None else unsure * weights
    return _weighted_mean(-(labels * scores).sum(-1), puzzle, weights)


def multi_task_loss(
    predicted: Tensor,
    pixels: Tensor,
    images: Tensor,
    puzzle: Puzzle,
    smoothing: Tensor,
    patch: int,
    weights: Tensor | None = None,
    norm_pixels: bool = False,
    share: float = 0.05,
) -> Tensor:
    """The reference's ``multi_task``, off by default: patches are reconstructed besides, by a decoder of their own.

    That decoder is MAE's: ``puzzle.visible.scatter(latent, fill=mask_token)``, then its positions. The loss is
    `augdrop.tokens.mae_loss` over the patches that nobody sees, and a small share of `droppos_loss`.

    Args:
        predicted, puzzle, smoothing, weights: see `droppos_loss`.
        pixels: ``[B, N, patch * patch * C]``, what the second decoder makes of the patches.
        images, patch, norm_pixels: see `augdrop.tokens.mae_loss`.
        share: of the position loss.
    """
    reconstruction = mae_loss(pixels, images, puzzle.visible, patch, norm_pixels)
    return reconstruction + share * droppos_loss(predicted, puzzle, smoothing, weights)


def droppos_accuracy(predicted: Tensor, puzzle: Puzzle, weights: Tensor | None = None) -> Tensor:
    """The share of patches without position that are put right; arguments as `droppos_loss` has them."""
    return _weighted_mean((predicted.argmax(-1) == puzzle.labels).float(), puzzle, weights)


def _weighted_mean(values: Tensor, puzzle: Puzzle, weights: Tensor | None) -> Tensor:
    counted = puzzle.told.mask("removed").to(values)
    if weights is not None:
        counted = counted * weights
    return (values * counted).sum() / counted.sum().clamp(min=torch.finfo(values.dtype).tiny)
