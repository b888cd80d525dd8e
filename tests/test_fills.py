import re

import pytest
import torch

import augdrop as ad


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"low": 3, "high": 1}, "low=3, high=1; expected low <= high"),
        ({"low": "a"}, "low: got 'a'; expected a finite number"),
        ({"high": float("nan")}, "high: got nan"),
        ({"mean": float("inf")}, "mean: got inf"),
        ({"std": -1.0}, "std: got -1.0; expected 0 or more"),
        ({"distribution": "gauss"}, "distribution: got 'gauss'"),
    ],
)
def test_noise_of_no_law_is_refused(fields, said):
    with pytest.raises(ad.AugDropError, match=re.escape(said)):
        ad.Noise(**fields)


def test_noise_says_what_was_given():
    assert repr(ad.Noise()) == "Noise()"
    noise = ad.Noise("normal", std=0.5)
    assert repr(noise) == "Noise(distribution='normal', std=0.5)"
    assert eval(repr(noise), {"Noise": ad.Noise}) == noise


def test_a_range_that_is_empty_with_its_default_end():
    with pytest.raises(ad.AugDropError, match="low=2, high=1"):
        ad.RandomErasing(fill=ad.Noise(low=2), p=1.0, seed=0)(torch.zeros(1, 3, 8, 8))


def test_equal_fills_paint_equal_bits():
    for zero in (0.0, -0.0, (0.0,), (-0.0,)):
        painted = ad.Cutout(16, fill=zero, seed=0)(torch.ones(1, 1, 8, 8))
        assert not bool(torch.signbit(painted).any())
