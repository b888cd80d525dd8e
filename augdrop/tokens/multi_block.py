"""Multi-block masks: I-JEPA's targets and their context, and V-JEPA's short- and long-range masks."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.checks import check_choice, check_positive, check_range, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import Ids
from augdrop.rng import FIRST, Draws, uniform_pair
from augdrop.tokens.base import Selector
from augdrop.tokens.rows import from_mask
from augdrop.tokens.selection import Selection

TRIES = 20
"""How often places are drawn anew before one target less is kept out of the context."""


class Blocks(NamedTuple):
    """What a predictor is given, and what it is to predict.

    Args:
        context: the tokens that the encoder sees.
        targets: one selection for each target block.
    """

    context: Selection
    targets: list[Selection]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _MultiBlock(Selector):
    per: Literal["sample", "batch"] = "sample"
    exclusive: bool = False
    training_only = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{type(self).__name__}: per", self.per, ("sample", "batch"))

    def sizes(self, draws: Draws) -> np.ndarray:
        """The uniforms behind the sizes of blocks, float64 ``[B, 2]``: targets, context."""
        u = draws.uniforms(2, first=0)
        # The sizes of the sample with the least key: the order of the batch does not matter.
        return u[[draws.keys.argmin()]].repeat(len(u), 0) if self.per == "batch" and len(u) else u

    def selection(self, mask: np.ndarray, total: int) -> Selection:
        keep, padded = from_mask(torch.from_numpy(mask.reshape(len(mask), total)))
        selection = Selection(keep, total, self.grid, padded=padded)
        return truncate(selection) if self.per == "batch" else selection


@dataclasses.dataclass(frozen=True)
class IJEPA(_MultiBlock):
    """I-JEPA's masks: `blocks` gives several target blocks, and a large context block without them.

    Assran, Duval, Misra, Bojanowski, Vincent, Rabbat, LeCun & Ballas (2023), Self-supervised learning from images with
    a joint-embedding predictive architecture, arXiv 2301.08243. The targets of a sample have one size; one random
    number is behind both its scale and its aspect, as in the reference. Called, it gives the context alone.

    Args:
        targets: how many target blocks.
        target_scale, context_scale: shares of the grid that a block covers; the context's before the targets are cut
            out.
        target_aspect: height by width of target blocks; the context is square.
        min_keep: a context of so few tokens or fewer is drawn anew, and after 20 times allowed to cover one target
            more.
        per: ``"sample"``: sizes of its own for every sample, so counts differ. ``"batch"``, as the reference: one size
            for the batch, and `truncate` to the least count; what a sample gets then depends on its batch.
        exclusive: the reference's places, which never reach the last row and the last column.

    Example:
        >>> masks = IJEPA(seed=0).blocks(torch.rand(2, 196, 8), keys=[5, 6])
        >>> masks.context
        Selection(64 to 119 of 196 tokens a sample, 2 samples, grid 14×14)
        >>> masks.targets[0].counts.tolist(), len(masks.targets)
        ([35, 36], 4)
    """

    targets: int = 4
    target_scale: tuple[float, float] = (0.15, 0.2)
    target_aspect: tuple[float, float] = (0.75, 1.5)
    context_scale: tuple[float, float] = (0.85, 1.0)
    min_keep: int = 10
    presets: ClassVar = {"paper": {}, "reference": {"per": "batch", "exclusive": True}}
    citation = Citation(
        "Assran, Duval, Misra, Bojanowski, Vincent, Rabbat, LeCun & Ballas",
        2023,
        "Self-supervised learning from images with a joint-embedding predictive architecture, CVPR",
        "2301.08243",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("IJEPA: targets", self.targets, 1)
        check_whole("IJEPA: min_keep", self.min_keep, 0)
        check_range("IJEPA: target_scale", self.target_scale, 0, 1)
        check_range("IJEPA: context_scale", self.context_scale, 0, 1)
        check_positive("IJEPA: target_aspect", min(self.target_aspect))

    def blocks(self, x: Tensor, *, keys: Ids | None = None, epoch: Ids | None = None) -> Blocks:
        """The context and the targets of ``x [B, prefix + N, ...]``; of ``x`` only the shape and the device count."""
        context, *targets = (self.finish(s, x) for s in self._draw(self.draws(len(x), keys, epoch), self.total(x)))
        return Blocks(context, targets)

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        return self._draw(draws, total)[0]

    def _draw(self, draws: Draws, total: int) -> list[Selection]:
        h, w = self.plane(total)
        u = self.sizes(draws)
        target = block_size(u[:, 0], self.target_scale, self.target_aspect, h, w, self.exclusive)
        context = block_size(u[:, 1], self.context_scale, (1.0, 1.0), h, w, self.exclusive)
        spare = int(not self.exclusive)
        masks = _ijepa(*draws, h, w, target, context, self.targets, self.min_keep, spare)
        return [self.selection(masks[:, i], total) for i in range(1 + self.targets)]


@dataclasses.dataclass(frozen=True)
class VJEPA(_MultiBlock):
    """V-JEPA's masks: the encoder sees what no block covers; blocks go through all time steps.

    Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran & Ballas (2024), Revisiting feature prediction for learning
    visual representations from video, arXiv 2404.08471. The model is trained with both presets, each with a predictor
    pass of its own: ``"short"`` has eight blocks of 15 % of a frame, ``"long"`` two of 70 %. The targets are
    ``selection.removed()``.

    Args:
        blocks: how many blocks.
        scale: share of a frame that each covers, from and to.
        aspect: height by width of a block.
        min_keep: with so few places left or fewer, places are drawn anew, and after 20 times with one block less.
        per, exclusive: see `IJEPA`.
        grid: ``(t, h, w)``; ``(h, w)`` for images.

    Example:
        >>> VJEPA.preset("long", grid=(8, 14, 14), seed=0)(torch.rand(2, 1568, 4), keys=[5, 6])
        Selection(256 to 336 of 1568 tokens a sample, 2 samples, grid 8×14×14)
    """

    blocks: int = 8
    scale: tuple[float, float] = (0.15, 0.15)
    aspect: tuple[float, float] = (0.75, 1.5)
    min_keep: int = 0
    presets: ClassVar = {"short": {}, "long": {"blocks": 2, "scale": (0.7, 0.7)}}
    citation = Citation(
        "Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran & Ballas",
        2024,
        "Revisiting feature prediction for learning visual representations from video, TMLR",
        "2404.08471",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("VJEPA: blocks", self.blocks, 1)
        check_whole("VJEPA: min_keep", self.min_keep, 0)
        check_range("VJEPA: scale", self.scale, 0, 1)
        check_positive("VJEPA: aspect", min(self.aspect))

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        grid = self.lattice(total)
        if len(grid) > 3:
            raise fail("VJEPA: grid", got=grid, expected="(t, h, w) or (h, w)", fix="Leave out other axes.")
        t, h, w = (1, *grid)[-3:]
        size = block_size(self.sizes(draws)[:, 0], self.scale, self.aspect, h, w, self.exclusive)
        context = _vjepa(*draws, h, w, size, self.blocks, self.min_keep, int(not self.exclusive))
        return self.selection(context[:, None].repeat(t, 1), total)


def block_size(
    u: np.ndarray, scale: tuple[float, float], aspect: tuple[float, float], h: int, w: int, exclusive: bool
) -> np.ndarray:
    """Rows and columns of each sample's blocks, int64 ``[B, 2]``: ``u`` is behind both the scale and the aspect.

    Example:
        >>> block_size(np.array([0.0, 0.5]), (0.15, 0.2), (0.75, 1.5), 14, 14, exclusive=True).tolist()
        [[5, 6], [6, 6]]
    """
    area = (scale[0] + u * (scale[1] - scale[0])) * h * w
    ratio = aspect[0] + u * (aspect[1] - aspect[0])
    sides = np.rint(np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], 1)).astype(np.int64)
    return np.clip(sides, 1, np.maximum(1, np.array([h, w]) - exclusive))


def truncate(selection: Selection) -> Selection:
    """The selection with the least count of its samples for all of them: the last tokens go, as I-JEPA does it.

    Example:
        >>> truncate(Selection(torch.tensor([[0, 1, 3], [1, 2, -1]]), 4, padded=True)).keep.tolist()
        [[0, 1], [1, 2]]
    """
    if not selection.padded:
        return selection
    return dataclasses.replace(selection, keep=selection.keep[:, : int(selection.counts.min())], padded=False)


@njit(cache=True, nogil=True)
def _place(stream, key, epoch, draw, h, w, size, spare, mask, value):
    """Set a block of ``size`` at a random place; ``spare`` is 1 if it may touch the last row and column."""
    u, v = uniform_pair(stream, key, epoch, draw)
    top, left = int(u * max(1, h - size[0] + spare)), int(v * max(1, w - size[1] + spare))
    mask[top : top + size[0], left : left + size[1]] = value


@njit(cache=True, nogil=True)
def _ijepa(stream, keys, epochs, h, w, target, context, targets, min_keep, spare):
    """Context and targets, bool ``[B, 1 + targets, h, w]``."""
    out = np.zeros((len(keys), 1 + targets, h, w), np.bool_)
    for b in range(len(keys)):
        draw = FIRST
        for i in range(targets):
            _place(stream, keys[b], epochs[b], draw, h, w, target[b], spare, out[b, 1 + i], True)
            draw += 1
        for tried in range(TRIES * (targets + 1)):
            out[b, 0] = False
            _place(stream, keys[b], epochs[b], draw, h, w, context[b], spare, out[b, 0], True)
            draw += 1
            for i in range(targets - tried // TRIES):
                out[b, 0] &= ~out[b, 1 + i]
            if out[b, 0].sum() > min_keep:
                break
    return out


@njit(cache=True, nogil=True)
def _vjepa(stream, keys, epochs, h, w, size, blocks, min_keep, spare):
    """What no block covers, bool ``[B, h, w]``."""
    out = np.empty((len(keys), h, w), np.bool_)
    for b in range(len(keys)):
        draw = FIRST
        for tried in range(TRIES * (blocks + 1)):
            out[b] = True
            for _ in range(blocks - tried // TRIES):
                _place(stream, keys[b], epochs[b], draw, h, w, size[b], spare, out[b], False)
                draw += 1
            if out[b].sum() > min_keep:
                break
    return out
