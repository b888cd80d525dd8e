"""Bytes mixed in integers are those of float32 arithmetic."""

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import fills
from augdrop.kernels.dispatch import apply, use_backend
from augdrop.kernels.fixed_point import numerator
from tests.kernels.cases import LAYOUTS, WHERES, alike, images, plan_for, twin

ODD = torch.tensor([1, 3, 12345, 16383, 16385, 32765, 32767], dtype=torch.float64) / 2**15


@pytest.mark.parametrize("opacity", [*ODD, 0.25, 0.5], ids=lambda v: f"{float(v):.6f}")
def test_every_pair_of_bytes(opacity):
    down = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 256)
    x = torch.stack([down, down.T])[:, None].contiguous()
    one = torch.full((2,), float(opacity), dtype=torch.float64)
    plan = plan_for(WHERES["everywhere"], fills.Partner(), 2, (256, 256), p=1, opacity=one)
    exact = (1 - one).view(2, 1, 1, 1) * x + one.view(2, 1, 1, 1) * x.flip(0)
    assert alike(apply(x, plan), exact.round().to(torch.uint8))
    with use_backend("reference"):
        assert alike(apply(x, plan), exact.round().to(torch.uint8))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("where", WHERES)
def test_runs_of_any_length(where, layout):
    x = images(layout, torch.uint8, batch=len(ODD))
    plan = plan_for(WHERES[where], fills.Partner(), len(ODD), opacity=ODD)
    with use_backend("reference"):
        expected = apply(x, plan)
    assert alike(apply(x, plan), expected)
    assert alike(apply(twin(x), plan, inplace=True), expected)


def test_only_weights_that_are_exact_are_taken():
    assert [numerator(np.float32(w)) for w in (1 / 2**15, 0.5, 0.3, 0.0, 1.0, -1 / 2**15, 32767 / 2**15)] == [
        *(1, 0, 0, 0, 0, 0, 32767),
    ]


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 50.0])
def test_mixup_draws_such_weights(alpha):
    opacity = ad.Mixup(alpha=alpha).plan((4000, 3, 8, 8), keys=range(4000)).opacity
    assert opacity is not None
    assert all(numerator(w) for w in opacity.numpy())
