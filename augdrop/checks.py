"""Checks of arguments, made once when a transform is made."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch

from augdrop.errors import fail


def check_probability(where: str, p: Any) -> None:
    """A probability is a number in [0, 1]."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise fail(where, got=repr(p), expected="a probability in [0, 1]", fix="p=0 is never, p=1 always.")


def check_share(where: str, value: Any, most: float = 1.0, below: bool = False) -> None:
    """A share is a number in [0, 1], or (``below``) in [0, 1)."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= most or (below and value == most):
        raise fail(
            where,
            got=repr(value),
            expected=f"a share in [0, {most:g}{')' if below else ']'}",
            fix="Shares are of the whole, not percent.",
        )


def check_positive(where: str, value: Any) -> None:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise fail(
            where, got=repr(value), expected="a finite number above 0", fix="The paper's default is a good start."
        )


def check_whole(where: str, value: Any, least: int) -> None:
    """A whole number, not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise fail(
            where,
            got=repr(value),
            expected=f"a whole number >= {least}, an int of Python's own",
            fix="Counts and sides are in whole units.",
        )


def seed_of(where: str, seed: Any) -> int:
    """The seed, any integer; in place of None one from torch's generator."""
    if seed is None:
        return int(torch.empty((), dtype=torch.int64).random_())
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise fail(where, got=repr(seed), expected="an integer or None", fix="None takes one from torch's generator.")
    return int(seed)


def check_choice(where: str, value: Any, valid: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in valid:
        raise fail(where, got=repr(value), expected=" or ".join(repr(v) for v in valid), fix="Choose one of them.")


def check_range(where: str, ends: Any, low: float, high: float, whole: bool = False) -> None:
    """Two numbers in order, within ``[low, high]``."""
    kind = int if whole else (int, float)
    ok = isinstance(ends, (tuple, list)) and len(ends) == 2
    ok = ok and all(isinstance(v, kind) and not isinstance(v, bool) for v in ends)
    if not (ok and low <= ends[0] <= ends[1] <= high):
        numbers = "whole numbers" if whole else "numbers"
        raise fail(
            where,
            got=repr(ends),
            expected=f"two {numbers} in order, within [{low:g}, {high:g}]",
            fix="Write (low, high).",
        )
