"""What every kind of region promises, against its mask and against pixels counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from augdrop.errors import AugDropError
from augdrop.kernels.coverage import shown
from augdrop.memory import ahead, data
from augdrop.regions import Mask, spans
from augdrop.regions.base import centres
from tests.regions.cases import EVERY, SIZES, regions_of

REGIONS = {size: regions_of(size) for size in SIZES}

every_kind = pytest.mark.parametrize(("size", "name"), EVERY)


@njit
def _by_rows(kind, params, bits, height, width, each_row):
    """The mask that runs make up, asking for every row or only for those that differ."""
    samples, n_params = params.shape
    rows, columns = bits.shape[1:]
    runs = np.empty(3 * spans.most_spans(kind, n_params, width), np.int32)
    mask = np.zeros((samples, height, width), np.bool_)
    most = 0
    for b in range(samples):
        own, flags = ahead(data(params), b * n_params), ahead(data(bits), (b if len(bits) > 1 else 0) * rows * columns)
        y = 0
        while y < height:
            n, until = spans.row_spans(kind, own, n_params, flags, rows, columns, y, width, data(runs))
            most = max(most, n)
            last = y + 1 if each_row else min(until, height)
            for i in range(n):
                mask[b, y:last, runs[3 * i] : runs[3 * i + 1]] = True
            y = last
    return mask, most


@every_kind
def test_runs_are_the_mask(size, name):
    region = REGIONS[size][name]
    kind, params, bits = region.packed()
    packed = kind, params.flatten(1).numpy(), bits.numpy()
    for each_row in (True, False):
        mask, most = _by_rows(*packed, *size, each_row)
        assert np.array_equal(mask, region.mask().numpy())
        assert most <= spans.most_spans(kind, packed[1].shape[1], size[1])


@every_kind
def test_area_counts_the_mask(size, name):
    region = REGIONS[size][name]
    assert region.area().dtype == torch.int64
    assert torch.equal(region.area(), region.mask().sum((1, 2)))


@every_kind
def test_rescaling_samples_the_mask_at_the_centres_of_cells(size, name):
    region = REGIONS[size][name]
    for h, w in (size, (1, 1), (4, 3), (2 * size[0], 3 * size[1])):
        ys, xs = (((torch.arange(m) + 0.5) * n / m).floor().long() for n, m in zip(size, (h, w), strict=True))
        scaled = region.rescale(h, w)
        assert scaled.size == (h, w)
        assert torch.equal(scaled.mask(), region.mask()[:, ys][:, :, xs])


@every_kind
def test_tokens_count_the_pixels_of_each_patch(size, name):
    region = REGIONS[size][name].rescale(12, 18)
    mask = region.mask()
    for patch, (ph, pw) in ((3, (3, 3)), ((4, 9), (4, 9)), (1, (1, 1))):
        patches = [mask[:, y : y + ph, x : x + pw] for y in range(0, 12, ph) for x in range(0, 18, pw)]
        dropped = torch.stack([p.flatten(1).sum(1) for p in patches], 1)
        for share in (0.0, 0.3, 0.5, 1.0):
            assert torch.equal(region.tokens(patch, share), (dropped > 0) & (dropped >= share * ph * pw))


def test_tokens_want_a_patch_that_fits():
    with pytest.raises(AugDropError, match="divides the canvas"):
        REGIONS[20, 31]["area"].tokens(3)


@every_kind
def test_taking_samples_and_equality(size, name):
    region = REGIONS[size][name]
    some = torch.tensor([len(region) - 1, 0, 0])
    taken = region.take(some)
    assert torch.equal(taken.mask(), region.mask()[some])
    assert region == region.take(torch.arange(len(region)))
    assert taken != region
    assert region.replace(**region.tensors()) == region
    region.check(len(region))
    with pytest.raises(AugDropError, match="Make the region anew"):
        region.check(len(region) + 1)


def test_regions_of_other_kinds_or_canvases_differ():
    one, other = REGIONS[20, 31]["area"], REGIONS[20, 31]["beta"]
    assert one != other
    assert one != Mask.of(one.mask())
    assert one != type(one)((21, 31), one.boxes)


@pytest.mark.parametrize(("old", "new"), [(1, 1), (7, 3), (3, 7), (224, 7), (5, 5)])
def test_centres_are_those_of_real_numbers(old, new):
    assert centres(old, new).tolist() == [int((i + 0.5) * old / new) for i in range(new)]


def test_a_mask_fits_its_canvas():
    with pytest.raises(AugDropError, match="a canvas of 4×50"):
        Mask((4, 50), torch.zeros(1, 16, dtype=torch.uint8))


# Edges in eighths: inside, on and off the canvas, and exact in floating point.
eighths = st.integers(-24, 24 * 8).map(lambda n: n / 8)


def overlap(mask, x0, y0, x1, y1):
    """Area of a box on dropped pixels, pixel by pixel."""
    total = 0.0
    for y, x in zip(*np.nonzero(mask), strict=True):
        total += max(0.0, min(x + 1, x1) - max(x, x0)) * max(0.0, min(y + 1, y1) - max(y, y0))
    return total


@settings(max_examples=150, derandomize=True)
@given(st.sampled_from(sorted(REGIONS[20, 31])), st.lists(st.tuples(*[eighths] * 4), min_size=1, max_size=4), st.data())
def test_covered_and_visible_share_are_exact(name, corners, choose):
    region = REGIONS[20, 31][name]
    h, w = region.size
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    index = [choose.draw(st.integers(0, len(region) - 1)) for _ in boxes]
    mask = region.mask().numpy()
    covered = region.covered(torch.tensor(boxes), torch.tensor(index))
    share = region.visible_share(torch.tensor(boxes), torch.tensor(index))
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        clipped = max(0, min(x0, w)), max(0, min(y0, h)), max(0, min(x1, w)), max(0, min(y1, h))
        area = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1])
        expected = overlap(mask[index[i]], *clipped)
        # Eighths squared are exact; the interpolation of large sums is good to the last few bits.
        assert covered[i].item() == pytest.approx(expected, abs=1e-9)
        _, seen, _ = shown(torch.tensor(boxes[i : i + 1]), region.mask()[index[i]], inside=True)  # as annotations ask
        assert seen.item() == pytest.approx(expected, abs=1e-9)
        assert share[i].item() == pytest.approx(1 - expected / area if area else 0, abs=1e-9)


@settings(max_examples=100, derandomize=True)
@given(st.sampled_from(sorted(REGIONS[33, 17])), st.tuples(st.floats(-3, 20), st.floats(-3, 36)), st.data())
def test_contains_asks_the_pixel_under_a_point(name, point, choose):
    region = REGIONS[33, 17][name]
    b = choose.draw(st.integers(0, len(region) - 1))
    x, y = (int(np.floor(v)) for v in point)
    on = 0 <= x < 17 and 0 <= y < 33
    found = region.contains(torch.tensor([point], dtype=torch.float64), torch.tensor([b]))
    assert found.tolist() == [on and bool(region.mask()[b, y, x])]
