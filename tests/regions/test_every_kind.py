"""What every kind of region promises, against its mask and against pixels counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit

from augdrop.errors import AugDropError
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
