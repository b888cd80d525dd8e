"""Gradients go to kept pixels and to a partner's pasted pixels, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from augdrop import fills
from augdrop.errors import AugDropError
from augdrop.kernels.dispatch import apply
from tests.kernels.cases import FILLS, WHERES, alike, opacities, plan_for

SMALL = (5, 7)


def doubles(batch=4, seed=0):
    return torch.randn(batch, 2, *SMALL, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("opacity", [None, opacities(4)])
@pytest.mark.parametrize("partner", [[1, 2, 3, 0], [0, 0, 0, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("where", ["box", "turned grid", "pixels"])
def test_partners_pass_gradcheck(where, partner, opacity):
    plan = plan_for(WHERES[where], fills.Partner(), 4, SMALL, partner=torch.tensor(partner), opacity=opacity)
    x = doubles().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply(x, plan), x)
    assert torch.autograd.gradcheck(lambda x: apply(x * 2, plan, inplace=True), x)
    assert torch.autograd.gradcheck(lambda x: apply(x, plan, out=torch.empty_like(x).detach()), x)


@pytest.mark.parametrize("opacity", [None, opacities(4)])
def test_a_source_of_its_own_gets_what_was_pasted(opacity):
    plan = plan_for(WHERES["box"], fills.Partner(), 4, SMALL, partner=torch.tensor([1, 1, 0, 3]), opacity=opacity)
    x, source = doubles().requires_grad_(), doubles(seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, s: apply(x, plan, source=s), (x, source))
    assert torch.autograd.gradcheck(lambda s: apply(x.detach(), plan, source=s), source)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("fill", ["constant", "per channel 2", "noise", "mean", "blur"])
def test_fills_stop_gradients(fill, dtype):
    plan = plan_for(WHERES["box"], FILLS.get(fill, fills.PerChannel((1, 2))), 4, SMALL, p=0.7)
    x = doubles().to(dtype).requires_grad_()
    weight = doubles(seed=2).to(dtype)
    (apply(x, plan) * weight).sum().backward()
    assert alike(x.grad, torch.where(plan.mask()[:, None], 0, weight).to(dtype))


def test_gradients_through_video_and_single_images():
    x = doubles(3).unsqueeze(1).repeat(1, 2, 1, 1, 1).requires_grad_()
    plan = plan_for(WHERES["box"], fills.Constant(), 3, SMALL, p=1)
    apply(x, plan).sum().backward()
    assert torch.equal(x.grad, (~plan.mask())[:, None, None].expand_as(x).double())
    one = doubles(1)[0].requires_grad_()
    apply(one, plan.take(torch.tensor([2]))).sum().backward()
    assert torch.equal(one.grad, (~plan.mask()[2]).expand_as(one).double())


def test_no_graph_without_a_need():
    plan = plan_for(WHERES["box"], fills.Constant(), 4, SMALL)
    assert not apply(doubles(), plan).requires_grad
    with torch.no_grad():
        assert not apply(doubles().requires_grad_(), plan).requires_grad
    assert apply(doubles().requires_grad_(), plan).requires_grad


def test_a_leaf_is_not_overwritten():
    plan = plan_for(WHERES["box"], fills.Constant(), 4, SMALL)
    x = doubles().requires_grad_()
    before = x.detach().clone()
    with pytest.raises(AugDropError, match="a leaf that requires grad"):
        apply(x, plan, inplace=True)
    assert torch.equal(x, before)
    with torch.no_grad():
        assert apply(x, plan, inplace=True) is x


def test_in_place_marks_what_autograd_saved_as_changed():
    x = doubles().requires_grad_()
    y = x.exp()
    apply(y, plan_for(WHERES["box"], fills.Constant(), 4, SMALL), inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
