"""Pairing: partners are other samples, by their draws and not by their places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augdrop.pairing import pair


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.sampled_from(["sample", "pair", "batch"]))
def test_nobody_is_its_own_partner_and_everybody_is_used_once(n, seed, per):
    partner, lead = pair(np.random.default_rng(seed).random(n), per)
    assert sorted(partner) == list(range(n))
    assert (partner != np.arange(n)).all()
    assert len(np.unique(lead)) == {"sample": n, "pair": n // 2, "batch": 1}[per]


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.sampled_from(["sample", "pair", "batch"]))
def test_pairing_follows_the_samples_when_the_batch_is_shuffled(n, seed, per):
    rng = np.random.default_rng(seed)
    draw, order = rng.random(n), rng.permutation(n)
    partner, lead = pair(draw, per)
    shuffled_partner, shuffled_lead = pair(draw[order], per)
    assert (order[shuffled_partner] == partner[order]).all()
    assert (order[shuffled_lead] == lead[order]).all()


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
def test_one_and_none(per):
    assert pair(np.array([0.3]), per)[0].tolist() == [0]
    assert pair(np.array([]), per)[0].tolist() == []


def test_pairs_take_from_each_other_and_an_odd_one_joins_the_last_pair():
    partner, lead = pair(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "pair")
    assert partner.tolist() == [1, 0, 3, 4, 2]
    assert lead.tolist() == [0, 0, 2, 2, 2]
