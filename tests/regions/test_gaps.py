"""Gaps between rare events: the series of the logarithm against NumPy's, and the geometric law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from augdrop.memory import data
from augdrop.regions.gaps import ROOM, blocks_for, gaps, skip_scale
from augdrop.rng import uniforms_reference
from tests.regions.cases import draws


@njit
def drawn(stream, keys, epochs, first, blocks, scale, limit):
    room, out = np.empty(ROOM), np.empty((len(keys), 2 * blocks), np.int64)
    for b in range(len(keys)):
        found = gaps(stream, keys[b], epochs[b], first, blocks, scale, limit, data(room))
        for i in range(2 * blocks):
            out[b, i] = found[i]
    return out


@pytest.mark.parametrize("p", [1e-7, 1e-3, 0.01, 0.0624, 0.5, 0.999, 1.0])
def test_gaps_are_those_of_the_logarithm(p):
    stream, keys, epochs = draws(3000)
    u = uniforms_reference(stream, keys, epochs, 3, 64)
    exact = np.log(1 - u) * (1 / math.log1p(-p) if p < 1 else 0.0)
    found = drawn(stream, keys, epochs, 3, 32, skip_scale(p), 50_000)
    expected = np.minimum(np.floor(exact), 50_000)
    # Two logarithms may round to two sides of a whole number.
    near = np.abs(exact - np.rint(exact)) < 1e-9 * (1 + exact)
    assert np.array_equal(found[~near], expected[~near])
    assert (np.abs(found - expected)[near] <= 1).all()


def test_gaps_are_geometric():
    p, n = 0.2, 4000
    found = drawn(*draws(n), 2, 8, skip_scale(p), 10**6)
    counts = np.bincount(found.ravel().clip(max=20), minlength=21)
    law = np.r_[p * (1 - p) ** np.arange(20), (1 - p) ** 20] * found.size
    # Chi-square with 20 degrees of freedom: 70 has a chance of 2e-7.
    assert ((counts - law) ** 2 / law).sum() < 70


def test_there_is_room_for_all_blocks():
    assert [blocks_for(v) for v in (0.0, 1.0, 10.4, 1e9)] == [4, 4, 9, ROOM // 6]
