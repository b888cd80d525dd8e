"""The Beta law of mixes: the table against SciPy's inverse, into the tails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaincinv
from scipy.stats import kstest

from augdrop.beta import quantiles

ALPHAS = [0.01, 0.05, 0.1, 0.2, 0.4, 0.5, 0.8, 0.99, 1.01, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 100.0, 1000.0, 5000.0]


def uniforms() -> np.ndarray:
    """Multiples of 2**-53, as draws are: in the middle, and as far out as they get on both sides."""
    rng = np.random.default_rng(0)
    tail = np.r_[np.arange(200), 2.0 ** rng.uniform(0, 53, 5000)]
    u = np.r_[rng.random(20_000), np.floor(tail) * 2.0**-53]
    return np.r_[u, 1 - u[u > 0], 0.5]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_are_scipys(alpha):
    u = uniforms()
    expected = betaincinv(alpha, alpha, u)
    known = np.isfinite(expected)  # for some tails SciPy has no answer
    found = quantiles(u, alpha)
    error = np.abs(found - expected)[known]
    assert known.mean() > 0.9 and np.isfinite(found).all()
    assert error.max() < 2e-10
    small = expected[known] > 1e-290
    assert (error[small] / expected[known][small]).max() < 1e-9


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_rise_and_mirror_each_other(alpha):
    u = np.sort(uniforms())
    found = quantiles(u, alpha)
    assert (np.diff(found) >= -1e-15).all()
    assert found[0] == 0
    assert np.abs(found + quantiles(1 - u, alpha) - 1).max() < 1e-15
    assert quantiles(np.array([0.5]), alpha)[0] == pytest.approx(0.5, abs=1e-14)


def test_an_alpha_of_1_changes_nothing():
    u = uniforms()
    assert np.array_equal(quantiles(u, 1.0), u)
    assert np.array_equal(quantiles(u, 1), u)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_law(alpha):
    sample = quantiles(np.random.default_rng(1).random(20_000), alpha)
    assert kstest(sample, "beta", args=(alpha, alpha)).pvalue > 1e-4
