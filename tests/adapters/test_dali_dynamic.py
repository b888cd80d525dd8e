"""DALI dynamic mode: the same call, with batches instead of nodes."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch

import augdrop as ad
from augdrop.adapters.dali import to_dali
from tests.adapters.dali_graph import KEYS, LAYOUTS, SIZE, images, run, to_layout
from tests.transforms.cases import ALL, make


def batch(values: Any, layout: str | None = None) -> ndd.Batch:
    return ndd.as_batch(values, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_images_and_labels_are_the_cores(name: str, layout: str) -> None:
    t = make(name)
    for dtype in (torch.uint8, torch.float16, torch.float32):
        x = images(layout, dtype)
        given = batch(to_layout(x, layout), layout)
        got, labels = to_dali(t)(given, batch(torch.arange(5)), keys=batch(torch.from_numpy(KEYS)))
        want, targets = t(x, torch.arange(5), keys=KEYS)
        assert got.layout == layout and torch.equal(got.torch(), to_layout(want, layout))
        assert torch.equal(labels.torch().squeeze(), targets)
        assert torch.equal(given.torch(), to_layout(x, layout))


def test_images_may_be_painted_where_they_lie() -> None:
    t, x = ad.GridMask((8, 16), seed=0), to_layout(images(), "HWC")
    want = to_layout(t(images(), keys=KEYS), "HWC")
    got = to_dali(t, inplace=True)(batch(x, "HWC"), keys=KEYS)
    assert got.layout == "HWC" and torch.equal(got.torch(), want) and torch.equal(x, want)


@pytest.mark.parametrize("route", ["kernel", "native"])
def test_between_dalis_own_operators(route: str) -> None:
    t, x = ad.CutMix(num_classes=5, seed=0), images()
    flipped = ndd.flip(batch(to_layout(x, "HWC"), "HWC"), horizontal=1)
    mixed, targets = to_dali(t, route)(flipped, batch(torch.arange(5)), keys=KEYS.tolist())
    gc.collect()
    out = ndd.crop_mirror_normalize(mixed, mean=[0.0], std=[1.0], output_layout="CHW", dtype=ndd.float32)
    want, soft = t(x.flip(-1), torch.arange(5), keys=KEYS)
    assert torch.equal(out.torch(), want.float()) and torch.equal(targets.torch(), soft)


def test_a_graph_and_a_call_agree() -> None:
    stage = to_dali(ad.Mixup(num_classes=5, targets="pairs", seed=0))
    x = to_layout(images(), "HWC")
    pixels, *labels = run(stage, x, labels=torch.arange(5), epoch=2)
    now, pairs = stage(batch(x, "HWC"), batch(torch.arange(5)), keys=KEYS, epoch=2)
    assert np.array_equal(np.stack(pixels), now.torch().numpy())
    assert all(np.array_equal(np.stack(a), b.torch().numpy()) for a, b in zip(labels, pairs, strict=True))


def test_one_tensor() -> None:
    t, x = ad.GridMask((8, 16), seed=0), images(batch=1)[0]
    got = to_dali(t)(ndd.as_tensor(x.movedim(0, -1).contiguous(), layout="HWC"), keys=5, epoch=1)
    assert isinstance(got, ndd.Tensor) and torch.equal(got.torch(), t(x, keys=5, epoch=1).movedim(0, -1))


def test_several_sizes() -> None:
    t = ad.RandomErasing(p=1.0, annotations=ad.Policy(boxes="shrink"), seed=0)
    x = [torch.randint(0, 256, (3, h, 32), dtype=torch.uint8) for h in (24, 16, 24)]
    given = [torch.tensor([[1.0, 1, 12, 12]])] * 3
    got, boxes = to_dali(t, bbox_format="ltrb")(batch(x, "CHW"), boxes=batch(given), keys=[1, 2, 3])
    for i in range(3):
        want = t({"image": x[i], "boxes": given[i]}, keys=i + 1)
        assert torch.equal(got.tensors[i].torch(), want["image"])
        assert torch.equal(boxes.tensors[i].torch(), want["boxes"])


def test_annotations() -> None:
    t, masks = ad.CutMix(seed=0), torch.randint(0, 20, (5, *SIZE))
    boxes = [torch.tensor([[2.0, 2, 14, 14], [8, 8, 30, 22]])] * 5
    want = t({"image": images(), "boxes": boxes, "masks": masks, "labels": [torch.arange(2)] * 5}, keys=KEYS)
    before = masks.clone()
    for route in ("kernel", "native"):
        _, labels, left, painted = to_dali(t, route, bbox_format="ltrb")(
            batch(to_layout(images(), "HWC"), "HWC"),
            batch([torch.arange(2)] * 5),
            boxes=batch(boxes),
            masks=batch(masks, "HW"),
            keys=KEYS,
        )
        assert all(torch.equal(a.torch(), b) for a, b in zip(left.tensors, want["boxes"], strict=True))
        assert all(torch.equal(a.torch(), b) for a, b in zip(labels.tensors, want["labels"], strict=True))
        assert torch.equal(painted.torch(), want["masks"]) and torch.equal(masks, before)


def test_score_maps_and_epochs_that_ride_beside() -> None:
    t, scores, epochs = ad.AttentiveCutMix(num_classes=5, seed=0), torch.rand(5, 4, 4), [0, 1, 2, 1, 0]
    plan = t.plan(images().shape, keys=KEYS, epoch=epochs, scores=scores)
    for route in ("kernel", "native"):
        got = to_dali(t, route)(batch(to_layout(images(), "CHW"), "CHW"), keys=KEYS, epoch=epochs, scores=batch(scores))
        assert torch.equal(got.torch(), t.apply(images(), plan))


def test_bad_input() -> None:
    stage, x = to_dali(ad.CutMix(num_classes=5, seed=0)), to_layout(images(), "HWC")
    for call, message in (
        (lambda: stage(x, keys=KEYS), "images: got Tensor; expected a DataNode of a pipeline, or an ndd.Batch"),
        (lambda: stage(batch(x), keys=KEYS), "images without a layout"),
        (lambda: stage(batch(x, "HWC")), "keys: got none"),
        (lambda: stage(batch(x, "HWC"), keys=KEYS[:3]), "keys: got 3; expected one for each of 5 samples"),
        (lambda: stage(batch(x, "HWC"), keys=[1, 1, 2, 3, 4]), "1 2 times in a batch of 5"),
        (lambda: stage(batch(x, "HWC"), batch(torch.rand(5)), keys=KEYS), "expected integer class indices"),
        (lambda: stage(batch(x, "HWC"), batch(torch.arange(4)), keys=KEYS), "labels: got 4"),
        (lambda: stage(batch(x, "HWC"), keys=KEYS, boxes=batch([torch.zeros(0, 4)] * 5)), "boxes without it"),
        (lambda: stage(batch([x[0], x[1, :9]], "HWC"), keys=[1, 2]), "images of 2 sizes"),
    ):
        with pytest.raises(ad.AugDropError, match=message):
            call()
