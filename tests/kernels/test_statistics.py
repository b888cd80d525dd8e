"""Channel means and blurs: against torch, and against what they mean."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from augdrop import fills
from augdrop.kernels import blur, statistics
from augdrop.kernels.dispatch import DTYPES, apply
from augdrop.kernels.layout import layout
from tests.kernels.cases import LAYOUTS, WHERES, alike, images, plan_for

HIT = torch.tensor([True, True, False, True, True, True])


def as_batch(x):
    return x if x.ndim == 5 else x.unsqueeze(1)


@pytest.mark.parametrize("lie", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_channel_means(dtype, lie):
    x = as_batch(images(lie, dtype))
    means = statistics.channel_means(x, HIT)
    exact = x.double().mean((1, 3, 4)) * HIT[:, None]
    assert means.dtype == dtype
    if dtype.is_floating_point:
        assert torch.allclose(means.double(), exact.to(dtype).double(), rtol=1e-12, atol=1e-12)
    else:
        assert torch.equal(means, exact.round().to(dtype))


@pytest.mark.parametrize("factor", [1, 3, 4, 16, 100])
@pytest.mark.parametrize("lie", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cell_means_are_those_of_plain_torch(dtype, lie, factor):
    x = as_batch(images(lie, dtype))
    cells = statistics.cell_means(x, factor, HIT)
    assert alike(cells[HIT], statistics.cell_means_reference(x, factor)[HIT])
    assert cells.shape == (*x.shape[:3], -(-37 // factor), -(-53 // factor))


def test_cells_at_the_far_borders_are_smaller():
    x = torch.arange(35.0).view(1, 1, 1, 5, 7)
    cells = statistics.cell_means_reference(x, 4)[0, 0, 0]
    for i in range(2):
        for j in range(2):
            assert cells[i, j] == pytest.approx(x[0, 0, 0, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean().item())


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_a_blur_is_an_average_and_a_bilinear_upsample(factor):
    x = torch.rand(2, 1, 3, 24, 40, generator=torch.manual_seed(0), dtype=torch.float64)
    smooth = blur.smooth(statistics.cell_means_reference(x, factor), factor, 24, 40, torch.float64)
    small = F.avg_pool2d(x[:, 0], factor)
    expected = F.interpolate(small, (24, 40), mode="bilinear", align_corners=False)
    assert torch.allclose(smooth[:, 0], expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32], ids=str)
def test_a_flat_image_stays_flat_and_a_slope_keeps_its_middle(dtype):
    plan = plan_for(WHERES["everywhere"], fills.Blur(8), 2, (40, 56), p=1)
    flat = torch.full((2, 3, 40, 56), 77, dtype=dtype)
    assert alike(apply(flat, plan), flat)
    slope = (torch.arange(56) * 4).to(dtype).expand(2, 3, 40, 56).contiguous()
    blurred = apply(slope, plan)
    # Bilinear interpolation gives a slope back, but for half a cell at the borders.
    assert torch.equal(blurred[..., 4:-4].double(), slope[..., 4:-4].double())


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("factor", [1, 3, 16, 100])
@pytest.mark.parametrize("lie", ["contiguous", "channels_last", "video"])
def test_only_the_cells_that_a_region_needs_are_averaged(where, factor, lie):
    x, plan = images(lie, torch.float32), plan_for(WHERES[where], fills.Blur(factor))
    cells = statistics.cell_means_reference(as_batch(x), factor)
    whole = blur.smooth(cells, factor, *plan.size, torch.float32)
    mask = plan.mask()[:, None, None]
    assert alike(as_batch(apply(x, plan)), torch.where(mask, whole, as_batch(x)))
    some = statistics.cell_means(as_batch(x), factor, plan.hit, plan.region)
    seen = some != 0
    assert torch.equal(some[seen], cells[seen])
    for b, pixels in enumerate(plan.mask()):
        rows, columns = pixels.any(1).nonzero().flatten(), pixels.any(0).nonzero().flatten()
        if len(rows) and type(plan.region).__name__ in ("Boxes", "Blocks", "Cells"):
            reach = (rows[-1] - rows[0]) // factor + 3, (columns[-1] - columns[0]) // factor + 3
            found = seen[b].flatten(0, 1).any(0)
            assert found.any(1).sum() <= reach[0] and found.any(0).sum() <= reach[1]


def test_means_of_large_planes_do_not_overflow():
    x = torch.full((1, 1, 1, 3000, 3000), 255, dtype=torch.uint8)
    assert statistics.channel_means(x, torch.tensor([True])).tolist() == [[255]]
    big = torch.full((1, 1, 1, 300, 300), 2**31 - 1, dtype=torch.int32)
    assert statistics.channel_means(big, torch.tensor([True])).tolist() == [[2**31 - 1]]


def test_which_rows_are_dense():
    def lie(x):
        return layout(x.shape, x.stride())

    assert lie(torch.empty(2, 1, 3, 4, 5)) == (60, 60, 20, 5, 1)
    assert lie(as_batch(torch.empty(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)))[2:] == (0, 15, 3)
    assert lie(torch.empty(2, 1, 3, 5, 4).transpose(3, 4)) is None
    assert lie(torch.empty(2, 1, 3, 4, 10)[..., ::2]) is None
