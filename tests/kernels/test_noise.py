"""Noise: its laws, its ranges, and whom it depends on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from augdrop import fills, rng
from augdrop.kernels import noise
from augdrop.kernels.dispatch import DTYPES, apply
from tests.kernels.cases import WHERES, alike, plan_for

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [d for d in DTYPES if d not in FLOATS]
SIDE = 400  # 160 000 values a plane


def everywhere(fill, dtype, batch=1, channels=1, side=SIDE, **options):
    """A canvas of nothing but noise."""
    plan = plan_for(WHERES["everywhere"], fill, batch, (side, side), p=1, **options)
    return apply(torch.zeros(batch, channels, side, side, dtype=dtype), plan)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_uniform_integers_fill_their_range(dtype):
    top = 1 if dtype == torch.bool else min(torch.iinfo(dtype).max, 2**31 - 1)
    values = everywhere(fills.Noise(), dtype).double().flatten() / top
    assert values.min() >= 0
    assert values.max() <= 1
    # Five standard errors; a discrete law of n steps has a variance of (n² - 1) / 12.
    variance = ((top + 1) ** 2 - 1) / 12 / top**2
    assert abs(values.mean() - 0.5) < 5 * math.sqrt(variance / SIDE**2)
    assert abs(values.var() / variance - 1) < 0.02
    if top == 255:
        counts = (values * 255).round().long().bincount(minlength=256).double()
        # Chi-square with 255 degrees of freedom: 380 has a chance of 1e-6.
        assert ((counts - SIDE**2 / 256) ** 2 / (SIDE**2 / 256)).sum() < 380


def test_bounds_of_uniform_integers_are_included():
    assert everywhere(fills.Noise(low=-3, high=4), torch.int16).unique().tolist() == list(range(-3, 5))
    assert everywhere(fills.Noise(low=7, high=7), torch.uint8).unique().tolist() == [7]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_uniform_floats(dtype):
    values = everywhere(fills.Noise(), dtype).double().flatten().numpy()
    assert values.min() >= 0
    # Half precision rounds the largest to 1.
    assert values.max() < 1 if dtype.itemsize > 2 else values.max() <= 1
    assert kstest(values, "uniform").pvalue > 1e-4 or dtype.itemsize == 2
    assert abs(values.mean() - 0.5) < 5 / math.sqrt(12 * SIDE**2)
    wide = everywhere(fills.Noise(low=-2, high=6), dtype).double()
    assert wide.min() >= -2
    assert wide.max() <= 6
    assert abs(wide.mean() - 2) < 5 * 8 / math.sqrt(12 * SIDE**2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_normal_floats(dtype):
    values = everywhere(fills.Noise("normal"), dtype).double().flatten().numpy()
    assert abs(values.mean()) < 5 / SIDE
    assert abs(values.std() - 1) < 5 / math.sqrt(2 * SIDE**2)
    assert kstest(values, "norm").pvalue > 1e-4 or dtype.itemsize == 2
    moved = everywhere(fills.Noise("normal", mean=3, std=0.5), dtype).double()
    assert abs(moved.mean() - 3) < 5 * 0.5 / SIDE + (0.002 if dtype == torch.bfloat16 else 0)
    assert abs(moved.std() - 0.5) < 0.005


def test_normal_integers_are_rounded_and_clipped():
    values = everywhere(fills.Noise("normal"), torch.uint8).double()
    # Half and a quarter of 255, clipped at two standard deviations.
    assert (values.min(), values.max()) == (0, 255)
    assert abs(values.mean() - 127.5) < 1
    assert abs((values == 0).double().mean() - 0.0228) < 0.002
    tight = everywhere(fills.Noise("normal", mean=10, std=0.2), torch.uint8)
    assert tight.unique().tolist() == [9, 10, 11]


def test_the_table_of_quantiles_is_symmetric_and_ends_at_half_a_step():
    table = noise.quantiles()
    assert torch.allclose(table, -table.flip(0), atol=1e-6)
    assert 6.2 < table[-1] < 6.4
    assert bool((table.diff() > 0).all())


@pytest.mark.parametrize("key", [0, -1, 2**63 - 1, 123456789])
def test_element_e_is_word_e_of_the_samples_own_philox(key):
    law = noise.law(torch.float64, False, 0.0, 1.0)
    values = noise.values(law, noise.words(torch.tensor([key]), 40), torch.float64)[0].numpy()
    counter = np.zeros((10, 4), np.uint32)
    counter[:, 0] = np.arange(10)
    halves = np.array([key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF], np.uint32)
    words = rng.philox_reference(counter, halves).ravel()
    assert values.tolist() == (words >> 8).astype(np.float64).__mul__(2.0**-24).tolist()


@pytest.mark.parametrize("narrow", [False, True])
def test_compiled_words_are_the_definitions(narrow):
    keys = torch.tensor([0, -1, 2**63 - 1, 123456789])
    for count in (1, 4, 7, 100):
        assert torch.equal(noise.words_compiled(keys, count, narrow), noise.words(keys, count, narrow))


@pytest.mark.parametrize(("low", "high", "narrow"), [(0, 255, True), (100, 163, True), (7, 8, True), (0, 199, False)])
def test_element_e_is_byte_e_where_a_byte_is_enough(low, high, narrow):
    plan = plan_for(WHERES["everywhere"], fills.Noise(low=low, high=high), 2, (9, 7), p=1)
    painted = apply(torch.zeros(2, 3, 9, 7, dtype=torch.uint8), plan).flatten(1)
    words = noise.words(plan.noise, painted.shape[1])
    bytes_ = words.numpy().astype(np.uint32).view(np.uint8)[:, : painted.shape[1]].astype(np.int64)
    choices = high - low + 1
    drawn = torch.from_numpy(bytes_) * choices >> 8 if narrow else words * choices >> 32
    assert torch.equal(painted, (low + drawn).to(torch.uint8))


def test_noise_knows_its_sample_and_place_and_nothing_else():
    plan = plan_for(WHERES["everywhere"], fills.Noise(), 4, (20, 30), p=1)
    x = torch.zeros(4, 2, 3, 20, 30)
    whole = apply(x, plan)
    assert len({v.numpy().tobytes() for v in whole.flatten(0, 2)}) == 24
    index = torch.tensor([2, 0])
    assert alike(apply(x[index], plan.take(index)), whole[index])
    # Other regions cut pieces out of the same noise, on any background.
    for name in ("box", "turned grid", "pixels"):
        part = plan_for(WHERES[name], fills.Noise(), 4, (20, 30), p=1)
        painted = apply(x - 1, part)
        assert alike(painted, torch.where(part.mask()[:, None, None], whole, x - 1))


def test_noise_per_channel_is_one_colour_a_box():
    plan = plan_for(WHERES["boxes"], fills.Noise(per="channel"), 6, p=1)
    painted = apply(torch.full((6, 3, 37, 53), -1.0), plan)
    colours = set()
    for b, boxes in enumerate(plan.region.boxes.tolist()):
        y0, x0, y1, x1 = [box for box in boxes if box[2] > box[0]][-1]
        patch = painted[b, :, y0:y1, x0:x1].flatten(1)
        assert bool((patch == patch[:, :1]).all())
        colours.update(patch[:, 0].tolist())
    assert len(colours) == 18
    assert min(colours) >= 0


def test_half_precision_rounds_like_torch():
    for dtype in (torch.float16, torch.bfloat16):
        for fill in (fills.Noise(low=-1e-6, high=1e-6), fills.Noise(high=7e4), fills.Noise("normal", mean=0, std=3e4)):
            narrow, wide = everywhere(fill, dtype, side=100), everywhere(fill, torch.float32, side=100)
            assert alike(narrow, wide.to(dtype))
