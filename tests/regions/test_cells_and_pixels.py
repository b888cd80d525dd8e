"""Hide-and-Seek's cells, the strongest cells, and single pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augdrop import regions
from augdrop.errors import AugDropError
from augdrop.regions.mask import bernoulli_map
from augdrop.regions.random_cells import check_scores, top_cells
from tests.regions.cases import draws


def test_hide_and_seek_has_6_by_6_cells_of_44_in_224():
    region = regions.RandomCells((44,), 1.0).sample(draws(1), (224, 224))
    assert region.cells[0, :6, :6].all()
    half = regions.RandomCells((44,), 0.5).sample(draws(50), (224, 224))
    starts = [*range(0, 224, 44)]
    assert len(starts) == 6
    assert 224 - starts[-1] == 4
    for y in starts:
        for x in starts:
            square = half.mask()[:, y : y + 44, x : x + 44].flatten(1)
            assert torch.equal(square.all(1), square.any(1))
    areas = half.area()
    assert len(set(areas.tolist())) > 10


def test_hide_and_seek_expectation():
    n = 5000
    area = regions.RandomCells().sample(draws(n), (224, 224)).area().numpy() / 224**2
    # One in five samples draws no grid; of the others half is hidden.
    assert abs((area > 0).mean() - 0.8) < 5 * math.sqrt(0.16 / n)
    assert abs(area.mean() - 0.4) < 5 * area.std() / math.sqrt(n)


@pytest.mark.parametrize(("ratio", "side"), [(0.5, 7), (0.1, 3), (0.9, 5)])
def test_cells_hide_by_themselves(ratio, side):
    n = 4000
    region = regions.RandomCells((side,), ratio).sample(draws(n), (20, 30))
    cells = region.cells.double()
    assert cells.shape[1:] == (-(-20 // side), -(-30 // side))
    # Five standard deviations of a share of n; and no two cells know of each other.
    assert bool(((cells.mean(0) - ratio).abs() < 5 * math.sqrt(ratio * (1 - ratio) / n)).all())
    together = np.corrcoef(cells.flatten(1).T.numpy())
    assert np.abs(together - np.eye(len(together))).max() < 6 / math.sqrt(n)


def test_no_cells_at_all():
    assert regions.RandomCells((0,)).sample(draws(3), (8, 9)).area().tolist() == [0] * 3
    assert regions.RandomCells((4,), 0.0).sample(draws(3), (8, 9)).area().tolist() == [0] * 3
    assert regions.RandomCells((100,), 1.0).sample(draws(3), (8, 9)).area().tolist() == [72] * 3


def test_top_cells_take_ties_by_index():
    scores = torch.tensor([[[1.0, 5.0, 5.0], [5.0, 0.0, 2.0]]])
    for k, chosen in ((0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 5]), (6, [0, 1, 2, 3, 4, 5])):
        assert top_cells(scores, torch.tensor([k])).flatten().nonzero().flatten().tolist() == chosen


def test_the_six_strongest_of_seven_by_seven():
    scores = torch.rand(5, 7, 7, generator=torch.manual_seed(0))
    region = regions.TopCells(6).sample(draws(5), (224, 224), scores)
    assert region.area().tolist() == [6 * 32 * 32] * 5
    for b in range(5):
        assert set(scores[b].flatten().topk(6).indices.tolist()) == set(
            region.cells[b].flatten().nonzero().flatten().tolist()
        )


def test_a_drawn_number_of_cells_is_at_least_one():
    scores = torch.rand(2000, 4, 4, generator=torch.manual_seed(0))
    counts = regions.TopCells(alpha=1.0).sample(draws(2000), (16, 16), scores).cells.flatten(1).sum(1)
    assert counts.min() == 1
    assert counts.max() == 15
    assert abs(counts.double().mean() - (1 + sum(range(16))) / 16) < 5 * 4.6 / math.sqrt(2000)


@pytest.mark.parametrize("scores", [torch.rand(3, 4, 4), torch.rand(2, 2, 4, 4), torch.rand(2, 0, 4), torch.rand(4)])
def test_scores_of_another_shape_are_refused(scores):
    with pytest.raises(AugDropError, match="scores"):
        check_scores(scores, 2)


def test_the_error_of_flat_scores_shows_them_as_they_came():
    with pytest.raises(AugDropError, match=r"got \(3, 16\); .* scores.unflatten\(1, \(h, w\)\)"):
        check_scores(torch.rand(3, 16), 3)
    with pytest.raises(AugDropError, match=r"got ndarray; expected a tensor \[2, h, w\]"):
        check_scores(np.zeros((2, 4, 4)), 2)  # type: ignore[arg-type]
    with pytest.raises(AugDropError, match=r"got \(2, 1, 0, 4\); .* Score this very batch"):
        check_scores(torch.rand(2, 1, 0, 4), 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_are_finite(value):
    with pytest.raises(AugDropError, match="NaN or infinite"):
        regions.TopCells(2).sample(draws(2), (8, 8), torch.full((2, 4, 4), value))


def test_scores_of_partners_and_of_videos():
    scores = torch.rand(3, 4, 5, generator=torch.manual_seed(0))
    own = regions.TopCells(6).sample(draws(3), (16, 20), scores).cells
    of = np.array([2, 0, 1])
    assert torch.equal(regions.TopCells(6).sample(draws(3), (16, 20), scores, of).cells, own[of])
    assert torch.equal(regions.TopCells(6).sample(draws(6), (16, 20), scores).cells, own.repeat_interleave(2, 0))
    of = np.array([4, 5, 0, 1, 2, 3])
    assert torch.equal(regions.TopCells(6).sample(draws(6), (16, 20), scores, of).cells, own[of // 2])
    with pytest.raises(AugDropError, match="4 maps"):
        regions.TopCells(6).sample(draws(4), (16, 20), scores)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.uint8])
def test_scores_of_any_dtype_and_strides(dtype):
    scores = torch.randint(0, 100, (3, 6, 7), generator=torch.manual_seed(0))
    expected = regions.TopCells(20).sample(draws(3), (12, 14), scores.float())
    assert regions.TopCells(20).sample(draws(3), (12, 14), scores.to(dtype)) == expected
    turned = scores.to(dtype).mT.contiguous().mT
    assert regions.TopCells(20).sample(draws(3), (12, 14), turned) == expected


def test_scores_may_have_a_channel_axis_or_no_batch_axis():
    assert check_scores(torch.rand(2, 1, 4, 5), 2).shape == (2, 4, 5)
    assert check_scores(torch.rand(4, 5), 1).shape == (1, 4, 5)


@pytest.mark.parametrize("p", [0.001, 0.01, 0.06, 0.0625, 0.1, 0.5, 0.97])
def test_pixels_drop_by_themselves(p):
    n, size = 2000, (13, 11)
    pixels = regions.RandomPixels(p).sample(draws(n), size).mask().numpy()
    total = n * 143
    assert abs(pixels.mean() - p) < 5 * math.sqrt(p * (1 - p) / total)
    # Every place alike: chi-square with 142 degrees of freedom, 250 has a chance of 1e-7.
    counts = pixels.sum(0)
    assert ((counts - n * p) ** 2 / (n * p * (1 - p))).sum() < 250
    # ... and neighbours know nothing of each other.
    both = (pixels[:, :, 1:] & pixels[:, :, :-1]).mean()
    assert abs(both - p * p) < 6 * math.sqrt(p * p / total) + 1e-5


@pytest.mark.parametrize(("p", "expected"), [(0.0, 0), (-1.0, 0), (1.0, 30), (2.0, 30)])
def test_certain_pixels(p, expected):
    stream, keys, epochs = draws(3)
    assert bernoulli_map(stream, keys, epochs, np.full(3, p), 5, 6).sum((1, 2)).tolist() == [expected] * 3


@pytest.mark.parametrize(
    "sampler", [regions.RandomCells((0, 3, 5)), regions.RandomPixels(0.02), regions.RandomPixels(0.3)]
)
def test_cells_and_pixels_do_not_depend_on_the_batch(sampler):
    whole = sampler.sample(draws(9), (30, 20))
    some = draws(9)._replace(keys=np.array([4, 4, 7]), epochs=np.zeros(3, np.int64))
    assert sampler.sample(some, (30, 20)) == whole.take(torch.tensor([4, 4, 7]))
