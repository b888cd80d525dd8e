"""Partners in place on a GPU: whoever takes from whom, nobody takes what has been written over."""

from __future__ import annotations

import pytest
import torch

import augdrop as ad
from augdrop import fills
from augdrop.kernels.dispatch import apply, use_backend
from augdrop.kernels.gpu import launch
from tests.kernels.cases import WHERES, alike, images, opacities, plan_for
from tests.kernels.gpu.cases import DEVICE, SMALL, needs_triton, there
from tests.kernels.test_in_place import PAIRINGS

pytestmark = needs_triton


def paste(x, plan):
    with use_backend("reference"):
        expected = apply(x, plan)
    image = there(x)
    with use_backend("cuda"):
        apply(image, plan, inplace=True)
    assert alike(image.cpu(), expected)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("p", [1.0, 0.6])
def test_pairings(pairing, p):
    x, partner = images("contiguous", torch.uint8, 6, SMALL), torch.tensor(PAIRINGS[pairing])
    where, opacity = ("everywhere", opacities(6)) if p == 1 else ("boxes", None)
    paste(x, plan_for(WHERES[where], fills.Partner(), 6, SMALL, p, partner, opacity))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_rings_that_one_group_begins_and_another_ends(pairing, group, monkeypatch):
    monkeypatch.setattr(launch, "_GROUP", group)
    x, partner = images("contiguous", torch.float32, 6, SMALL), torch.tensor(PAIRINGS[pairing])
    paste(x, plan_for(WHERES["boxes"], fills.Partner(), 6, SMALL, 1, partner))


@pytest.mark.parametrize("per", ["sample", "pair"])
def test_more_samples_than_a_group_has(per):
    n = 2 * launch._GROUP + 5
    x = images("contiguous", torch.uint8, n, (7, 9))
    paste(x, ad.CutMix(per=per, p=0.9 if per == "pair" else 1.0, seed=0).plan(x.shape, keys=range(n)))


@pytest.mark.parametrize("layout", ["channels_last", "crop", "video", "transposed"])
@pytest.mark.parametrize("where", ["blocks", "turned grid"])
def test_layouts(layout, where):
    x = images(layout, torch.float32, 3, SMALL)
    paste(x, plan_for(WHERES[where], fills.Partner(), 3, SMALL, 1))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_dtypes(dtype):
    x = images("contiguous", dtype, 3, SMALL)
    paste(x, plan_for(WHERES["box"], fills.Partner(), 3, SMALL, 1, opacity=opacities(3)))


def test_many_tiles(monkeypatch):
    monkeypatch.setattr(launch, "_rows", lambda vector, warps, vectors: 4)
    paste(images("contiguous", torch.float32, 3, (5, 8)), plan_for(WHERES["box"], fills.Partner(), 3, (5, 8), 1))


def test_a_plan_on_the_device_brings_its_order():
    plan = plan_for(WHERES["box"], fills.Partner(), 4, SMALL, 1).to("meta")
    assert plan.order.shape == (4, 3)
    assert plan.take(torch.arange(2, device="meta")).order is None


@pytest.mark.skipif(DEVICE.type == "cpu", reason="a copy to a device")
def test_part_of_a_plan_on_the_device():
    x, partner = images("contiguous", torch.float32, 4, SMALL), torch.tensor([1, 0, 3, 2])
    plan = plan_for(WHERES["box"], fills.Partner(), 4, SMALL, 1, partner).to(DEVICE)
    paste(x[:2], plan.take(torch.tensor([0, 1], device=DEVICE)))
