"""DropBlock: seeds only where a block fits, the published expectations, and room that knows no batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augdrop import regions
from augdrop.regions.blocks import Blocks, block_gamma, grow, most_seeds
from tests.regions.cases import draws


def blocks(size, block, *corners):
    """One sample's blocks by their first corners."""
    return Blocks(size, torch.tensor([[*corners, (-1, -1)]]), block)


@pytest.mark.parametrize(
    ("block", "corners", "pixels"),
    [
        # Centred on (4, 4), and on (3, 3) and (4, 4).
        ((3, 3), [(3, 3)], 9),
        ((3, 3), [(2, 2), (3, 3)], 14),
        ((2, 2), [(3, 3)], 4),
        ((8, 8), [(0, 0)], 64),
        ((3, 2), [], 0),
    ],
)
def test_forced_seeds(block, corners, pixels):
    region = blocks((8, 8), block, *corners)
    assert region.area().item() == pixels
    for y, x in corners:
        assert bool(region.mask()[0, y : y + block[0], x : x + block[1]].all())


def expected_drop(size, block, p):
    """The mean over positions of 1 - (1 - γ)^n, n being the blocks that can cover a position."""
    gamma = block_gamma(p, block, size)
    covers = [
        np.minimum(np.minimum(np.arange(n) + 1, n - np.arange(n)), min(b, n - b + 1))
        for n, b in zip(size, block, strict=True)
    ]
    return (1 - (1 - gamma) ** np.outer(*covers)).mean()


@pytest.mark.parametrize(
    ("side", "block", "p", "expected"),
    [
        (14, 7, 0.1, 0.0929),
        (28, 7, 0.1, 0.0939),
        (56, 7, 0.1, 0.0946),
        (8, 3, 0.1, 0.0947),
        (7, 7, 0.1, 0.1000),
        (32, 5, 0.2, 0.1794),
    ],
)
def test_expected_drop(side, block, p, expected):
    exact = expected_drop((side, side), (block, block), p)
    assert exact == pytest.approx(expected, abs=5e-5)
    n = 20_000
    area = regions.RandomBlocks(p, block).sample(draws(n), (side, side)).area().numpy() / side**2
    assert abs(area.mean() - exact) < 5 * area.std() / math.sqrt(n)


def test_seeds_are_where_a_block_fits_and_nowhere_else():
    region = regions.RandomBlocks(0.6, 3).sample(draws(3000), (8, 6))
    corners = region.corners[region.corners[..., 0] >= 0]
    counts = np.bincount((corners[:, 0] * 4 + corners[:, 1]).numpy(), minlength=24)
    assert len(counts) == 24
    gamma = block_gamma(0.6, (3, 3), (8, 6))
    assert np.all(np.abs(counts - 3000 * gamma) < 5 * math.sqrt(3000 * gamma))


def test_corners_ascend_and_end_with_none():
    corners = regions.RandomBlocks(0.3, 2).sample(draws(200), (12, 9)).corners
    place = torch.where(corners[..., 0] >= 0, corners[..., 0] * 9 + corners[..., 1], 10_000)
    steps = place.diff(dim=1)
    assert bool(((steps > 0) | (place[:, 1:] == 10_000)).all())
    assert torch.equal(corners[..., 0] < 0, corners[..., 1] < 0)


@pytest.mark.parametrize(
    ("p", "side", "size"), [(0.1, 1, (64, 64)), (1.0, 3, (9, 9)), (0.0, 3, (9, 9)), (0.5, 50, (9, 20))]
)
def test_there_is_room_for_all_seeds(p, side, size):
    region = regions.RandomBlocks(p, side).sample(draws(500), size)
    block = region.block
    gamma, valid = block_gamma(p, block, size), [n - b + 1 for n, b in zip(size, block, strict=True)]
    assert region.corners.shape[1] == most_seeds(gamma, *valid)
    seeds = (region.corners[..., 0] >= 0).sum(1)
    mean = gamma * valid[0] * valid[1]
    assert abs(seeds.double().mean() - mean) <= 5 * math.sqrt(mean * (1 - gamma) / 500) + 1e-9


def test_plans_do_not_depend_on_the_batch():
    sampler = regions.RandomBlocks(0.2, 4)
    whole = sampler.sample(draws(9), (30, 20))
    some = draws(9)._replace(keys=np.array([4, 4, 7]), epochs=np.zeros(3, np.int64))
    assert sampler.sample(some, (30, 20)) == whole.take(torch.tensor([4, 4, 7]))


def test_block_sizes_are_pixels_or_a_share_and_never_larger_than_the_canvas():
    assert regions.RandomBlocks(0.1, 5).sample(draws(1), (20, 30)).block == (5, 5)
    assert regions.RandomBlocks(0.1, 0.25).sample(draws(1), (20, 30)).block == (5, 5)
    assert regions.RandomBlocks(0.1, 25).sample(draws(1), (20, 30)).block == (20, 25)
    assert regions.RandomBlocks(0.1, 0.001).sample(draws(1), (20, 30)).block == (1, 1)


@pytest.mark.parametrize(
    ("p", "block", "size", "gamma"), [(0.1, (7,), (14,), 0.1 / 7 * 14 / 8), (0.9, (2, 2), (2, 2), 0.9)]
)
def test_gamma(p, block, size, gamma):
    assert block_gamma(p, block, size) == pytest.approx(gamma)


def test_gamma_is_a_probability():
    assert block_gamma(1.0, (2, 2), (3, 3)) == pytest.approx(9 / 16)
    assert block_gamma(1.0, (1, 1), (3, 3)) == 1
    assert block_gamma(5.0, (1,), (4,)) == 1


@pytest.mark.parametrize("block", [(3,), (2, 3), (2, 1, 3)])
def test_grow_in_one_two_and_three_dimensions(block):
    valid = (5, 4, 6)[: len(block)]
    seeds = torch.rand(2, 3, *valid, generator=torch.manual_seed(len(block))) < 0.2
    expected = torch.zeros(2, 3, *(v + b - 1 for v, b in zip(valid, block, strict=True)), dtype=torch.bool)
    for n, c, *at in seeds.nonzero().tolist():
        expected[(n, c, *(slice(a, a + b) for a, b in zip(at, block, strict=True)))] = True
    assert torch.equal(grow(seeds, block), expected)
