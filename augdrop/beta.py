"""Beta(alpha, alpha), the law of mixing: one uniform a draw through its quantile function, which is read from a table.

SciPy inverts the law in more than a microsecond a draw. Here it does so once for each node of a table, between which a
cubic goes through values and slopes. The table is no function of the uniform ``u`` but of ``t = (2 u) ** (1 / alpha)``:
near 0 the quantile is a power of ``u`` that no polynomial follows, and a smooth function of ``t``. The upper half
mirrors the lower one. No quantile is further than 2e-10 from SciPy's, and the small ones are right to nine digits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from scipy.special import betaincinv, betaln

_CELLS, _MOST = 1024, 1 << 18
"""Cells of a table up to an alpha of 16, and at most: a narrow law needs more."""


def quantiles(u: np.ndarray, alpha: float) -> np.ndarray:
    """Where the distribution function of Beta(alpha, alpha) is ``u``, float64 like ``u``; for alpha 1, ``u`` itself.

    Example:
        >>> quantiles(np.array([0.0, 0.25, 0.5, 1.0]), 2.0).round(4).tolist()
        [0.0, 0.3264, 0.5, 1.0]
    """
    out = np.empty(len(u))
    _quantiles(u, *law(alpha), out)
    return out


@lru_cache(64)
def law(alpha: float) -> tuple[float, np.ndarray]:
    """What `quantile` needs to know of an alpha: the power, and float64 ``[cells + 1, 2]``.

    The table holds values, and slopes times the width of a cell, at nodes of ``t`` from 0 to 1.
    """
    cells = min(_MOST, int(_CELLS * max(1.0, alpha / 16)))
    t = np.arange(1, cells + 1) / cells
    x = betaincinv(alpha, alpha, t**alpha / 2)
    with np.errstate(divide="ignore", invalid="ignore"):  # where x is 0, there is no uniform but 0
        powers = np.where(x > 0, np.log(t) - np.log(x) - np.log1p(-x), -np.inf)
        log_slope = np.log(alpha / 2) + betaln(alpha, alpha) + (alpha - 1) * powers
    at_zero = (np.log(alpha / 2) + betaln(alpha, alpha)) / alpha
    return 1.0 / alpha, np.stack([np.r_[0.0, x], np.exp(np.r_[at_zero, log_slope]) / cells], 1)


@njit(cache=True, nogil=True)
def quantile(u, power, table):
    """One quantile of a `law`."""
    if power == 1.0:
        return u
    cells = len(table) - 1
    t = cells * (2.0 * min(u, 1.0 - u)) ** power
    i = min(np.int64(t), cells - 1)
    s = t - i
    low, slope, high, end = table[i, 0], table[i, 1], table[i + 1, 0], table[i + 1, 1]
    rise = high - low
    x = low + s * (slope + s * (3.0 * rise - 2.0 * slope - end + s * (slope + end - 2.0 * rise)))
    return x if u <= 0.5 else 1.0 - x


@njit(cache=True, nogil=True)
def _quantiles(u, power, table, out):
    for b in range(len(u)):
        out[b] = quantile(u[b], power, table)
