"""Between the type that pixels have and the type that they are computed in; for compiled code only."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload


def cast(example, value):
    """``value`` in the type of ``example``."""
    raise NotImplementedError


def rounded(example, value):
    """``value`` in the type of ``example``, which rounds to the nearest, ties to even, if it is an integer."""
    raise NotImplementedError


@overload(cast, inline="always")
def _cast(example, value):
    scalar = example
    return lambda example, value: scalar(value)


@overload(rounded, inline="always")
def _rounded(example, value):
    scalar = example
    if isinstance(example, types.Integer):
        return lambda example, value: scalar(np.rint(value))
    return lambda example, value: scalar(value)
