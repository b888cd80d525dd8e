"""EVAD: video tokens are dropped by what the keyframe attends to."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import torch
from torch import Tensor

from augdrop.checks import check_choice, check_positive, check_share, check_whole, plain_fields
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.tokens.actions import drop, highest, places, unchanged
from augdrop.tokens.budgets import kept
from augdrop.tokens.reducer import Reduced, Reducer, Seen
from augdrop.tokens.rows import take


@dataclasses.dataclass(frozen=True)
class TokenGrid:
    """Tokens of a clip: ``t`` time slots of ``h`` by ``w``, row-major; the keyframe is slot ``t // 2``, ``t`` is even.

    Example:
        >>> grid = TokenGrid(8, 14, 14)
        >>> grid.key, grid.slot, grid.total
        (4, 196, 1568)
    """

    t: int
    h: int
    w: int

    def __post_init__(self) -> None:
        plain_fields(self)
        for name in ("t", "h", "w"):
            check_whole(f"TokenGrid: {name}", getattr(self, name), 1)
        if self.t % 2:
            raise fail("TokenGrid: t", got=self.t, expected="an even number of slots", fix="Sample another frame pair.")

    @property
    def key(self) -> int:
        """The keyframe's slot."""
        return self.t // 2

    @property
    def slot(self) -> int:
        """Tokens of one slot."""
        return self.h * self.w

    @property
    def total(self) -> int:
        """Tokens of a clip."""
        return self.t * self.slot

    def first(self, x: Tensor) -> Tensor:
        """``x [B, t * h * w, ...]`` with the keyframe's slot moved to the head, as `EVAD` leaves it."""
        if x.shape[1] != self.total:
            raise fail("TokenGrid", got=tuple(x.shape), expected=f"[B, {self.total}, ...]", fix="Leave out a prefix.")
        before, key, after = x.split([self.key * self.slot, self.slot, (self.t - self.key - 1) * self.slot], 1)
        return torch.cat([key, before, after], 1)

    def back(self, x: Tensor) -> Tensor:
        """The inverse of `first`."""
        key, before, after = x.split([self.slot, self.key * self.slot, (self.t - self.key - 1) * self.slot], 1)
        return torch.cat([before, key, after], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EVAD(Reducer):
    """Between attention and MLP, keep the keyframe's tokens and of the others those that get most attention.

    Chen, Tong, Song, Wu & Wang (2023), Efficient video action detection with token dropout and context refinement,
    arXiv 2304.08451. A whole clip comes in time-major order; behind the first drop the keyframe leads, then the others
    that are left. A token's score is the mean attention it gets over heads and queries, the keyframe's queries counting
    ``weight`` times. Training and evaluation are alike. `attach` puts it into Transformers' VideoMAE.

    Args:
        grid: the clip's tokens.
        keep: kept share, of all tokens including the keyframe's, rounded up.
        weight: of the keyframe's queries; the authors take 4 with ``keep=0.6``, the preset ``"fewer"``.
        ordered: kept tokens in ascending order, or (the authors') best first: see `restore`.

    Example:
        >>> x, attention = torch.rand(1, 24, 8), torch.rand(1, 2, 24, 24).softmax(-1)
        >>> evad = EVAD(grid=TokenGrid(4, 2, 3))
        >>> reduced = evad.reduce(x, Seen(layer=3, prefix=0, attention=attention))
        >>> reduced.x.shape, bool((reduced.x[:, :6] == x[:, 12:18]).all())
        (torch.Size([1, 17, 8]), True)
    """

    grid: TokenGrid
    layers: tuple[int, ...] | None = (3, 6, 9)
    keep: float = 0.7
    weight: float = 1.0
    ordered: bool = True
    needs = "attention"
    presets: ClassVar = {"paper": {}, "fewer": {"keep": 0.6, "weight": 4.0}, "reference": {"ordered": False}}
    citation = Citation(
        "Chen, Tong, Song, Wu & Wang",
        2023,
        "Efficient video action detection with token dropout and context refinement, ICCV",
        "2304.08451",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.grid, TokenGrid):
            raise fail("EVAD: grid", got=self.grid, expected="a TokenGrid", fix="Such as TokenGrid(8, 14, 14).")
        check_share("EVAD: keep", self.keep)
        check_positive("EVAD: weight", self.weight)

    def count(self, total: int) -> int:
        """How many of ``total`` tokens, the keyframe's among them, stay besides the keyframe's."""
        count = kept(total, 1 - self.keep, "ceil") - self.grid.slot
        if count < 1:
            raise fail(
                "EVAD: keep",
                got=f"{self.keep} of {total} tokens, no more than the keyframe's {self.grid.slot}",
                expected="a share that leaves others",
                fix="Keep more, or drop at fewer layers.",
            )
        return count

    def scores(self, attention: Tensor, prefix: int = 0, key: int = 0) -> Tensor:
        """How much attention ``[B, H, T, T]`` the other frames' tokens get: ``[B, T - prefix - h * w]``.

        Args:
            key: where the keyframe's tokens begin, not counting the prefix.
        """
        seen, stop = attention[:, :, prefix:, prefix:].mean(1), key + self.grid.slot
        scores = (seen.sum(1) + (self.weight - 1) * seen[:, key:stop].sum(1)) / seen.shape[1]
        return torch.cat([scores[:, :key], scores[:, stop:]], 1)

    def reduce(self, x: Tensor, seen: Seen) -> Reduced:
        assert seen.attention is not None
        total = x.shape[1] - seen.prefix
        whole = total == self.grid.total
        if not whole and (seen.layer == min(self.layers or (0,)) or not self.grid.slot < total < self.grid.total):
            raise fail(
                "EVAD: grid",
                got=f"{total} tokens at block {seen.layer}",
                expected=f"{self.grid.total}, a clip of {self.grid.t} × {self.grid.h} × {self.grid.w}",
                fix="Pass the model's grid: frames by the tubelet's length, sides by the patch's.",
            )
        count = self.count(total)
        if count == total - self.grid.slot:
            return unchanged(x)
        scores = self.scores(seen.attention, seen.prefix, self.grid.key * self.grid.slot if whole else 0)
        # To the selection the keyframe is a prefix: it comes first, and it always stays.
        selection = highest(scores, count, seen.prefix + self.grid.slot, self.ordered)
        if not whole:
            return Reduced(drop(x, selection), places(selection))
        order = self._order(seen.prefix).to(x.device)
        return Reduced(drop(x[:, order], selection), places(selection)[:, order.argsort()])

    def _order(self, prefix: int) -> Tensor:
        """Where each token of the keyframe-first sequence is in a whole clip's."""
        first = self.grid.first(torch.arange(self.grid.total)[None])[0]
        return torch.cat([torch.arange(prefix), first + prefix])


def restore(
    x: Tensor,
    source: Tensor,
    grid: TokenGrid,
    fill: Tensor | float = 0.0,
    rule: Literal["index", "reference"] = "index",
) -> Tensor:
    """Tokens back on the clip's whole grid, in time-major order: ``[B, t * h * w, D]``.

    Args:
        x: ``[B, h * w + K, D]``, what the last layer left, keyframe first.
        source: int64 ``[B, t * h * w]``, where the clip's tokens went, all layers composed.
        fill: a number, or a mask token ``[D]``, for dropped tokens.
        rule: ``"reference"`` does as the authors' code does: it hands kept tokens, in the order of ``x``, to kept
            places in raster order, so that with ``EVAD(ordered=False)`` tokens come to lie at places of others. Their
            published figures include it.
    """
    check_choice("EVAD: rule", rule, ("index", "reference"))
    there = source >= 0
    # Keyframe first, the kept ones' places count up.
    rows = source if rule == "index" else grid.back(grid.first(there).cumsum(1) - 1)
    return torch.where(there[..., None], take(x, rows), torch.as_tensor(fill, dtype=x.dtype, device=x.device))


def kept_ids(source: Tensor, grid: TokenGrid) -> Tensor:
    """Which of the other frames' tokens are left, in their order in ``x``: int64 ``[B, K]``, the keyframe not counted.

    Example:
        >>> kept_ids(torch.tensor([[2, -1, 0, 1]]), TokenGrid(4, 1, 1)).tolist()
        [[2, 0]]
    """
    body = grid.first(source)[:, grid.slot :]
    count = int((body[0] >= 0).sum())
    return body.masked_fill(body < 0, source.shape[1]).sort(1).indices[:, :count]
