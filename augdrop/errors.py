"""The one error of the package: what was got, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 300
"""Characters of a bad value that an error shows: a batch that was passed in its place does not bury what to do."""


class AugDropError(ValueError):
    """Raised at the edge for every bad argument, sample or file; nothing has been changed when it is raised."""


def fail(where: str, *, got: object, expected: str, fix: str) -> AugDropError:
    """Build the error of one bad value, in one wording for the whole package.

    Example:
        >>> print(fail("Cutout: p", got=1.5, expected="a probability in [0, 1]", fix="Pass p=1.0 for every sample."))
        Cutout: p: got 1.5; expected a probability in [0, 1]. Pass p=1.0 for every sample.
    """
    shown = str(got)
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]} …"
    return AugDropError(f"{where}: got {shown}; expected {expected}. {fix}")


def nearest(word: str, valid: Iterable[str]) -> str:
    """Name the valid words, the nearest first, for an error about an unknown one.

    Example:
        >>> nearest("lenght", ["fill", "length"])
        "Did you mean 'length'? Valid: fill, length."
    """
    valid = list(valid)
    close = get_close_matches(word, valid, n=1, cutoff=0.5) or get_close_matches(
        word.lower(), [v.lower() for v in valid], n=1, cutoff=0.5
    )
    close = [v for v in valid if close and v.lower() == close[0].lower()]
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid: {', '.join(valid)}."
