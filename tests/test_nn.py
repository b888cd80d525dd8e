"""DropBlock on feature maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import augdrop as ad
from augdrop.nn import DropBlock1d, DropBlock2d, DropBlock3d
from augdrop.regions.blocks import block_gamma

CASES = [(DropBlock1d, (40,)), (DropBlock2d, (14, 18)), (DropBlock3d, (6, 8, 10))]


def expected_drop(gamma: float, block: int, size: tuple[int, ...]) -> float:
    """Mean over cells of 1 - (1 - gamma)^(valid seeds whose block covers the cell)."""
    counts = torch.ones(())
    for n in size:
        i = torch.arange(n)
        covering = torch.minimum(i, torch.tensor(n - block)) - (i - block + 1).clamp(min=0) + 1
        counts = counts[..., None] * covering
    return (1 - (1 - gamma) ** counts.double()).mean().item()


@pytest.mark.parametrize(
    ("map_side", "block", "p", "table"),
    [(14, 7, 0.1, 0.0929), (28, 7, 0.1, 0.0939), (8, 3, 0.1, 0.0947), (7, 7, 0.1, 0.1), (32, 5, 0.2, 0.1794)],
)
def test_expected_drop_of_the_papers_rule(map_side, block, p, table):
    gamma = block_gamma(p, (block, block), (map_side, map_side))
    expected = expected_drop(gamma, block, (map_side, map_side))
    assert expected == pytest.approx(table, abs=6e-5)
    n = 4000
    y = DropBlock2d(p, block, scale_by="none", seed=0)(torch.ones(n // 8, 8, map_side, map_side))
    # A map's dropped share has a standard deviation below the square root of its mean (blocks are all or nothing).
    assert (y == 0).float().mean().item() == pytest.approx(expected, abs=5 * (table / n) ** 0.5)


@pytest.mark.parametrize(("cls", "size"), CASES)
def test_blocks_are_whole_and_the_mean_is_kept(cls, size):
    x = torch.ones(16, 8, *size)
    keys = range(16)
    y = cls(0.2, 3, seed=1)(x, keys=keys)
    assert y.mean().item() == pytest.approx(1, abs=1e-5)
    values = y.unique()
    assert len(values) == 2 and values[0] == 0
    by_sample = cls(0.2, 3, scale_by="sample", seed=1)(x, keys=keys)
    torch.testing.assert_close(by_sample.flatten(1).mean(1), torch.ones(16))
    unscaled = cls(0.2, 3, scale_by="none", seed=1)(x, keys=keys)
    assert torch.equal(unscaled, (y > 0).float())


@pytest.mark.parametrize(("cls", "size"), CASES)
def test_evaluation_and_p_zero_change_nothing(cls, size):
    x = torch.rand(2, 3, *size)
    assert cls(0.5, 3).eval()(x) is x
    assert cls(0.0, 3)(x) is x


def test_a_block_as_large_as_the_map_drops_it_whole():
    y = DropBlock2d(0.3, 9, scale_by="none", seed=0)(torch.ones(500, 4, 7, 7)).flatten(2)
    assert ((y == 0).all(2) | (y == 1).all(2)).all()
    assert (y[..., 0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_shared_or_separate_channels():
    x = torch.ones(4, 16, 20, 20)
    shared = DropBlock2d(0.3, 4, per_channel=False, seed=0)(x)
    assert all(torch.equal(shared[:, 0], shared[:, c]) for c in range(16))
    own = DropBlock2d(0.3, 4, seed=0)(x)
    assert not torch.equal(own[:, 0], own[:, 1])


def test_keys_decide():
    x, drop = torch.rand(6, 4, 14, 14), DropBlock2d(0.2, 3, scale_by="sample", seed=3)
    whole = drop(x, keys=range(6), epoch=1)
    assert torch.equal(torch.cat([drop(x[:2], keys=[0, 1], epoch=1), drop(x[2:], keys=range(2, 6), epoch=1)]), whole)
    with ad.keys(range(6), epoch=1):
        assert torch.equal(drop(x), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_dtypes_and_large_maps(dtype):
    y = DropBlock2d(0.1, 7, seed=0)(torch.ones(2, 8, 96, 96, dtype=dtype))
    assert y.dtype == dtype and y.isfinite().all()


def test_everything_dropped_is_not_divided_by():
    y = DropBlock2d(1.0, 7, seed=0)(torch.ones(2, 3, 7, 7))
    assert (y == 0).all()


def test_gradients_and_compilation():
    torch._dynamo.reset()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), DropBlock2d(0.2, 3, seed=0))
    x = torch.rand(4, 3, 16, 16)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    with ad.keys(range(4)):
        expected = net(x)
        y = compiled(x)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    assert net[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("options", [{"p": 1.2}, {"block_size": 0}, {"scale_by": "mean"}])
def test_bad_options(options):
    with pytest.raises(ad.AugDropError):
        DropBlock2d(**options)


@pytest.mark.parametrize("x", [torch.ones(3, 8, 8), torch.ones(1, 3, 8, 8, dtype=torch.uint8)])
def test_bad_inputs(x):
    with pytest.raises(ad.AugDropError):
        DropBlock2d(0.1)(x)
