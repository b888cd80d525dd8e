"""What every method that selects tokens shares: keys to draws, tokens to a selection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor

from augdrop.checks import check_whole, plain_fields, seed_of
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import Ids, resolve
from augdrop.presets import Presets
from augdrop.rng import Draws, stream_key
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selector(Presets):
    """Base of the methods that select tokens: ``method(x, keys=None, epoch=None) -> Selection``.

    Args:
        seed: any integer; None takes one from torch's generator when the method is made.
        prefix: class, distillation and register tokens at the head of a sequence, which always stay.
        grid: how the other tokens lie, ``(h, w)`` or ``(t, h, w)``; None is a square, or no grid.
        width: pad every sample to so many tokens, where counts differ and `torch.compile` wants one; None pads to the
            most that a sample of the batch keeps.
    """

    seed: int | None = None
    prefix: int = 0
    grid: tuple[int, ...] | None = None
    width: int | None = None
    training_only: ClassVar[bool] = True
    """Does a model in eval mode keep all tokens?"""
    citation: ClassVar[Citation | None] = None

    def __post_init__(self) -> None:
        plain_fields(self)
        self.check_place()
        object.__setattr__(self, "seed", seed_of(f"{type(self).__name__}: seed", self.seed))

    def check_place(self) -> None:
        """Are the prefix, the grid and the width numbers of tokens?"""
        name = type(self).__name__
        check_whole(f"{name}: prefix", self.prefix, 0)
        if self.width is not None:
            check_whole(f"{name}: width", self.width, 1)
        if self.grid is not None and not isinstance(self.grid, (tuple, list)):
            raise fail(f"{name}: grid", got=repr(self.grid), expected="sides of a grid", fix="Pass grid=(h, w).")
        for side in self.grid or ():
            check_whole(f"{name}: grid", side, 1)

    def __call__(self, x: Tensor, *, keys: Ids | None = None, epoch: Ids | None = None, **given: Any) -> Selection:
        """Select among the tokens of ``x [B, prefix + N, ...]``; of ``x`` only the shape and the device count."""
        self.check_given(given)
        return self.finish(self.select(self.draws(len(x), keys, epoch), self.total(x), **given), x)

    @classmethod
    def takes(cls) -> set[str]:
        """What a call may give besides the tokens, keys and epoch."""
        return set(signature(cls.select).parameters) - {"self", "draws", "total", "given"}

    def check_given(self, given: Iterable[str]) -> None:
        """Is all that is given something that the method takes? A misspelt ``noise`` would be drawn, silently."""
        if given and (unknown := set(given) - self.takes()):
            raise fail(
                type(self).__name__,
                got=f"{sorted(unknown)}",
                expected=f"what it takes besides: {sorted(self.takes()) or 'nothing'}",
                fix="Leave them out.",
            )

    def total(self, x: Tensor) -> int:
        """How many tokens of ``x [B, prefix + N, ...]`` there are to choose from."""
        if x.ndim < 2 or x.shape[1] <= self.prefix:
            raise fail(
                f"{type(self).__name__}",
                got=f"a tensor {tuple(x.shape)}",
                expected=f"[B, N, ...], more than {self.prefix} prefix tokens",
                fix="Say how many prefix tokens there are.",
            )
        return x.shape[1] - self.prefix

    def finish(self, selection: Selection, x: Tensor) -> Selection:
        """A selection of the tokens of ``x``, with what this method knows of them, on their device."""
        grid = self.grid or square(selection.total)
        selection = dataclasses.replace(selection, grid=grid, prefix=self.prefix)
        return (selection if self.width is None else selection.pad(self.width)).to(x.device)

    def draws(self, batch: int, keys: Ids | None, epoch: Ids | None) -> Draws:
        """The random numbers of a batch under this method's stream."""
        return Draws(stream_key(self.seed or 0, type(self).__name__), *resolve(keys, epoch, batch, 0))

    def lattice(self, total: int) -> tuple[int, ...]:
        """The grid of ``total`` tokens, for a method that needs one."""
        grid = self.grid or square(total)
        if grid is None or torch.Size(grid).numel() != total:
            raise fail(
                f"{type(self).__name__}: grid",
                got=self.grid,
                expected=f"sides that multiply to {total} tokens",
                fix=f"Pass grid=(h, w), and the number of prefix tokens (now {self.prefix}).",
            )
        return grid

    def plane(self, total: int) -> tuple[int, int]:
        """The grid ``(h, w)`` of ``total`` tokens, for a method that is of images only."""
        grid = self.lattice(total)
        if len(grid) != 2:
            raise fail(f"{type(self).__name__}: grid", got=grid, expected="(h, w)", fix="Select frame by frame.")
        return grid

    def select(self, draws: Draws, total: int, **given: Any) -> Selection:
        """The selection of a batch of ``total`` tokens a sample, on the host unless it comes from scores."""
        raise NotImplementedError


def square(total: int) -> tuple[int, int] | None:
    """The square grid of ``total`` tokens, or None.

    Example:
        >>> square(196), square(195)
        ((14, 14), None)
    """
    side = round(total**0.5)
    return (side, side) if side * side == total else None
