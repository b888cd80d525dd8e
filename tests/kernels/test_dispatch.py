"""What `apply` refuses, and whom partners come from."""

from __future__ import annotations

import pytest
import torch

from augdrop import fills
from augdrop.errors import AugDropError
from augdrop.kernels.dispatch import apply, backends, use_backend
from tests.helpers import Untouched
from tests.kernels.cases import SIZE, WHERES, alike, images, opacities, plan_for

X = images("contiguous", torch.float32, 4)
PLAN = plan_for(WHERES["box"], fills.Partner(), 4)

REFUSED = {
    "another batch size": (lambda x: {"x": x[:3]}, "4 samples of 37×53"),
    "another canvas": (lambda x: {"x": x[..., 1:]}, "as the plan was made for"),
    "two axes": (lambda x: {"x": x[0, 0]}, "4 samples"),
    "six axes": (lambda x: {"x": x[None, None]}, "4 samples"),
    "complex": (lambda x: {"x": x.to(torch.complex64)}, "images of torch.complex64"),
    "out of another shape": (lambda x: {"out": x.new_empty(4, 1, *SIZE)}, "torch.empty_like"),
    "out of another dtype": (lambda x: {"out": x.double()}, "torch.empty_like"),
    "out and in place": (lambda x: {"out": x.clone(), "inplace": True}, "inplace=True as well"),
    "out is no tensor": (lambda x: {"out": 3}, "got int; expected a tensor"),
    "out is x": (lambda x: {"out": x}, "memory of its own"),
    "out overlaps x": (
        lambda x: {"x": x[:, :1], "out": x[:, 1:2].as_strided(x[:, :1].shape, x.stride())},
        "memory of x",
    ),
    "an expanded out": (lambda x: {"out": x.new_empty(1, 3, *SIZE).expand(4, -1, -1, -1)}, "an expanded tensor"),
    "an expanded x in place": (lambda x: {"x": x[:1].expand(4, -1, -1, -1), "inplace": True}, "an expanded tensor"),
    "a source of another size": (lambda x: {"source": x[..., 1:]}, "source"),
    "a source of another dtype": (lambda x: {"source": x.double()}, "source"),
    "a source too short": (lambda x: {"source": x[:2]}, "partner"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("backend", backends())
def test_refused_and_untouched(case, backend):
    x = X.clone()
    change, message = REFUSED[case]
    call = {"x": x, "plan": PLAN, **change(x)}
    given = [v for v in call.values() if isinstance(v, torch.Tensor)]
    with use_backend(backend), Untouched(x, *given), pytest.raises(AugDropError, match=message):
        apply(call.pop("x"), call.pop("plan"), **call)


@pytest.mark.parametrize("partner", [[0, 1, 2, 4], [-1, 0, 1, 2]])
def test_partners_outside_the_batch_are_refused(partner):
    plan = plan_for(WHERES["box"], fills.Partner(), 4, partner=torch.tensor(partner))
    with Untouched(X), pytest.raises(AugDropError, match="partner"):
        apply(X, plan)


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        (fills.Constant(0.5), torch.uint8),
        (fills.Constant(256), torch.uint8),
        (fills.Constant(-1), torch.uint8),
        (fills.Constant(2), torch.bool),
        (fills.PerChannel((0, 1)), torch.uint8),
        (fills.PerChannel((0, 0.5, 0)), torch.int64),
    ],
)
def test_fills_that_an_image_cannot_hold_are_refused(fill, dtype):
    x = images("contiguous", dtype, 4)
    with Untouched(x), pytest.raises(AugDropError):
        apply(x, plan_for(WHERES["box"], fill, 4), inplace=True)


def test_an_unknown_backend_names_the_nearest():
    with pytest.raises(AugDropError, match="Did you mean 'reference'"), use_backend("referense"):
        raise AssertionError


def test_partners_may_come_from_elsewhere():
    source = images("contiguous", torch.float32, 9).flip(-1)
    partner = torch.tensor([8, 0, 3, 3])
    plan = plan_for(WHERES["box"], fills.Partner(), 4, p=1, partner=partner)
    expected = torch.where(plan.mask()[:, None], source[partner], X)
    assert alike(apply(X, plan, source=source), expected)
    assert alike(apply(X.clone(), plan, source=source, inplace=True), expected)


@pytest.mark.parametrize("opacity", [None, opacities(4)])
def test_a_source_that_is_written_over_is_read_first(opacity):
    base = images("contiguous", torch.float32, 5)
    x, source = base[:4], base[1:]
    plan = plan_for(WHERES["box"], fills.Partner(), 4, p=1, opacity=opacity)
    expected = apply(x.clone(), plan, source=source.clone())
    assert alike(apply(x, plan, source=source, inplace=True), expected)


def test_a_source_may_lie_otherwise_in_memory():
    source = images("channels_last", torch.float32, 4)
    plan = plan_for(WHERES["box"], fills.Partner(), 4, p=1)
    assert alike(apply(X, plan, source=source), apply(X, plan, source=source.contiguous()))
