"""Checks of arguments, made once when a transform is made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from augdrop.errors import fail


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's own, in tuples, lists and dicts too; so that a repr and a recipe stay readable.

    Example:
        >>> plain((np.int64(8), 0.5)), plain(np.float32(0.5))
        ((8, 0.5), 0.5)
    """
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(v) for key, v in value.items()}
    return value


def plain_fields(self: Any) -> None:
    """`plain` for a dataclass's fields; it serves as ``__post_init__``."""
    for field in dataclasses.fields(self):
        if field.init:
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))


def plain_arguments(method: Callable[..., None]) -> Callable[..., None]:
    """A constructor that sees no numbers but Python's own."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        method(self, *plain(args), **plain(kwargs))

    return call


def _is(kind: type, value: Any) -> bool:
    """Is it a number of a kind of `numbers`, Python's or NumPy's? True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_probability(where: str, p: Any) -> None:
    """A probability is a number in [0, 1]."""
    if not (_is(Real, p) and 0 <= p <= 1):
        raise fail(where, got=repr(p), expected="a probability in [0, 1]", fix="p=0 is never, p=1 always.")


def check_share(where: str, value: Any, most: float = 1.0, below: bool = False) -> None:
    """A share is a number in [0, 1], or (``below``) in [0, 1)."""
    if not _is(Real, value) or not 0 <= value <= most or (below and value == most):
        raise fail(
            where,
            got=repr(value),
            expected=f"a share in [0, {most:g}{')' if below else ']'}",
            fix="Shares are of the whole, not percent.",
        )


def check_positive(where: str, value: Any) -> None:
    """A finite number above 0."""
    if not _is(Real, value) or not 0 < value < float("inf"):
        raise fail(
            where, got=repr(value), expected="a finite number above 0", fix="The paper's default is a good start."
        )


def check_whole(where: str, value: Any, least: int) -> None:
    """A whole number, not below ``least``."""
    if not _is(Integral, value) or value < least:
        raise fail(
            where,
            got=repr(value),
            expected=f"a whole number >= {least}",
            fix="Counts and sides are in whole units.",
        )


def seed_of(where: str, seed: Any) -> int:
    """The seed, any integer; in place of None one from torch's generator."""
    if seed is None:
        return int(torch.empty((), dtype=torch.int64).random_())
    if not _is(Integral, seed):
        raise fail(where, got=repr(seed), expected="an integer or None", fix="None takes one from torch's generator.")
    return int(seed)


def check_choice(where: str, value: Any, valid: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in valid:
        raise fail(where, got=repr(value), expected=" or ".join(repr(v) for v in valid), fix="Choose one of them.")


def check_range(where: str, ends: Any, low: float, high: float, whole: bool = False) -> None:
    """Two numbers in order, within ``[low, high]``."""
    kind = Integral if whole else Real
    ok = isinstance(ends, (tuple, list)) and len(ends) == 2
    ok = ok and all(_is(kind, v) for v in ends)
    if not (ok and low <= ends[0] <= ends[1] <= high):
        numbers = "whole numbers" if whole else "numbers"
        raise fail(
            where,
            got=repr(ends),
            expected=f"two {numbers} in order, within [{low:g}, {high:g}]",
            fix="Write (low, high).",
        )
