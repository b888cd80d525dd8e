"""Boxes, masks and keypoints through a DALI graph, against the core's own on tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import augdrop as ad
from augdrop.adapters.dali import to_dali
from tests.adapters.dali_graph import KEYS, SIZE, images, run, same, to_layout

H, W = SIZE


def boxes(counts: tuple[int, ...] = (2, 0, 3, 1, 4)) -> list[Tensor]:
    """Boxes in pixels by corners, float32."""
    generator = torch.Generator().manual_seed(1)
    low = [torch.rand(k, 2, generator=generator) * torch.tensor([W, H]) * 0.6 for k in counts]
    return [torch.cat([a, a + 2 + torch.rand(len(a), 2, generator=generator) * 8], 1).round(decimals=2) for a in low]


def classes(of: list[Tensor]) -> list[Tensor]:
    return [torch.arange(len(b), dtype=torch.int32) + 10 * i for i, b in enumerate(of)]


def equal(got: list[np.ndarray], want: list[Tensor]) -> bool:
    return all(np.array_equal(g, w.numpy()) and g.dtype == w.numpy().dtype for g, w in zip(got, want, strict=True))


FILTER = ad.Policy(boxes="filter", min_visibility=0.6)
TRANSFORMS = {
    "erasing, filtered": ad.RandomErasing(p=1.0, area=(0.3, 0.6), annotations=FILTER, seed=0),
    "erasing, shrunk": ad.RandomErasing(p=0.8, area=(0.3, 0.6), annotations=ad.Policy(boxes="shrink"), seed=0),
    "erasing, kept": ad.Cutout(16, seed=0),
    "a grid": ad.GridMask((8, 16), annotations=ad.Policy(boxes="filter", min_visibility=0.9), seed=0),
    "CutMix": ad.CutMix(seed=0),
    "Mixup": ad.Mixup(seed=0),
    "a choice": ad.OneOf([ad.CutMix(), ad.GridMask((8, 16)), ad.Identity()], seed=1),
    "a choice of policies": ad.OneOf(
        [ad.CutMix(annotations=FILTER), ad.GridMask((8, 16), annotations=ad.Policy(boxes="shrink")), ad.Cutout(20)],
        seed=7,
    ),
    "a chain": ad.Compose([ad.CutMix(), ad.Cutout(12, annotations=FILTER)], seed=0),
    "a chain in the objects": ad.Compose([ad.Cutout(6), ad.RandomErasing(p=1.0, objects="only")], seed=0),
    "in the objects": ad.RandomErasing(p=1.0, objects="too", annotations=FILTER, seed=0),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_boxes_go_and_come_with_their_labels(name: str) -> None:
    t, given = TRANSFORMS[name], boxes()
    want = t({"image": images(), "boxes": given, "labels": classes(given)}, keys=KEYS)
    stage = to_dali(t, bbox_format="ltrb")
    got, labels, left = run(stage, to_layout(images(), "HWC"), boxes=given, labels=classes(given))
    assert same(got, want["image"]) and equal(left, want["boxes"]) and equal(labels, want["labels"])
    assert equal(left, given) == (name in ("erasing, kept", "a chain in the objects"))


@pytest.mark.parametrize(("bbox_format", "ratio"), [("ltrb", True), ("xywh", False), ("xywh", True)])
def test_formats(bbox_format: str, ratio: bool) -> None:
    t, given = ad.CutMix(seed=0), boxes()
    want = t({"image": images(), "boxes": given, "labels": classes(given)}, keys=KEYS)["boxes"]

    def written(corners: Tensor) -> Tensor:
        if bbox_format == "xywh":
            corners = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
        return corners / torch.tensor([W, H, W, H]) if ratio else corners

    stage = to_dali(t, bbox_format=bbox_format, ratio=ratio)
    _, left = run(stage, to_layout(images(), "HWC"), boxes=[written(b) for b in given])
    for got, corners in zip(left, want, strict=True):
        assert got.dtype == np.float32 and np.allclose(got, written(corners).numpy(), atol=1e-4)


def test_boxes_that_lose_nothing_come_back_bit_for_bit() -> None:
    given = [torch.rand(5, 4, generator=torch.Generator().manual_seed(i)).sort(1).values for i in range(5)]
    t = ad.Cutout(4, annotations=ad.Policy(boxes="shrink", min_visibility=0.0), p=0.0, seed=0)
    for bbox_format in ("ltrb", "xywh"):
        _, left = run(to_dali(t, bbox_format=bbox_format, ratio=True), to_layout(images(), "HWC"), boxes=given)
        assert equal(left, given)


def test_flagged_boxes_stay_and_say_so() -> None:
    policy = ad.Policy(boxes="filter", min_visibility=0.6, removed="flag")
    t, given = ad.RandomErasing(p=0.8, area=(0.3, 0.6), annotations=policy, seed=0), boxes()
    want = t({"image": images(), "boxes": given}, keys=KEYS)
    _, left, flags = run(to_dali(t, bbox_format="ltrb"), to_layout(images(), "HWC"), boxes=given)
    assert equal(left, given) and equal(flags, want["boxes_visible"]) and not all(f.all() for f in flags)


@pytest.mark.parametrize("policy", ["flag", "remove", "keep"])
@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("mixing", [False, True])
def test_keypoints(policy: Any, columns: int, mixing: bool) -> None:
    rule = ad.Policy(keypoints=policy)
    t = ad.CutMix(annotations=rule, seed=0) if mixing else ad.Cutout(16, annotations=rule, seed=0)
    points = [torch.rand(6, columns) * torch.tensor([W, H, 2.0])[:columns] for _ in KEYS]
    points = [torch.cat([p[:, :2], p[:, 2:].ceil()], 1) for p in points]
    want = t({"image": images(), "keypoints": points}, keys=KEYS)
    _, left, *flags = run(to_dali(t), to_layout(images(), "HWC"), keypoints=points)
    assert equal(left, want["keypoints"])
    assert not flags if policy != "flag" else equal(flags[0], want["keypoints_visible"])
    shares = [p / torch.tensor([W, H, 1.0])[:columns] for p in points]
    _, relative, *_ = run(to_dali(t, ratio=True), to_layout(images(), "HWC"), keypoints=shares)
    assert [len(p) for p in relative] == [len(p) for p in left]


def test_skeletons_with_boxes() -> None:
    t, given = ad.CutMix(annotations=ad.Policy(boxes="filter", keypoints="remove"), seed=0), boxes()
    points = [torch.cat([b[:, None, :2] + 1, b[:, None, 2:] - 1], 1) for b in given]
    points = [torch.cat([p, torch.full((*p.shape[:2], 1), 2.0)], 2) for p in points]
    want = t({"image": images(), "boxes": given, "keypoints": points}, keys=KEYS)
    _, left, joints = run(to_dali(t, bbox_format="ltrb"), to_layout(images(), "HWC"), boxes=given, keypoints=points)
    assert equal(left, want["boxes"]) and equal(joints, want["keypoints"])


@pytest.mark.parametrize("form", ["HW", "HWC", "CHW"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("name", ["fill", "keep", "CutMix", "a choice", "a choice in a choice", "a chain"])
def test_segmentation_masks(name: str, dtype: torch.dtype, form: str) -> None:
    fill = ad.Policy(masks="fill", mask_fill=255)
    t: ad.Transform = {
        "fill": ad.GridMask((8, 16), annotations=fill, seed=0),
        "keep": ad.GridMask((8, 16), seed=0),
        "CutMix": ad.CutMix(seed=0),
        "a choice": ad.OneOf([ad.CutMix(), ad.GridMask((8, 16), annotations=fill), ad.Cutout(9)], seed=1),
        "a choice in a choice": ad.OneOf(
            [ad.OneOf([ad.CutMix(), ad.Cutout(12, annotations=fill)]), ad.OneOf([ad.GridMask((8, 16)), ad.CutMix()])],
            seed=2,
        ),
        "a chain": ad.Compose([ad.CutMix(), ad.Cutout(12, annotations=fill)], seed=0),
    }[name]
    masks = torch.randint(0, 20, (len(KEYS), *SIZE), generator=torch.Generator().manual_seed(2)).to(dtype)
    want = t({"image": images(), "masks": masks}, keys=KEYS)["masks"]
    axis = {"HW": None, "HWC": -1, "CHW": 1}[form]
    got, painted = run(to_dali(t), to_layout(images(), "HWC"), masks=masks if axis is None else masks.unsqueeze(axis))
    assert np.array_equal(np.stack(painted).squeeze(axis) if axis else np.stack(painted), want.numpy())
    assert torch.equal(want, masks) == (name == "keep") and painted[0].dtype == masks.numpy().dtype
    assert same(got, t(images(), keys=KEYS))


def test_masks_beside_images_that_differ_in_channels_alone() -> None:
    t = ad.Cutout(12, annotations=ad.Policy(masks="fill", mask_fill=7), seed=0)
    x, masks = [torch.zeros(c, *SIZE, dtype=torch.uint8) for c in (3, 1, 3, 1, 1)], torch.zeros(5, *SIZE)
    _, painted = run(to_dali(t), x, "CHW", masks=masks)
    assert np.array_equal(np.stack(painted), t({"image": images(), "masks": masks}, keys=KEYS)["masks"].numpy())


def test_everything_at_once_in_the_documented_order() -> None:
    t = ad.CutMix(annotations=ad.Policy(boxes="filter", removed="flag"), seed=0)
    corners, masks = boxes(), torch.randint(0, 20, (len(KEYS), *SIZE))
    points = [torch.rand(3, 2) * 20 for _ in KEYS]
    given: Any = {"labels": classes(corners), "boxes": corners, "masks": masks, "keypoints": points}
    out = run(to_dali(t, bbox_format="ltrb"), to_layout(images(), "HWC"), **given)
    want = t({"image": images(), **given}, keys=KEYS)
    order = ("labels", "boxes", "boxes_visible", "masks", "keypoints", "keypoints_visible")
    assert same(out[0], want["image"]) and all(equal(o, want[n]) for o, n in zip(out[1:], order, strict=True))


def test_both_routes_agree_on_annotations() -> None:
    t, given = ad.CutMix(seed=0), boxes()
    masks = torch.randint(0, 20, (len(KEYS), *SIZE))
    a, b = (
        run(to_dali(t, route, bbox_format="ltrb"), to_layout(images(), "HWC"), boxes=given, masks=masks)
        for route in ("kernel", "native")
    )
    assert all(np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


def test_what_cannot_be_followed() -> None:
    x = to_layout(images(), "HWC")
    cases: Any = (
        (ad.Mixup(seed=0), {"masks": torch.zeros(5, *SIZE)}, "got a blend of two images"),
        (ad.CutMix(seed=0), {"boxes": [torch.zeros(2, 5)] * 5}, r"boxes: got \(2, 5\) for a sample"),
        (ad.CutMix(seed=0), {"boxes": [torch.tensor([[5.0, 5, 1, 1]])] * 5}, "expected finite x0 <= x1"),
        (
            ad.CutMix(seed=0),
            {"masks": [torch.zeros(H, W)] * 4 + [torch.zeros(H, 9)]},
            r"masks: got \(24, 32\) float32 and",
        ),
        (ad.CutMix(seed=0), {"masks": torch.zeros(5, *SIZE, 3)}, "with one channel HWC or CHW"),
        (ad.CutMix(seed=0), {"masks": torch.zeros(5, 2, *SIZE)}, r"masks: got \(2, 24, 32\) for a sample"),
    )
    for t, given, message in cases:
        with pytest.raises(RuntimeError, match=message):
            run(to_dali(t, bbox_format="ltrb"), x, **given)
    with pytest.raises(RuntimeError, match="got a coordinate of 30; expected shares of the image, as ratio=True says"):
        run(to_dali(ad.CutMix(seed=0), bbox_format="ltrb", ratio=True), x, boxes=[torch.tensor([[2.0, 2, 30, 9]])] * 5)
    t = ad.RandomErasing(p=1.0, per_frame=True, annotations=FILTER, seed=0)
    with pytest.raises(RuntimeError, match="got a region for each frame"):
        run(to_dali(t, bbox_format="ltrb"), to_layout(images("FHWC"), "FHWC"), "FHWC", boxes=boxes())
