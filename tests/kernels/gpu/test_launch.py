"""What a launch tells the compiler: little enough that images of many sizes share a few kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

import augdrop as ad
from augdrop.kernels.dispatch import use_backend
from augdrop.kernels.gpu import chain, launch, paint
from augdrop.kernels.painter import SOURCE
from augdrop.regions.mask import room
from augdrop.regions.spans import BOXES, CELLS, MASK
from tests.kernels.gpu.cases import DEVICE, SMALL, check, needs_triton

SIZES = [(h, w) for h in (7, 30, 50, 224, 225) for w in (8, 31, 50, 90, 224)]
BITS = {
    BOXES: lambda b, h, w: (1, 1, 1),
    CELLS: lambda b, h, w: (b, h // 3, 5),
    MASK: lambda b, h, w: (b, 1, room(h, w)),
}


def launches(kind, dtype, layout, batch, size):
    x = torch.empty(batch, 3, *size, dtype=dtype).contiguous(memory_format=layout).unsqueeze(1)
    region = torch.zeros(batch, 4, dtype=torch.int64), torch.zeros(BITS[kind](batch, *size), dtype=torch.uint8)
    hit, index = torch.ones(batch, dtype=torch.bool), torch.zeros(batch, dtype=torch.int64)
    order = torch.zeros(batch, 3, dtype=torch.int64)
    yield launch.painting(x, torch.empty_like(x), hit, *region, x, index, None, None, None, None, kind, SOURCE, [], 1)
    yield launch.painting(x, x, hit, *region, x.clone(), index, None, None, None, None, kind, SOURCE, [], 1)
    yield launch.chaining(x, hit, *region, None, index, None, None, None, None, order, kind, SOURCE)


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_sizes_and_batches_share_three_kernels(kind, dtype, layout):
    # Vectors divide rows; or planes; or neither.
    told = [set(), set(), set()]
    for size in SIZES:
        for batch in (1, 2, 31, 256):
            for known, made in zip(told, launches(kind, dtype, layout, batch, size), strict=True):
                unknown = paint._NUMBERS if made.kernel is paint.paint else chain._NUMBERS
                numbers = {k: v for k, v in made.numbers.items() if not isinstance(v, torch.Tensor) and v is not None}
                assert set(numbers) - set(unknown) <= {"x_column", "out_column", "source_column"}
                known.add(str(made.constants) + str({k: v for k, v in numbers.items() if k not in unknown}))
    assert [len(known) for known in told] == [3, 3, 3]


@pytest.mark.parametrize("size", [(50, 50), (30, 30), (7, 12)])
def test_planes_of_whole_vectors_are_told(size):
    # 4 floats or 16 bytes; that a plane is a multiple of 16 floats, which is what Triton sees itself, is not needed.
    for made in launches(BOXES, torch.float32, torch.contiguous_format, 3, size):
        assert made.constants["STEP"] == made.constants["VEC"] == 4
        assert made.numbers["x_sample"] * 4 == 3 * size[0] * size[1]


def test_a_view_between_vectors_is_told():
    x = torch.empty(3, 1, 3, 64 * 64 + 2, dtype=torch.uint8)[..., : 64 * 64].unflatten(3, (64, 64))
    order = torch.zeros(3, 3, dtype=torch.int64)
    region = torch.zeros(3, 4, dtype=torch.int64), torch.zeros(1, 1, 1, dtype=torch.uint8)
    made = launch.chaining(
        x, order[:, 0].bool(), *region, None, order[:, 0], None, None, None, None, order, BOXES, SOURCE
    )
    assert made.constants["EVEN"] and made.constants["STEP"] == 1
    assert made.numbers["x_channel"] == 64 * 64 + 2


@needs_triton
@pytest.mark.parametrize("name", ["hit", "partner", "opacity", "noise"])
def test_a_plan_made_by_hand_may_have_strides(name):
    t = ad.RandomErasing(p=0.5, seed=0) if name == "noise" else ad.Mixup(p=0.7, seed=0)
    x = torch.rand(6, 3, *SMALL)
    plan = t.plan(x.shape, keys=range(6))
    spread = torch.stack([getattr(plan, name), getattr(plan, name).flip(0)], 1)[:, 0]
    assert spread.stride() == (2,)
    check(x, replace(plan, **{name: spread}))


@needs_triton
def test_a_colour_that_is_not_a_number_goes_over_once():
    t, x = ad.Cutout(4, fill=float("nan"), seed=0), torch.rand(2, 3, *SMALL, device=DEVICE)
    with use_backend("cuda"):
        t(x, keys=range(2))
        before = launch._colour.cache_info()
        assert t(x, keys=range(2)).isnan().any()
    assert launch._colour.cache_info().misses == before.misses
