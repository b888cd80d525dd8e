"""HPM: mask what a teacher expects to be hard, more and more of it as training goes on."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augdrop.checks import check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.budgets import kept
from augdrop.tokens.choose import check_scores
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class HPM(Selector):
    """Mask the patches of the largest predicted loss for certain, and draw the other masked ones from the rest.

    Wang, Song, Fan, Wang, Xie & Zhang (2023), Hard patches mining for masked image modeling, arXiv 2304.05919. The
    ``scores [B, N]`` are the losses that a teacher predicts on the whole image. Of M masked patches the hardest
    ``int(M * hard)`` are forced, where ``hard`` rises from 0 to ``most`` over the epochs: easy to hard. Masking has no
    eval mode.

    Args:
        ratio: masked share.
        epochs: length of the training.
        most: share of masked patches that are forced in the end, in [0, 1].
        rising: False has ``most`` from the start.
        ahead: epochs by which the rise is early: with 1, as in the reference, the last epoch is at ``most``; with 0
            the first is at 0.

    Example:
        >>> hpm = HPM(epochs=200, seed=0)
        >>> hpm.forced(196, np.array([0, 1, 2, 100, 199])).tolist()
        [0, 0, 1, 37, 73]
        >>> hpm(torch.rand(2, 196, 8), keys=[5, 6], epoch=100, scores=torch.rand(2, 196))
        Selection(49 of 196 tokens a sample, 2 samples, grid 14×14)
    """

    ratio: float = 0.75
    epochs: int = 200
    most: float = 0.5
    rising: bool = True
    ahead: int = 1
    training_only = False
    presets: ClassVar = {"paper": {"ahead": 0}, "reference": {}}
    citation = Citation(
        "Wang, Song, Fan, Wang, Xie & Zhang",
        2023,
        "Hard patches mining for masked image modeling, CVPR",
        "2304.05919",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("HPM: ratio", self.ratio, below=True)
        check_share("HPM: most", self.most)
        check_whole("HPM: epochs", self.epochs, 1)
        check_whole("HPM: ahead", self.ahead, 0)

    def forced(self, total: int, epochs: np.ndarray) -> np.ndarray:
        """How many of ``total`` patches are masked for certain, int64, at each of the ``epochs``."""
        masked = total - kept(total, self.ratio, "mae")
        done = (epochs + self.ahead) / self.epochs if self.rising else np.ones(epochs.shape)
        return (masked * (self.most * np.minimum(1.0, done))).astype(np.int64)

    def select(self, draws: Draws, total: int, scores: Tensor | None = None, **given: Any) -> Selection:
        count, forced = kept(total, self.ratio, "mae"), self.forced(total, draws.epochs)
        noise = torch.from_numpy(draws.uniforms(total))
        if scores is None:
            if forced.any():
                raise fail(
                    "HPM: scores",
                    got=None,
                    expected="a predicted loss for each patch, [B, N]",
                    fix="Run the teacher first, and pass scores=.",
                )
        else:
            check_scores("HPM: scores", scores, (len(draws), total))
            ranks = scores.argsort(dim=1, descending=True, stable=True).argsort(1)
            hard = ranks < torch.from_numpy(forced).to(scores.device)[:, None]
            # Above every uniform number: never among the lowest, which stay.
            noise = noise.to(scores.device).masked_fill(hard, 2.0)
        keep = noise.argsort(dim=1, stable=True)[:, :count].sort(1).values
        return Selection(keep, total, scores=scores)


def relative_loss(predicted: Tensor, losses: Tensor) -> Tensor:
    """Binary cross entropy of which of two masked patches is harder, over all ordered pairs of each sample.

    Args:
        predicted: ``[B, M]``, the predictor's numbers for masked patches.
        losses: ``[B, M]``, their reconstruction losses, through which no gradient goes. Equal ones are skipped.

    Returns:
        The mean over the batch's pairs; 0 if there are none.
    """
    losses = losses.detach()
    harder = (losses[:, None, :] - losses[:, :, None]).sign()
    likely = (predicted[:, None, :] - predicted[:, :, None]).sigmoid()
    entropy = -torch.where(harder > 0, likely + 1e-6, 1 - likely + 1e-6).log() * (harder != 0)
    return entropy.sum() / (harder != 0).sum().clamp(min=1)


def absolute_loss(predicted: Tensor, losses: Tensor) -> Tensor:
    """Mean squared error to the losses, standardised in each sample; arguments as `relative_loss` has them."""
    losses = losses.detach()
    mean, variance = losses.mean(1, keepdim=True), losses.var(1, keepdim=True)
    return F.mse_loss(predicted, (losses - mean) / (variance + 1e-6).sqrt())


def ema_momentum(epoch: int, warmup: int = 100, start: float = 0.999, stop: float = 0.9999) -> float:
    """The teacher's momentum at an epoch: from ``start`` straight to ``stop`` over ``warmup`` epochs.

    Example:
        >>> [round(ema_momentum(epoch), 5) for epoch in (0, 50, 100, 150)]
        [0.999, 0.99945, 0.9999, 0.9999]
    """
    return start + (stop - start) * min(1.0, epoch / warmup)
