"""GridMask's lattice: counts worked out from its definition, turned by real arithmetic, and exact expectations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augdrop import regions
from augdrop.regions import Grid
from augdrop.regions.random_grid import stripe_width
from tests.regions.cases import draws, grid


def authors_rule(size, period, width, offset):
    """The squares that striping a diagonal canvas and cropping its centre leaves, without rotation: bool [H, W]."""
    side = math.ceil(math.hypot(*size))
    keep = np.ones((side, side), bool)
    for i in range(-1, side // period + 1):
        for axis, start in enumerate(offset):
            low, high = (min(max(period * i + start + end, 0), side) for end in (0, width))
            keep[(slice(None),) * axis + (slice(low, high),)] = False
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    return keep[top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize(
    ("size", "period", "ratio", "offset", "dropped"),
    [
        ((224, 224), 96, 0.6, (0, 0), 9216),
        ((224, 224), 96, 0.6, (50, 13), 6640),
        ((224, 224), 200, 0.6, (150, 199), 6400),
        ((224, 320), 100, 0.5, (10, 20), 18600),
        ((32, 32), 8, 0.5, (0, 0), 256),
        ((32, 32), 7, 0.5, (2, 2), 196),
    ],
)
def test_counts_without_rotation(size, period, ratio, offset, dropped):
    region = grid(size, period, stripe_width(period, ratio, True), offset)
    assert np.array_equal(region.mask()[0].numpy(), authors_rule(size, period, math.ceil(period * ratio), offset))
    assert region.area().item() == dropped


@pytest.mark.parametrize(
    ("size", "period", "ratio", "stripes"), [((224, 224), 96, 0.6, 40960), ((32, 32), 8, 0.5, 768)]
)
def test_stripes_are_what_squares_leave(size, period, ratio, stripes):
    width = stripe_width(period, ratio, True)
    assert grid(size, period, width, stripes=True).area().item() == stripes
    for angle in (0, 30, 90, 233):
        squares, rest = (grid(size, period, width, (3, 5), angle, stripes=s).mask() for s in (False, True))
        assert torch.equal(squares, ~rest)


@pytest.mark.parametrize(
    ("size", "period", "ratio", "offset", "angle", "dropped"),
    [
        ((224, 224), 120, 0.6, (7, 31), 45, 7735),
        ((224, 224), 120, 0.6, (7, 31), 90, 9216),
        ((224, 320), 100, 0.5, (10, 20), 30, 18062),
    ],
)
def test_counts_of_a_turned_grid(size, period, ratio, offset, angle, dropped):
    # The published counts round to the nearest pixel their own way: equal to within the pixels on the squares' edges.
    region = grid(size, period, stripe_width(period, ratio, True), offset, angle)
    mask = region.mask()[0].numpy()
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & mask
    assert abs(int(mask.sum()) - dropped) <= int((mask & ~inner).sum())


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 123.4, 180, 271, 359])
def test_a_turned_grid_is_the_lattice_seen_through_a_rotation(angle):
    size, period, width, offset = (40, 61), 13, 5, (4, 9)
    side = math.ceil(math.hypot(*size))
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    y, x = y + (side - size[0]) // 2 + 0.5 - side / 2, x + (side - size[1]) // 2 + 0.5 - side / 2
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    v = (sin * x + cos * y + side / 2 - offset[0]) % period
    u = (cos * x - sin * y + side / 2 - offset[1]) % period
    # Fixed point and floating point may differ where a centre falls on an edge.
    clear = np.ones(size, bool)
    for phase in (u, v):
        clear &= np.minimum(np.abs(phase - width), np.minimum(phase, period - phase)) > 1e-5
    mask = grid(size, period, width, offset, angle).mask()[0].numpy()
    assert clear.mean() > 0.5 or angle % 45 == 0
    assert np.array_equal(mask[clear], ((u >= width) & (v >= width))[clear])


@pytest.mark.parametrize(("period", "ratio", "expected"), [(96, 0.6, 0.1566840), (7, 0.5, 0.1836735)])
def test_expectation_over_all_offsets(period, ratio, expected):
    width = stripe_width(period, ratio, True)
    assert ((period - width) / period) ** 2 == pytest.approx(expected, abs=1e-7)
    y, x = torch.meshgrid(torch.arange(period), torch.arange(period), indexing="ij")
    offsets = torch.stack([y, x], -1).flatten(0, 1)
    n = torch.ones(len(offsets), dtype=torch.int64)
    for size in ((40, 40), (33, 57)):
        lattice = Grid(size, n * period, n * width, offsets, torch.zeros(len(n)).double())
        assert lattice.area().sum().item() == (period - width) ** 2 * size[0] * size[1]


@pytest.mark.parametrize(("ratio", "mean"), [(0.4, 0.360), (0.5, 0.250), (0.6, 0.159)])
def test_mean_drop_of_the_published_setting(ratio, mean):
    area = regions.RandomGrid((96, 223), ratio).sample(draws(4000), (224, 224)).area().double() / 224**2
    assert abs(area.mean() - mean) < 5 * area.std() / math.sqrt(4000) + 5e-4


def test_the_sampler_keeps_to_its_ranges():
    region = regions.RandomGrid((5, 9), 0.6).sample(draws(5000), (32, 40))
    assert region.period.unique().tolist() == [5, 6, 7, 8, 9]
    assert torch.equal(region.width, torch.ceil(region.period * 0.6).long())
    assert bool((region.offset >= 0).all())
    assert bool((region.offset < region.period[:, None]).all())
    assert region.angle.unique().tolist() == list(range(360))
    assert regions.RandomGrid((5, 9), rotate=1).sample(draws(9), (32, 40)).angle.tolist() == [0] * 9


def test_without_a_drawn_offset_the_image_begins_with_a_square():
    region = regions.RandomGrid((0.25, 0.25), 0.5, rounding="down", rotate=1, random_offset=False).sample(
        draws(1), (32, 48)
    )
    square = region.mask()[0, :8, :8]
    assert bool(square[:4, :4].all())
    assert int(square.sum()) == 16


@pytest.mark.parametrize(
    ("period", "ratio", "up", "width"),
    [
        (96, 0.6, True, 58),
        (7, 0.5, True, 4),
        (7, 0.5, False, 4),
        (10, 0.95, False, 9),
        (2, 0.9, False, 1),
        (5, 2, True, 5),
    ],
)
def test_stripe_widths(period, ratio, up, width):
    assert stripe_width(period, ratio, up) == width
