"""Every region, fill, dtype and layout in Triton's kernels: equal to plain torch, bit for bit."""

from __future__ import annotations

import pytest
import torch

from augdrop import fills, regions
from augdrop.kernels import cuda
from augdrop.kernels.dispatch import DTYPES, apply, use_backend
from augdrop.kernels.gpu import launch
from tests.kernels.cases import FILLS, LAYOUTS, WHERES, alike, images, opacities, plan_for
from tests.kernels.gpu.cases import DEVICE, SMALL, check, needs_triton, there

pytestmark = needs_triton

COMPUTED = ("noise", "normal", "blur", "blend")


def plan_of(where, fill, batch=3, size=SMALL, p=0.7):
    # Few cells: each is a program's row.
    what = fills.Blur(9) if fill == "blur" else FILLS[fill]
    return plan_for(WHERES[where], what, batch, size, p, opacity=opacities(batch) if fill == "blend" else None)


@pytest.fixture(autouse=True)
def _never_the_reference(monkeypatch):
    # What no kernel can do would be equal to the reference in vain.
    done = []
    monkeypatch.setattr(cuda, "apply", lambda *args, own=cuda.apply: done.append(own(*args)) or done[-1])
    yield
    assert done and all(done)


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("fill", ["constant", "partner"])
def test_regions(where, fill):
    check(images("contiguous", torch.float32, 3, SMALL), plan_of(where, fill))


@pytest.mark.parametrize("fill", COMPUTED)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_computed_fills(dtype, fill):
    check(images("contiguous", dtype, 2, SMALL), plan_of("boxes", fill, 2, p=1), inplace=dtype == torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32], ids=str)
def test_colours_of_a_box_and_means(dtype):
    for where, fill in (("boxes", "noise per channel"), ("turned grid", "noise per channel"), ("box", "mean")):
        check(images("contiguous", dtype, 3, SMALL), plan_of(where, fill))


@pytest.mark.parametrize("fill", ["per channel", "partner"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fills_that_move_bytes(dtype, fill):
    check(images("contiguous", dtype, 2, SMALL), plan_of("pixels", fill, 2, p=1), inplace=dtype == torch.int16)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("fill", ["constant", "noise", "noise per channel", "mean", "blur", "partner"])
def test_layouts(layout, fill):
    dtype = torch.uint8 if fill in ("noise", "constant") else torch.float32
    where = "boxes" if fill == "noise per channel" else "turned grid"
    check(images(layout, dtype, 3, SMALL), plan_of(where, fill))


@pytest.mark.parametrize("where", WHERES)
def test_regions_of_interleaved_channels(where):
    check(images("channels_last", torch.uint8, 3, SMALL), plan_of(where, "per channel"))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("fill", ["noise", "blur", "partner"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_vectors_that_divide_rows(dtype, layout, fill):
    check(images(layout, dtype, 2, (6, 32)), plan_of("turned grid", fill, 2, (6, 32), p=1))


@pytest.mark.parametrize("size", [(4, 12), (3, 21)])
@pytest.mark.parametrize("where", ["boxes", "blocks", "cells", "grid"])
def test_many_tiles(monkeypatch, where, size):
    # Tiles that begin and end within rows, boxes that meet some of them.
    monkeypatch.setattr(launch, "_rows", lambda vector, warps, vectors: 4)
    launch._painting.cache_clear()
    check(images("contiguous", torch.float32, 2, size), plan_of(where, "noise", 2, size, p=1))


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_channels(channels, memory_format):
    x = images("contiguous", torch.int16, 2, (channels * 9, 11))[:, :1].reshape(2, channels, 9, 11)
    x = x.contiguous(memory_format=memory_format)
    for fill in (fills.PerChannel(tuple(range(channels))), fills.Noise()):
        check(x, plan_for(regions.RandomPixels(0.3), fill, 2, (9, 11), p=1))


def test_a_turned_grid_of_either_polarity():
    x = images("contiguous", torch.uint8, 3, SMALL)
    for drop in ("squares", "stripes"):
        for period in ((1, 4), (5, 20)):
            check(x, plan_for(regions.RandomGrid(period, 0.5, drop=drop), fills.Constant(1), 3, SMALL, p=1))


def test_boxes_in_the_wrong_order_or_off_the_canvas():
    boxes = torch.tensor(
        [[[-5, -5, 3, 4], [9, 9, 99, 99], [9, 9, 2, 2]], [[0, -9, 13, -1], [40, 0, 50, 9], [5, 5, 5, 9]]]
    )
    plan = plan_for(WHERES["box"], fills.Noise(per="channel"), 2, SMALL, p=1)
    plan = type(plan)(**(vars(plan) | {"region": regions.Boxes(SMALL, boxes)}))
    check(images("contiguous", torch.uint8, 2, SMALL), plan)


def test_nobody_and_nothing():
    x = images("contiguous", torch.float32, 3, SMALL)
    for fill in ("noise", "mean", "blur"):
        check(x, plan_of("boxes", fill, p=0))


def test_partners_from_elsewhere():
    x, source = images("contiguous", torch.float32, 3, SMALL), images("channels_last", torch.float32, 5, SMALL).flip(-1)
    partner = torch.tensor([4, 0, 3])
    for opacity in (None, opacities(3)):
        check(x, plan_for(WHERES["boxes"], fills.Partner(), 3, SMALL, 1, partner, opacity), source)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_pixels_outside_keep_their_bits(dtype):
    x = images("contiguous", dtype, 2, SMALL)
    x[:, 0], x[:, 1] = float("nan"), -0.0
    x[:, 2, ::2] = float("inf")
    for where, fill in (("turned grid", "constant"), ("box", "partner")):
        plan = plan_of(where, fill, 2, p=1)
        kept = ~plan.mask()[:, None].expand_as(x)
        with use_backend("cuda"):
            assert alike(apply(there(x), plan).cpu()[kept], x[kept])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16], ids=str)
def test_a_blend_rounds_to_the_nearest_even(dtype):
    x = torch.arange(256).to(dtype).view(1, 1, 1, 256).repeat(2, 1, 2, 1)
    plan = plan_for(WHERES["everywhere"], fills.Partner(), 2, (2, 256), 1, opacity=torch.tensor([0.5, 0.3]).double())
    check(x, plan, x.flip(-1).contiguous())


def test_gradients_on_the_device():
    x = images("contiguous", torch.float32, 3, SMALL)
    plan = plan_of("boxes", "blend")
    grads = []
    for backend, image in (("reference", x.clone()), ("cuda", there(x))):
        with use_backend(backend):
            apply(image.requires_grad_(), plan).square().sum().backward()
        grads.append(image.grad.cpu())
    assert torch.equal(*grads)


def test_on_the_device_the_result_stays():
    with use_backend("cuda"):
        assert (
            apply(there(images("contiguous", torch.uint8, 3, SMALL)), plan_of("box", "constant")).device.type
            == DEVICE.type
        )
