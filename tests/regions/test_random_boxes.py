"""Boxes as the papers and their code draw them: tables worked out by hand, and closed-form expectations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augdrop import regions
from augdrop.regions.beta_boxes import cutmix_box
from augdrop.regions.boxes import Boxes
from augdrop.regions.random_boxes import below, centred_box, erasing_sides
from tests.regions.cases import draws

N = 20_000


def share(sampler, size, n=N):
    """Each sample's dropped share, float64 [n]."""
    return sampler.sample(draws(n), size).area().numpy() / (size[0] * size[1])


def close(values, expected):
    """Is the mean of independent values within five standard errors of what is expected?"""
    return abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values)) + 1e-12


# Cutout.


@pytest.mark.parametrize(
    ("length", "centres", "pixels"),
    [
        (16, [(0, 0)], 64),
        (16, [(16, 16)], 256),
        (16, [(31, 31)], 81),
        (8, [(3, 30)], 42),
        (64, [(5, 9)], 1024),
        (20, [(8, 8), (20, 24)], 652),
        (5, [(16, 16)], 16),
        (1, [(16, 16)], 0),
    ],
)
def test_cutout_counts(length, centres, pixels):
    half = length // 2
    boxes = [centred_box(y, x, half, half, half, half, 32, 32) for y, x in centres]
    assert Boxes((32, 32), torch.tensor([boxes])).area().item() == pixels


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [
        ((32, 32), 16, 0.19140625),
        ((32, 32), 8, 0.054931640625),
        ((32, 32), 5, 0.0146636962890625),
        ((24, 40), 8, 0.0580555556),
    ],
)
def test_cutout_expectation_over_all_centres(size, length, expected):
    (h, w), a = size, length // 2
    assert (1 - (1 - a / h) ** 2) * (1 - (1 - a / w) ** 2) == pytest.approx(expected, abs=1e-10)
    boxes = [[centred_box(y, x, a, a, a, a, h, w)] for y in range(h) for x in range(w)]
    assert Boxes(size, torch.tensor(boxes)).area().double().mean().item() / (h * w) == pytest.approx(expected)
    assert close(share(regions.CentredBoxes(length), size), expected)


def test_cutout_centres_are_uniform_over_all_pixels():
    boxes = regions.CentredBoxes(2).sample(draws(N), (8, 8)).boxes[:, 0]
    # With a half side of 1 the far corner of a box is its centre and one more, at the border too.
    centres = boxes[:, 2:] - 1
    counts = np.bincount((centres[:, 0] * 8 + centres[:, 1]).numpy(), minlength=64)
    # Chi-square with 63 degrees of freedom: 130 has a chance of 1e-6.
    assert ((counts - N / 64) ** 2 / (N / 64)).sum() < 130


# Random Erasing.


@pytest.mark.parametrize(
    ("size", "area", "ratio", "sides"),
    [
        ((32, 32), 0.1, 1.0, (10, 10)),
        ((32, 32), 0.02, 0.3, (2, 8)),
        ((32, 32), 0.4, 3.33, (37, 11)),
        ((32, 32), 0.2, 2.0, (20, 10)),
        ((24, 40), 0.3, 3.0, (29, 10)),
        ((24, 40), 0.3, 1.0, (17, 17)),
        ((224, 224), 0.25, 0.5, (79, 158)),
        ((32, 32), 0.0001, 1.0, (0, 0)),
    ],
)
def test_random_erasing_sides(size, area, ratio, sides):
    assert erasing_sides(area * size[0] * size[1], ratio, *size) == sides


def test_random_erasing_rejects_until_a_box_fits():
    size = (20, 60)
    region = regions.AreaBoxes((0.3, 0.9), (0.3, 1.0)).sample(draws(N), size)
    sides = region.boxes[:, 0, 2:] - region.boxes[:, 0, :2]
    assert bool((sides[:, 0] < 20).all())
    assert bool((sides[:, 1] < 60).all())
    assert bool((region.area() > 0).all())
    # Where every attempt fails the box is empty; one attempt fails often here.
    once = regions.AreaBoxes((0.3, 0.9), (0.3, 1.0), attempts=1).sample(draws(N), size)
    first = once.area() > 0
    assert 0.2 < first.double().mean() < 0.8
    # The first attempt of a sample is the same draw in either case.
    assert torch.equal(once.boxes[first], region.boxes[first])
    assert regions.AreaBoxes((1.0, 1.0), (1.0, 1.0)).sample(draws(5), (8, 8)).area().tolist() == [0] * 5


def test_random_erasing_mean_area_is_the_truncated_one():
    # By the authors' code: 0.2009 for a share in (.02, .4) and a uniform ratio on 32 × 32, not 0.21.
    assert abs(share(regions.AreaBoxes((0.02, 0.4), (0.3, 1 / 0.3)), (32, 32), 200_000).mean() - 0.2009) < 0.0015


@pytest.mark.parametrize(("log_ratio", "median"), [(False, 1.82), (True, 1.0)])
def test_random_erasing_ratios(log_ratio, median):
    region = regions.AreaBoxes((0.05, 0.05), (0.3, 1 / 0.3), log_ratio).sample(draws(N), (1000, 1000))
    h, w = (region.boxes[:, 0, 2:] - region.boxes[:, 0, :2]).double().unbind(1)
    assert abs((h / w).median() - median) < 0.05


def test_random_erasing_count_and_shared_area():
    several = regions.AreaBoxes((0.1, 0.1), (1.0, 1.0), count=(2, 4)).sample(draws(3000), (64, 64))
    counts = (several.boxes[..., 2] > several.boxes[..., 0]).sum(1)
    assert counts.bincount(minlength=5).tolist()[:2] == [0, 0]
    # Each of three counts has a chance of 1/3: five standard deviations of 26.
    assert all(abs(n - 1000) < 130 for n in counts.bincount().tolist()[2:])
    divided = regions.AreaBoxes((0.1, 0.1), (1.0, 1.0), count=(4, 4), share_area=True).sample(draws(50), (64, 64))
    assert set((divided.boxes[..., 2] - divided.boxes[..., 0]).flatten().tolist()) == {10}  # √(409.6 / 4)


def test_random_erasing_inside_objects():
    objects = np.array([[[2, 3, 12, 23], [20, 5, 30, 9]], [[0, 0, 32, 32], [10, 10, 10, 10]]])
    region = regions.AreaBoxes((0.2, 0.4), count=(1, 2)).sample(draws(2), (32, 32), objects)
    assert region.boxes.shape == (2, 4, 4)
    for b in range(2):
        for i, (y0, x0, y1, x1) in enumerate(region.boxes[b].tolist()):
            top, left, bottom, right = objects[b, i // 2]
            assert (y0, x0, y1, x1) == (0, 0, 0, 0) or (top <= y0 < y1 <= bottom and left <= x0 < x1 <= right)
    assert bool((region.boxes[0, [0, 2], 2] > 0).all())


def test_each_box_has_draws_of_its_own():
    few, many = (regions.AreaBoxes(count=(n, n)).sample(draws(20), (40, 40)).boxes for n in (2, 5))
    assert torch.equal(few, many[:, :2])


# CutMix.


@pytest.mark.parametrize(
    ("size", "lam", "centre", "box", "adjusted"),
    [
        ((32, 32), 0.5, (16, 16), (5, 5, 27, 27), 0.52734375),
        ((32, 32), 0.5, (0, 0), (0, 0, 11, 11), 0.8818359375),
        ((32, 32), 0.5, (31, 31), (20, 20, 32, 32), 0.859375),
        ((32, 32), 0.0, (0, 31), (0, 15, 16, 32), 0.734375),
        ((32, 32), 0.999, (3, 3), (3, 3, 3, 3), 1.0),
        ((24, 40), 0.36, (20, 5), (11, 0, 24, 21), 0.715625),
        ((224, 224), 0.3, (10, 200), (0, 107, 103, 224), 0.7598254),
    ],
)
def test_cutmix_boxes(size, lam, centre, box, adjusted):
    found = cutmix_box(lam, *centre, *size, False)
    assert found == box
    kept = 1 - Boxes(size, torch.tensor([[found]])).area().item() / (size[0] * size[1])
    assert kept == pytest.approx(adjusted, abs=1e-7)
    assert kept >= lam


@pytest.mark.parametrize(
    ("size", "lam", "centre", "rows", "adjusted"),
    [((32, 32), 0.999, (3, 3), (3, 4), 0.9990234375), ((224, 224), 0.3, (10, 200), (0, 104), 0.7574937)],
)
def test_cutmix_boxes_that_keep_odd_sides(size, lam, centre, rows, adjusted):
    y0, x0, y1, x1 = cutmix_box(lam, *centre, *size, True)
    assert (y0, y1) == rows
    assert 1 - (y1 - y0) * (x1 - x0) / (size[0] * size[1]) == pytest.approx(adjusted, abs=1e-7)


@pytest.mark.parametrize(("size", "mean"), [((32, 32), 0.2988), ((224, 224), 0.3171)])
def test_cutmix_pastes_less_than_half(size, mean):
    # Over uniform λ the expectation of (1 - (1 - a/H)²)², a being half the side in whole pixels.
    lam = (np.arange(200_000) + 0.5) / 200_000
    a = (size[0] * np.sqrt(1 - lam)).astype(int) // 2
    exact = ((1 - (1 - a / size[0]) ** 2) ** 2).mean()
    # The published figures were sampled.
    assert exact == pytest.approx(mean, abs=1e-3)
    assert close(share(regions.BetaBoxes(), size), exact)


def test_cutmix_inside_pastes_half():
    side = (32 * np.sqrt((np.arange(200_000) + 0.5) / 200_000)).astype(int)
    assert close(share(regions.BetaBoxes(1.0, "inside"), (32, 32)), (side**2).mean() / 1024)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 3.0])
def test_cutmix_draws_beta(alpha):
    # Placed whole on a large canvas, the pasted share is 1 - λ, and Beta(a, a) has a variance of 1 / (8a + 4).
    pasted = share(regions.BetaBoxes(alpha, "inside"), (4000, 4000))
    assert close(pasted, 0.5)
    assert pasted.var() == pytest.approx(1 / (8 * alpha + 4), rel=0.05)


def test_timm_minmax():
    sides = [v for v in range(int(224 * 0.2), int(224 * 0.8))]
    assert (sides[0], sides[-1]) == (44, 178)
    boxes = regions.MinMaxBoxes(0.2, 0.8).sample(draws(N), (224, 224)).boxes[:, 0]
    found = (boxes[:, 2:] - boxes[:, :2]).flatten()
    assert (found.min().item(), found.max().item()) == (44, 178)
    assert close(share(regions.MinMaxBoxes(0.2, 0.8), (224, 224)), 0.24556)


# CoarseDropout.


def test_holes_lie_inside_with_sides_and_counts_in_range():
    boxes = regions.Holes((1, 3), (4, 6), (0.25, 0.5)).sample(draws(3000), (20, 40)).boxes
    real = boxes[boxes[..., 2] > boxes[..., 0]]
    sides = real[:, 2:] - real[:, :2]
    assert sorted(set(sides[:, 0].tolist())) == [4, 5, 6]
    assert sorted(set(sides[:, 1].tolist())) == list(range(10, 21))
    assert bool((real[:, :2] >= 0).all())
    assert bool((real[:, 2:] <= torch.tensor([20, 40])).all())
    counts = (boxes[..., 2] > boxes[..., 0]).sum(1).bincount(minlength=4).tolist()
    assert counts[0] == 0
    assert all(abs(n - 1000) < 130 for n in counts[1:])


def test_a_hole_larger_than_the_canvas_is_clipped():
    assert regions.Holes((1, 1), (99, 99), (3, 3)).sample(draws(4), (8, 8)).area().tolist() == [24] * 4


def test_everywhere_is_everywhere():
    assert regions.Everywhere().sample(draws(3), (5, 7)).area().tolist() == [35] * 3


@pytest.mark.parametrize(("u", "n", "expected"), [(0.0, 5, 0), (0.999, 5, 4), (1 - 2**-53, 2**40, 2**40 - 1)])
def test_below(u, n, expected):
    assert below(u, n) == expected


@pytest.mark.parametrize("name", ["CentredBoxes", "AreaBoxes", "Holes", "BetaBoxes", "MinMaxBoxes"])
def test_boxes_do_not_depend_on_the_batch(name):
    sampler = getattr(regions, name)()
    whole = sampler.sample(draws(9), (30, 20))
    some = draws(9)._replace(keys=np.array([4, 4, 7]), epochs=np.zeros(3, np.int64))
    assert torch.equal(sampler.sample(some, (30, 20)).boxes, whole.boxes[[4, 4, 7]])
    other = sampler.sample(draws(9, epoch=1), (30, 20))
    assert not torch.equal(other.boxes, whole.boxes)
