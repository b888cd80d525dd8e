"""The compiled kernels against plain torch, bit for bit: every dtype, layout, region and fill."""

from __future__ import annotations

import itertools

import pytest
import torch

from augdrop import fills, regions
from augdrop.kernels import cpu
from augdrop.kernels.dispatch import DTYPES, apply, backends, use_backend
from augdrop.kernels.painter import BLEND
from tests.kernels.cases import FILLS, LAYOUTS, SIZE, WHERES, alike, images, opacities, plan_for, twin


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_backends_agree(dtype, layout):
    x = images(layout, dtype)
    before = twin(x)
    for where, (name, fill) in itertools.product(WHERES, FILLS.items()):
        plan = plan_for(WHERES[where], fill, opacity=opacities(6) if name == "blend" else None)
        with use_backend("reference"):
            expected = apply(x, plan)
        result, there, out = apply(x, plan), twin(x), torch.empty_like(x)
        assert alike(result, expected), (where, name)
        assert result.stride() == torch.empty_like(x).stride()
        assert apply(there, plan, inplace=True) is there
        assert alike(there, expected), (where, name, "in place")
        assert apply(x, plan, out=out) is out
        assert alike(out, expected), (where, name, "out")
    assert alike(x, before)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.int64], ids=str)
def test_large_results_go_past_the_caches(dtype, layout, monkeypatch):
    monkeypatch.setattr(cpu, "_NEAR", -1)
    jobs = []
    monkeypatch.setattr(cpu, "ready", lambda *args, own=cpu.ready: jobs.append(own(*args)) or jobs[-1])
    x = images(layout, dtype)
    # Results that begin in the middle of a line of memory.
    room = twin(x).new_zeros(x.numel() + 5)
    for where, (name, fill) in itertools.product(WHERES, FILLS.items()):
        plan = plan_for(WHERES[where], fill, opacity=opacities(6) if name == "blend" else None)
        with use_backend("reference"):
            expected = apply(x, plan)
        out = room[5:].as_strided(x.shape, torch.empty_like(x).stride())
        apply(x, plan, out=out)
        assert alike(out, expected), (where, name)
    stay = [task.job.fill for task in jobs if task is not None and not task.job.stream]
    assert layout == "transposed" or all(fill == BLEND and dtype == torch.uint8 for fill in stay)
    assert not room[:5].any()


def test_elements_that_lie_across_lines_of_memory(monkeypatch):
    monkeypatch.setattr(cpu, "_NEAR", -1)
    x = images("contiguous", torch.float32)
    out = torch.frombuffer(bytearray(4 * x.numel() + 1), dtype=torch.float32, offset=1).view(x.shape)
    plan = plan_for(WHERES["box"], FILLS["constant"])
    assert alike(apply(x, plan, out=out), apply(x, plan))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_most_layouts_are_compiled(layout, monkeypatch):
    # Only where a row's pixels do not touch does plain torch do the work.
    found = []
    monkeypatch.setattr(cpu, "apply", lambda *args, own=cpu.apply: found.append(own(*args)) or found[-1])
    apply(images(layout, torch.uint8), plan_for(WHERES["box"], fills.Constant(1)))
    assert found == [layout != "transposed"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_pixels_outside_keep_their_bits(dtype):
    x = images("contiguous", dtype)
    x[:, 0], x[:, 1] = float("nan"), -0.0
    x[:, 2, ::2] = float("inf")
    for where, fill in itertools.product(("turned grid", "pixels", "box"), ("constant", "noise", "partner")):
        plan = plan_for(WHERES[where], FILLS[fill])
        kept = ~plan.mask()[:, None].expand_as(x)
        assert alike(apply(x, plan)[kept], x[kept])


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_a_blend_rounds_integers_to_the_nearest_even(value):
    x = torch.tensor([1, 2, 3, 254], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 5, 40).contiguous()
    source = torch.full_like(x, int(value))
    half = torch.full((4,), 0.5, dtype=torch.float64)
    plan = plan_for(WHERES["everywhere"], fills.Partner(), 4, (5, 40), p=1, opacity=half)
    expected = [round((v + value) / 2) for v in (1, 2, 3, 254)]
    for backend in backends():
        with use_backend(backend):
            assert apply(x, plan, source=source)[:, 0, 0, 0].tolist() == expected


def test_a_single_image_and_an_empty_batch():
    plan = plan_for(WHERES["boxes"], fills.Noise(), 1, p=1)
    x = images("contiguous", torch.uint8, 1)
    assert alike(apply(x[0], plan), apply(x, plan)[0])
    empty = x[:0]
    assert apply(empty, plan.take(torch.zeros(0, dtype=torch.int64))).shape == (0, 3, *SIZE)
    nothing = plan_for(WHERES["box"], fills.Constant(), 2, (0, 5))
    assert apply(torch.zeros(2, 3, 0, 5), nothing).shape == (2, 3, 0, 5)


def test_boxes_in_the_wrong_order_or_off_the_canvas_do_no_harm():
    boxes = torch.tensor(
        [[[-5, -5, 3, 4], [30, 50, 99, 99], [9, 9, 2, 2]], [[0, -9, 37, -1], [40, 0, 50, 9], [5, 5, 5, 9]]]
    )
    plan = plan_for(WHERES["box"], fills.Constant(1), 2, p=1)
    plan = type(plan)(**(vars(plan) | {"region": regions.Boxes(SIZE, boxes)}))
    x = images("crop", torch.uint8, 2)
    with use_backend("reference"):
        expected = apply(x, plan)
    assert alike(apply(x, plan), expected)


@pytest.mark.parametrize("where", ["boxes", "blocks"])
def test_later_boxes_lie_on_earlier_ones(where):
    plan = plan_for(WHERES[where], fills.Noise(per="channel"), p=1)
    x = images("contiguous", torch.float32)
    painted = apply(x, plan)
    for b in range(6):
        colours = painted[b][:, plan.mask()[b]].T.unique(dim=0)
        assert len(colours) <= (plan.region.boxes.shape[1] if where == "boxes" else 1)


@pytest.mark.parametrize(("channels", "size"), [(1, SIZE), (5, (9, 1)), (2, (1, 40))])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_shapes_whose_strides_are_ambiguous(channels, size, memory_format):
    x = images("contiguous", torch.int16, 6, (channels * size[0], size[1]))[:, :1].reshape(6, channels, *size)
    x = x.contiguous(memory_format=memory_format)
    for fill in (fills.Constant(3), fills.Noise(), fills.ImageMean(), fills.Blur(3), fills.Partner()):
        plan = plan_for(regions.RandomPixels(0.3), fill, 6, size)
        with use_backend("reference"):
            expected = apply(x, plan)
        assert alike(apply(x, plan), expected)
        assert alike(apply(twin(x), plan, inplace=True), expected)


@pytest.mark.parametrize("batch", [64, 3])
def test_large_masks_and_many_boxes(batch):
    # More runs than a kernel holds at once, and more rows than it groups.
    size = (1500, 40)
    x = images("contiguous", torch.uint8, batch, size)
    for where in (regions.RandomPixels(0.5), regions.RandomBlocks(0.4, 1), regions.Holes((200, 300), (1, 9), (1, 9))):
        plan = plan_for(where, fills.Constant(7), batch, size)
        with use_backend("reference"):
            expected = apply(x, plan)
        assert alike(apply(x, plan), expected)
        assert alike(apply(twin(x), plan, inplace=True), expected)
