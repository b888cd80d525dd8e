"""Span: tokens rest over some blocks of a model and come back behind them."""

from __future__ import annotations

import dataclasses

from augdrop.errors import fail
from augdrop.tokens.base import Selector


@dataclasses.dataclass(frozen=True)
class Span:
    """Blocks ``start`` to ``stop - 1`` see the selected tokens only; behind them the others come back as they were.

    `augdrop.tokens.attach` gathers before block ``start`` and scatters after block ``stop - 1``: the sequence has its
    full length again, so that dense losses and poolings need no change. A model can have several spans that do not
    overlap, each with its own selector: random-LTD is a row of spans of one block.

    Args:
        selector: any selector; prefix tokens and grid are taken from the model.
        start, stop: blocks, as in a Python slice: counted from 0, from the end if negative; None is the end.

    Example:
        >>> from augdrop.tokens import RandomKeep
        >>> Span(RandomKeep(0.5, seed=0), 1, -1).blocks(12)
        range(1, 11)
    """

    selector: Selector
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.selector, Selector):
            raise fail("Span: selector", got=self.selector, expected="a Selector", fix="Such as RandomKeep(0.5).")

    def blocks(self, depth: int) -> range:
        """The blocks of the span in a model of ``depth`` blocks: one at least."""
        blocks = range(depth)[self.start : self.stop]
        if not blocks or any(not -depth <= i <= depth for i in (self.start, self.stop or 0)):
            raise fail(
                "Span",
                got=f"start={self.start}, stop={self.stop}",
                expected=f"one block at least, of the model's {depth}",
                fix="Count blocks from 0; stop is the first behind the span.",
            )
        return blocks
