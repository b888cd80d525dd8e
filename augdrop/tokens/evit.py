"""EViT: keep what the class token attends to, and fuse the rest into one token."""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor

from augdrop.checks import check_positive, check_share, check_whole, plain_fields
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.tokens.actions import drop, fuse, highest, places, unchanged
from augdrop.tokens.budgets import kept
from augdrop.tokens.reducer import Reduced, Reducer, Seen


@dataclasses.dataclass
class CosineKeep:
    """A kept share that falls along a cosine from 1 to ``rate``; call `step` after each optimiser step.

    Args:
        rate: share at the end.
        warmup: steps with all tokens at first.
        steps: step at which ``rate`` is reached.

    Example:
        >>> keep = CosineKeep(0.7, warmup=2, steps=6)
        >>> keep.share, keep.step(), keep.step(), keep.step(), keep.step(), round(keep.share, 3)
        (1.0, None, None, None, None, 0.85)
    """

    rate: float
    warmup: int
    steps: int
    done: int = 0

    def __post_init__(self) -> None:
        plain_fields(self)
        check_share("CosineKeep: rate", self.rate)
        check_positive("CosineKeep: rate", self.rate)
        check_whole("CosineKeep: steps", self.steps, self.warmup + 1)

    @property
    def share(self) -> float:
        """The kept share at this step."""
        progress = min(1.0, max(0.0, (self.done - self.warmup) / (self.steps - self.warmup)))
        return self.rate + (1 - self.rate) * 0.5 * (1 + math.cos(math.pi * progress))

    def step(self) -> None:
        """One step on."""
        self.done += 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class EViT(Reducer):
    """Between attention and MLP, keep the tokens that the class token attends to most; fuse the others into one.

    Liang, Ge, Tong, Song, Wang & Xie (2022), Not all patches are what you need: expediting vision transformers via
    token reorganizations, arXiv 2202.07800. The fused token is the sum of the others, each times its attention, not
    normalised; at later layers it competes like any token. Kept tokens stay in ascending order, where the reference has
    them by attention; the model is blind to it.

    Args:
        keep: kept share of the tokens without the prefix, in (0, 1], rounded up, or a `CosineKeep`; 1 leaves a block as
            it is.
        fused: append the fused token? Without, the others are gone.

    Example:
        >>> import torch
        >>> x, attention = torch.rand(2, 197, 8), torch.rand(2, 3, 197, 197).softmax(-1)
        >>> EViT().reduce(x, Seen(layer=3, prefix=1, attention=attention)).x.shape
        torch.Size([2, 140, 8])
    """

    layers: tuple[int, ...] | None = (3, 6, 9)
    keep: float | CosineKeep = 0.7
    fused: bool = True
    needs = "attention"
    citation = Citation(
        "Liang, Ge, Tong, Song, Wang & Xie",
        2022,
        "Not all patches are what you need: expediting vision transformers via token reorganizations, ICLR",
        "2202.07800",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.keep, CosineKeep):
            check_share("EViT: keep", self.keep)
            check_positive("EViT: keep", self.keep)

    @property
    def steady(self) -> bool:
        return not isinstance(self.keep, CosineKeep)

    def reduce(self, x: Tensor, seen: Seen) -> Reduced:
        assert seen.attention is not None
        if not seen.prefix:
            raise fail("EViT", got="a model without prefix tokens", expected="a class token", fix="Take ToMe.")
        scores = seen.attention[:, :, 0, seen.prefix :].mean(1)
        total = scores.shape[1]
        count = kept(total, 1 - (self.keep.share if isinstance(self.keep, CosineKeep) else self.keep), "ceil")
        if count == total:
            return unchanged(x)
        selection = highest(scores, count, seen.prefix)
        if self.fused:
            return Reduced(fuse(x, selection, scores), places(selection, seen.prefix + count))
        return Reduced(drop(x, selection), places(selection))
