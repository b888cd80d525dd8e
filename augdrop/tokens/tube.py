"""Tube masking of videos (VideoMAE): the same places are masked in every frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.draw import subsets
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class Tube(Selector):
    """Mask a random share of the places, through all of a clip's time steps, so that no frame gives another away.

    Tong, Song, Wang & Wang (2022), VideoMAE: masked autoencoders are data-efficient learners for self-supervised video
    pre-training, arXiv 2203.12602. Of ``h * w`` places ``int(ratio * h * w)`` are masked. Masking has no eval mode.

    Args:
        ratio: masked share, in [0, 1).
        grid: ``(t, h, w)``, needed: t counts time steps of tokens (frames by the tubelet's length).

    Example:
        >>> Tube(grid=(8, 14, 14), seed=0)(torch.rand(2, 1568, 4), keys=[5, 6])
        Selection(160 of 1568 tokens a sample, 2 samples, grid 8×14×14)
    """

    ratio: float = 0.9
    training_only = False
    citation = Citation(
        "Tong, Song, Wang & Wang",
        2022,
        "VideoMAE: masked autoencoders are data-efficient learners for self-supervised video pre-training, NeurIPS",
        "2203.12602",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("Tube: ratio", self.ratio, below=True)

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        grid = self.lattice(total)
        if len(grid) != 3:
            raise fail("Tube: grid", got=grid, expected="(t, h, w)", fix="A clip of one frame has t = 1.")
        steps, places = grid[0], grid[1] * grid[2]
        # Never none: the ratio is below 1.
        chosen = torch.from_numpy(subsets(*draws, places, places - int(self.ratio * places)))
        return Selection((chosen[:, None] + torch.arange(steps)[:, None] * places).flatten(1), total)
