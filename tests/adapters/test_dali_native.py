"""DALI's own operators paint what the core paints, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch
from nvidia.dali import Pipeline, fn, pipeline_def, types
from torch import Tensor

import augdrop as ad
from augdrop import fills, regions
from augdrop.adapters.dali import native, to_dali
from augdrop.adapters.dali.decide import Decider
from augdrop.adapters.dali.native_host import Batch
from augdrop.adapters.dali.native_regions import MOST_ON_GPU, dropped, rectangles
from tests.adapters.cases import NAMES, make
from tests.adapters.dali_graph import KEYS, LAYOUTS, SIZE, images, run, same, source, to_layout
from tests.helpers import random_region

SAMPLERS = {
    "box": regions.BetaBoxes(),
    "boxes": regions.CentredBoxes(12, 3),
    "everywhere": regions.Everywhere(),
    "turned grid": regions.RandomGrid((4, 12)),
    "upright grid": regions.RandomGrid((4, 12), rotate=1),
    "stripes": regions.RandomGrid((4, 12), drop="stripes"),
    "cells": regions.RandomCells((0, 5, 8)),
    "blocks": regions.RandomBlocks(0.2, 5),
    "pixels": regions.RandomPixels(0.3),
}
FILLS = {
    "a number": 7,
    "a colour": (1, 2, 3),
    "noise": fills.Noise(),
    "normal noise": fills.Noise("normal"),
    "noise a channel": fills.Noise(per="channel"),
    "the mean": fills.ImageMean(),
    "blur": fills.Blur(5),
    "a partner": fills.Partner(),
}

ALONE = {"exec_async": False, "exec_pipelined": False}
"""Graphs that fail run one batch and no other: DALI may abort when such a graph goes while it works ahead."""


def paint(t: ad.Transform, x: Tensor, layout: str = "HWC", dense: bool = False, **given: Any) -> list[Any]:
    """The images that come out of a graph whose regions travel one way or the other."""

    def stage(node: Any, keys: Any, **nodes: Any) -> Any:
        return native.paint(t, node, Decider(t), keys, 0, ops=fn, dense=dense, **nodes)

    return run(stage, to_layout(x, layout), layout, **given)[0]


def more(t: ad.Transform, batch: int = len(KEYS)) -> dict[str, Tensor]:
    """What a method wants beside images."""
    return {"scores": torch.rand(batch, 4, 5, generator=torch.Generator().manual_seed(0))} if t.uses_pixels else {}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_method_in_every_layout_and_dtype(name: str, layout: str) -> None:
    t = make(name)
    for dtype in (torch.uint8, torch.int16, torch.float16, torch.float32):
        x = images(layout, dtype) if dtype != torch.float16 else images(layout, torch.uint8).to(dtype)
        want = t(x, keys=KEYS, **more(t))
        assert not torch.equal(want, x)
        for dense in (False, True):
            got = paint(t, x, layout, dense, **more(t))
            assert same(got, want, layout) or _off_by_one(name, dtype, got, to_layout(want, layout))


def _off_by_one(name: str, dtype: torch.dtype, got: list[np.ndarray], want: Tensor) -> bool:
    """The one bound that `native.paint` states: float16 blends."""
    if dtype != torch.float16 or name not in ("Mixup", "OneOf"):
        return False
    apart = np.stack(got).view(np.int16).astype(int) - want.numpy().view(np.int16)
    return bool((abs(apart) <= 1).all() and (apart != 0).mean() < 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_both_routes_of_a_stage_are_equal(name: str) -> None:
    t, x = make(name), to_layout(images(), "HWC")
    labels = [np.array([i], np.int32) for i in range(5)]
    outs = [run(to_dali(t, route), x, labels=labels, **more(t)) for route in ("native", "kernel")]
    for ours, theirs in zip(*outs, strict=True):
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_dynamic_mode(name: str) -> None:
    t, x = make(name), images("CHW", torch.float32)
    given = {name: ndd.as_batch(list(v.numpy())) for name, v in more(t).items()}
    out = to_dali(t, "native")(ndd.as_batch(x, layout="CHW"), keys=KEYS, **given)
    assert out.layout == "CHW" and torch.equal(out.torch(), t(x, keys=KEYS, **more(t)))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("where", SAMPLERS)
def test_every_region_with_every_fill(where: str, fill: str) -> None:
    t = ad.RegionalDropout(where=SAMPLERS[where], fill=FILLS[fill], p=0.7, seed=0)
    for dtype, layout, dense in (
        (torch.uint8, "HWC", False),
        (torch.float32, "CHW", False),
        (torch.float16, "FHWC", False),
        (torch.uint8, "FCHW", True),
        (torch.float32, "HWC", True),
    ):
        x = images(layout, dtype)
        assert same(paint(t, x, layout, dense), t(x, keys=KEYS), layout)


@pytest.mark.parametrize("fill", FILLS)
def test_a_batch_that_is_not_hit(fill: str) -> None:
    for per_frame, layout in ((False, "HWC"), (True, "FCHW")):
        options = {"fill": FILLS[fill], "p": 1e-9, "per_frame": per_frame, "seed": 0}
        x = images(layout)
        assert same(paint(ad.RegionalDropout(where=SAMPLERS["boxes"], **options), x, layout), x, layout)


@pytest.mark.parametrize("fill", FILLS)
def test_a_region_for_each_frame(fill: str) -> None:
    for where in ("boxes", "pixels"):
        t = ad.RegionalDropout(where=SAMPLERS[where], fill=FILLS[fill], p=0.7, per_frame=True, seed=0)
        for layout, dense in (("FHWC", False), ("FCHW", True)):
            x = images(layout)
            assert same(paint(t, x, layout, dense), t(x, keys=KEYS), layout)


def test_compositions_inside_compositions() -> None:
    chain = ad.Compose([ad.CutMix(num_classes=5), ad.RandomErasing(p=1.0)])
    inner = ad.OneOf([ad.Mixup(1.0, num_classes=5), ad.GridMask((8, 16)), chain])
    for t in (ad.OneOf([chain, inner, ad.CutMix(num_classes=5)], seed=3), ad.Compose([inner, chain, inner], seed=4)):
        x = images(batch=5)
        for epoch in range(4):
            stage = to_dali(t, "native")
            assert same(run(stage, to_layout(x, "HWC"), epoch=epoch)[0], t(x, keys=KEYS, epoch=epoch))


def test_float_values_stay_bit_for_bit() -> None:
    x = images("HWC", torch.float32)
    special = torch.tensor([-0.0, float("inf"), -float("inf"), float("nan"), 1e-45, 3e38])
    x.flatten()[::7] = special.repeat(x.numel())[: len(x.flatten()[::7])]
    for t in (ad.CutMix(num_classes=5, seed=0), ad.RandomErasing(p=0.5, seed=0), ad.PixelDropout(0.3, seed=0)):
        assert same(paint(t, x), t(x, keys=KEYS))


def test_integers_that_float32_cannot_hold() -> None:
    x = images().int() + (1 << 30)
    t = ad.CoarseDropout(fill=5, seed=0)
    assert same(paint(t, x), t(x, keys=KEYS))
    with pytest.raises(RuntimeError, match=r"int32 images.*route='kernel'"):
        paint(ad.CutMix(num_classes=5, seed=0), x, options=ALONE)
    with pytest.raises(RuntimeError, match="numbers that float32 can hold"):
        paint(ad.Cutout(8, fill=(1 << 30) + 1, seed=0), x, options=ALONE)


def test_batches_of_every_size() -> None:
    t, x = ad.CutMix(num_classes=5, seed=0), images()

    @pipeline_def(batch_size=5, num_threads=1, device_id=None, prefetch_queue_depth=1)
    def pipe() -> Any:
        some = fn.external_source(source=_prefixes(x, iter([5, 2, 1, 3])), batch=True, layout="HWC")
        keys = fn.external_source(source=_prefixes(KEYS, iter([5, 2, 1, 3])), batch=True)
        return to_dali(t, "native")(some, keys=keys)

    built = pipe()
    built.build()
    for n in (5, 2, 1, 3):
        got = built.run()[0]
        assert same([np.array(i) for i in got], t(x[:n], keys=KEYS[:n]))
    assert torch.equal(t(x[:1], keys=KEYS[:1]), x[:1])


def test_copies_at_the_end_of_a_padded_batch() -> None:
    keys, x = np.array([50, 3, 17, 17, 17]), images()
    x[3:] = x[2]
    outs = [
        run(to_dali(make("OneOf"), route, padded=True), to_layout(x, "HWC"), keys=keys)[0]
        for route in ("native", "kernel")
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*outs, strict=True))
    assert np.array_equal(outs[0][2], outs[0][4])


def test_checkpoints() -> None:
    stage = to_dali(ad.RandomErasing(p=1.0, seed=0), "native")

    def pipe(checkpoint: Any = None) -> Pipeline:
        built = Pipeline(4, 2, device_id=None, seed=7, enable_checkpointing=True, checkpoint=checkpoint)
        with built:
            node = fn.random.uniform(range=[0, 255], shape=[24, 32, 3], dtype=types.UINT8)
            keys = fn.random.uniform(range=[0, 1 << 20], dtype=types.INT32)
            built.set_outputs(stage(fn.reinterpret(node, layout="HWC"), keys=keys))
        built.build()
        return built

    first = pipe()
    first.run()
    again = pipe(first.checkpoint())
    for _ in range(2):
        ours, theirs = first.run()[0], again.run()[0]
        assert all(np.array_equal(ours.at(i), theirs.at(i)) for i in range(4))


def _prefixes(values: Any, sizes: Any) -> Any:
    samples = list(to_layout(values, "HWC").numpy()) if isinstance(values, Tensor) else [np.array(v) for v in values]
    return lambda: samples[: next(sizes)]


def test_conditional_pipelines() -> None:
    t, x, chosen = ad.RandomErasing(p=1.0, seed=0), images(), np.array([True, False, True, True, False])
    stage = to_dali(t, "native")

    @pipeline_def(batch_size=5, num_threads=1, device_id=None, enable_conditionals=True)
    def pipe() -> Any:
        node, keys = source(to_layout(x, "HWC"), "HWC"), source(KEYS)
        if source(chosen):  # noqa: SIM108 (DALI rewrites statements)
            node = stage(node, keys=keys)
        else:
            node = fn.copy(node)
        return node

    built = pipe()
    built.build()
    want = torch.where(torch.from_numpy(chosen)[:, None, None, None], t(x, keys=KEYS), x)
    assert same([np.array(i) for i in built.run()[0]], want)


def test_one_plan_a_batch_serves_all_operators() -> None:
    class Counted(Decider):
        drawn = 0

        def _decide(self, *args: Any) -> Any:
            type(self).drawn += 1
            return super()._decide(*args)

    t = ad.Compose([ad.CutMix(num_classes=5), ad.GridMask((8, 16)), ad.RandomErasing()], seed=0)
    decider = Counted(t)

    def stage(node: Any, keys: Any) -> Any:
        return native.paint(t, node, decider, keys, 0, ops=fn)

    run(stage, to_layout(images(), "HWC"))
    assert Counted.drawn == 1


@pytest.mark.parametrize("fill", ["noise", fills.Noise(per="channel")])
def test_object_boxes_steer_the_regions(fill: Any) -> None:
    t = ad.RandomErasing(p=1.0, objects="too", fill=fill, seed=0)
    boxes = [np.array([[2, 3, 12 + i, 20], [15, 1, 30, 9]][: i % 3], np.float32).reshape(-1, 4) for i in range(5)]
    outs = [
        run(to_dali(t, r, bbox_format="ltrb"), to_layout(images(), "HWC"), boxes=boxes) for r in ("native", "kernel")
    ]
    assert all(np.array_equal(a, b) for o, p in zip(*outs, strict=True) for a, b in zip(o, p, strict=True))
    assert not same(outs[0][0], ad.RandomErasing(p=1.0, objects="too", fill=fill, seed=0)(images(), keys=KEYS))


@pytest.mark.parametrize("kept", [False, True])
def test_rectangles_cover_a_region_once(kept: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        region, hit = random_region(rng, 3, SIZE), torch.from_numpy(rng.random(3) < 0.8)
        covered = np.zeros((3, *SIZE), int)
        for (y0, x0, y1, x1), b in zip(*rectangles(region, hit, kept), strict=True):
            assert y0 < y1 and x0 < x1
            covered[b, y0:y1, x0:x1] += 1
        dropped = (region.mask() & hit[:, None, None]).numpy()
        assert np.array_equal(covered, dropped != kept)


def test_rectangles_are_as_few_as_boxes() -> None:
    boxes = regions.Boxes(SIZE, torch.tensor([[[2, 3, 9, 8]]]))
    assert len(rectangles(boxes, torch.tensor([True]))[0]) == 1
    assert len(rectangles(boxes, torch.tensor([True]), kept=True)[0]) == 4


def test_a_transform_that_paints_in_its_own_way_is_refused() -> None:
    class Own(ad.Cutout):
        def apply(self, x: Tensor, plan: Any, **call: Any) -> Tensor:
            return x

    with pytest.raises(ad.AugDropError, match=r"Own, which paints in its own way.*route='kernel'"):
        paint(Own(8, seed=0), images())


def test_images_of_several_sizes_are_refused() -> None:
    x = [torch.zeros(3, h, 32, dtype=torch.uint8) for h in (24, 20, 24, 24, 24)]
    with pytest.raises(RuntimeError, match="one size for all samples"):
        run(to_dali(ad.Cutout(8, seed=0), "native"), x, "CHW", options=ALONE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bool])
def test_dtypes_that_erase_does_not_take_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(RuntimeError, match="route='native'"):
        paint(ad.Cutout(8, seed=0), images().to(dtype), options=ALONE)


def test_a_colour_that_the_dtype_cannot_hold_is_refused() -> None:
    with pytest.raises(RuntimeError, match="whole numbers from 0 to 255"):
        paint(ad.Cutout(8, fill=0.5, seed=0), images(), options=ALONE)
    with pytest.raises(RuntimeError, match="PerChannel: got 2 values"):
        paint(ad.Cutout(8, fill=(1, 2), seed=0), images(), options=ALONE)


def test_layouts_are_checked() -> None:
    stage, x = to_dali(ad.Cutout(8, seed=0), "native"), images()
    assert same(
        run(lambda i, keys: stage(i, keys=keys, layout="HWC"), to_layout(x, "HWC"), None)[0],
        stage.transform(x, keys=KEYS),
    )
    with pytest.raises(RuntimeError, match="images without a layout"):
        run(stage, to_layout(x, "HWC"), None, options=ALONE)
    with pytest.raises(RuntimeError, match="CHW images; expected HWC, as declared"):
        run(lambda i, keys: stage(i, keys=keys, layout="HWC"), to_layout(x, "CHW"), "CHW", options=ALONE)
    video = to_dali(ad.Cutout(8, per_frame=True, seed=0), "native")
    with pytest.raises(RuntimeError, match="per_frame: got images of layout HWC"):
        run(video, to_layout(x, "HWC"), options=ALONE)


@pytest.mark.parametrize("layout", [None, "CHW"])
@pytest.mark.parametrize("name", NAMES)
def test_gpu_graphs_are_built(name: str, layout: str | None) -> None:
    """As far as a machine without a driver goes: nodes are on the devices that DALI wants them on."""
    t = make(name)
    with Pipeline(4, num_threads=1, device_id=0):
        node = source(images("CHW"), "CHW").gpu()
        given = {name: source(v).gpu() for name, v in more(t).items()}
        out = to_dali(t)(node, keys=source(KEYS), layout=layout, **given)
    assert out.device == "gpu"


def test_gpu_erase_has_room_for_so_many_rectangles() -> None:
    t = ad.RegionalDropout(where=regions.RandomBlocks(0.3, 1), fill=0, seed=0)
    plan = t.plan((2, 3, 128, 128), keys=[0, 1])
    assert dropped(Batch(plan, 2, "CHW", (3, 128, 128), None, None, gpu=False), "HW")[0].shape[1] > 2 * MOST_ON_GPU
    with pytest.raises(ad.AugDropError, match="at most 1024 on a GPU"):
        dropped(Batch(plan, 2, "CHW", (3, 128, 128), None, None, gpu=True), "HW")
