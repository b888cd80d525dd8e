"""Means of channels and cells on a GPU against plain torch."""

from __future__ import annotations

import pytest
import torch

from augdrop.kernels import ops, statistics
from augdrop.kernels.dispatch import DTYPES
from tests.kernels.cases import alike, images
from tests.kernels.gpu.cases import DEVICE, SMALL, needs_triton, there

pytestmark = needs_triton
HIT = torch.tensor([True, False, True])


def five(x):
    return x if x.ndim == 5 else x[:, None]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "crop", "video", "transposed"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_layouts(layout, dtype):
    x = five(images(layout, dtype, 3, SMALL))
    means, cells = ops.channel_means(there(x), HIT.to(DEVICE)), ops.cell_means(there(x), HIT.to(DEVICE), 5)
    assert alike(means.cpu()[HIT], statistics.channel_means(x, HIT)[HIT])
    assert not means[~HIT].any()
    assert alike(cells.cpu()[HIT], statistics.cell_means_reference(x, 5)[HIT])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype):
    x = five(images("contiguous", dtype, 3, SMALL))
    means, expected = ops.channel_means(there(x), HIT.to(DEVICE)).cpu()[HIT], statistics.channel_means(x, HIT)[HIT]
    if dtype == torch.float64:
        torch.testing.assert_close(means, expected, rtol=1e-14, atol=1e-14)  # sums in another order
    else:
        assert alike(means, expected)
    for factor in (7, 32) if dtype == torch.float32 else (7,):
        cells = ops.cell_means(there(x), HIT.to(DEVICE), factor)
        assert alike(cells.cpu()[HIT], statistics.cell_means_reference(x, factor)[HIT])


def test_large_integers_are_summed_exactly():
    x = torch.full((1, 1, 1, 40, 50), 2**31 - 1, dtype=torch.int32)
    x[..., 0, 0] -= 2000
    means = ops.channel_means(there(x), torch.ones(1, dtype=torch.bool, device=DEVICE))
    assert means.tolist() == [[2**31 - 2]]
