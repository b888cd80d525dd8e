"""Reducer: what shortens the sequence inside a transformer block, between its attention and its MLP."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from augdrop.checks import plain_fields
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.presets import Presets


class Seen(NamedTuple):
    """What a block shows a reducer; T counts the prefix.

    Args:
        layer: the block's number, from 0.
        prefix: class, distillation and register tokens at the head, which always stay.
        attention: probabilities ``[B, H, T, T]``, if the reducer `needs` them.
        keys: ``[B, H, T, d]``, if it needs them.
        sizes: ``[B, T]``, how many tokens each stands for by now; None before the first merge.
    """

    layer: int
    prefix: int
    attention: Tensor | None = None
    keys: Tensor | None = None
    sizes: Tensor | None = None


class Reduced(NamedTuple):
    """A shorter sequence.

    Args:
        x: ``[B, T', D]``, prefix first.
        source: int64 ``[B, T]``, where each token of the longer sequence went: its place in ``x``, or -1 if it is gone.
        sizes: ``[B, T']``, how many tokens each stands for; None if nothing is merged.
    """

    x: Tensor
    source: Tensor
    sizes: Tensor | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reducer(Presets):
    """Base of the methods that reduce tokens layer by layer; `augdrop.tokens.attach` puts one into a model.

    An own one is a score, a budget and an action; ``layers`` and `at_input` say where.

    Args:
        layers: blocks after whose attention it works, counted from 0; None is every block.

    Example:
        >>> import torch
        >>> from augdrop.tokens import Ratio, choose, drop, places, scores
        >>> class Longest(Reducer):
        ...     def reduce(self, x, seen):
        ...         length = scores.norm(x[:, seen.prefix :])
        ...         selection = choose(length, Ratio(0.5), prefix=seen.prefix)
        ...         return Reduced(drop(x, selection), places(selection))
        >>> Longest(layers=(2,)).reduce(torch.rand(2, 17, 8), Seen(layer=2, prefix=1)).x.shape
        torch.Size([2, 9, 8])
    """

    layers: tuple[int, ...] | None = None
    needs: ClassVar[Literal["attention", "keys"] | None] = None
    proportional: ClassVar[bool] = False
    """Add the log of the sizes to the attention's logits, so that a merged token weighs as much as its parts?"""

    citation: ClassVar[Citation | None] = None
    at_input: ClassVar[bool] = False
    """Work before the block's attention, where it `needs` nothing, and not behind it?"""

    def __post_init__(self) -> None:
        plain_fields(self)
        if self.layers is not None and any(not isinstance(i, int) or i < 0 for i in self.layers):
            raise fail(
                f"{type(self).__name__}: layers", got=self.layers, expected="numbers from 0", fix="Count blocks from 0."
            )

    @property
    def steady(self) -> bool:
        """Does it leave as many tokens at every step of a training?"""
        return True

    def reduce(self, x: Tensor, seen: Seen) -> Reduced:
        """Shorten ``x [B, T, D]``, the residual stream behind a block's attention."""
        raise NotImplementedError


def compose(first: Tensor, then: Tensor) -> Tensor:
    """Where tokens went after two reductions: ``source`` of the first ``[B, T]`` and of the second ``[B, T']``.

    Example:
        >>> import torch
        >>> compose(torch.tensor([[0, -1, 1, 2]]), torch.tensor([[1, 0, -1]])).tolist()
        [[1, -1, 0, -1]]
    """
    return then.gather(1, first.clamp(min=0)).masked_fill(first < 0, -1)
