"""Mixup by its card: nothing at a weight of one, nobody first at a half, targets that sum to one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import augdrop as ad
from tests.transforms.cases import same

T = ad.Mixup(alpha=1.0, num_classes=5, seed=0)


def mixed(x, y, opacity):
    """A batch of two, each mixed with the other at a partner's weight that is given."""
    plan = dataclasses.replace(
        T.plan(x.shape, keys=[0, 1]),
        hit=torch.ones(2, dtype=torch.bool),
        partner=torch.tensor([1, 0]),
        opacity=torch.full((2,), opacity, dtype=torch.float64),
    )
    return T(x, y, plan=plan)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_weights_of_one_and_of_a_half(dtype):
    x, y = (torch.rand(2, 3, 16, 24) * 255).to(dtype), torch.tensor([1, 4])
    alone, target = mixed(x, y, 0.0)
    assert same(alone, x) and torch.equal(target, torch.eye(5)[y])
    half, target = mixed(x, y, 0.5)
    swapped, other = mixed(x.flip(0), y.flip(0), 0.5)
    assert same(half, swapped) and same(half[0], half[1])
    assert torch.equal(target, other) and target[0].tolist() == [0, 0.5, 0, 0, 0.5]


def test_targets_sum_to_one_and_weigh_as_pixels_do():
    x, y = torch.eye(5)[:, :, None, None].expand(5, 5, 8, 8).contiguous(), torch.arange(5)
    for keys in np.arange(200).reshape(40, 5):
        images, target = T(x, y, keys=keys)
        torch.testing.assert_close(images[:, :, 0, 0], target)
        torch.testing.assert_close(target.sum(1), torch.ones(5))


def test_the_law_of_the_weights():
    # Beta(α, α): a mean of 1/2 and a variance of 1 / (4 (2α + 1)).
    for alpha in (0.2, 1.0, 4.0):
        lam = 1 - ad.Mixup(alpha=alpha, seed=1).plan((20_000, 3, 4, 4), keys=range(20_000)).opacity.numpy()
        assert abs(lam.mean() - 0.5) < 5 * lam.std() / 20_000**0.5
        assert lam.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
