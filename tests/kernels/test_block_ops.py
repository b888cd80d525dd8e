"""DropBlock's compiled kernels against plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augdrop.kernels import block_ops
from augdrop.nn import DropBlock2d
from augdrop.regions.blocks import grow
from augdrop.regions.mask import bernoulli_map

CASES = [
    ((40,), (7,), 0.02),
    ((14, 18), (3, 4), 0.01),
    ((14, 18), (3, 4), 0.2),  # drawn cell by cell
    ((7, 7), (7, 7), 0.3),
    ((6, 8, 10), (2, 3, 4), 0.03),
    ((5, 5), (1, 1), 1.0),
    ((9, 3), (2, 3), 0.0),
]


@pytest.mark.parametrize(("size", "block", "gamma"), CASES)
def test_blocks_are_the_seeds_grown(size, block, gamma):
    stream, keys, epochs = 2**64 - 5, np.arange(5) + 3, np.arange(5)
    keep, count = block_ops.kept(stream, keys, epochs, gamma, 6, size, block)
    valid = [n - b + 1 for n, b in zip(size, block, strict=True)]
    rows = 6 * int(np.prod(valid[:-1]))
    seeds = bernoulli_map(np.uint64(stream), keys, epochs, np.full(5, gamma), rows, valid[-1])
    expected = ~grow(torch.from_numpy(seeds).view(torch.bool).view(5, 6, *valid), block)
    assert torch.equal(keep, expected) and torch.equal(count, expected.flatten(1).sum(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 70])
@pytest.mark.parametrize("scales", [1, 4])
def test_scaling_and_its_gradient(dtype, channels, scales):
    x = torch.randn(4, 70, 5, 6, dtype=dtype, requires_grad=True)
    keep, scale = torch.rand(4, channels, 5, 6) < 0.8, torch.rand(scales)
    expected = x * (keep * scale.view(-1, 1, 1, 1)).to(dtype)
    y = block_ops.scale_kept(x, keep, scale)
    assert torch.equal(y, expected)
    weights = torch.randn_like(y)
    (own,), (plain,) = (torch.autograd.grad((r * weights).sum(), x) for r in (y, expected))
    assert torch.equal(own, plain)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("scale_by", ["batch", "sample", "none"])
def test_one_result_for_every_memory_format(per_channel, scale_by):
    x, drop = torch.randn(3, 8, 12, 12), DropBlock2d(0.2, 3, per_channel, scale_by, seed=0)
    last = x.to(memory_format=torch.channels_last)
    assert block_ops.takes(x) and not block_ops.takes(last)
    assert torch.equal(drop(x, keys=range(3)), drop(last, keys=range(3)))
