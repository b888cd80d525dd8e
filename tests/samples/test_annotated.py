"""Boxes, masks, keypoints and their fields in samples."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from augdrop import CutMix, Policy
from tests.helpers import same
from tests.samples.cases import SOFT, H, W, erased, images, pasted, run, sample


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_boxes_of_any_format(form, dtype):
    corners = torch.tensor([[0, 0, 4, 4], [2, 2, 8, 6]])
    x0, y0, x1, y1 = corners.unbind(1)
    w, h = x1 - x0, y1 - y0
    rows = {"XYXY": (x0, y0, x1, y1), "XYWH": (x0, y0, w, h), "CXCYWH": ((x0 + x1) // 2, (y0 + y1) // 2, w, h)}[form]
    boxes = tv_tensors.BoundingBoxes(torch.stack(rows, 1).to(dtype), format=form, canvas_size=(H, W))
    out = run({"boxes": boxes, "image": tv_tensors.Image(images())}, policy=Policy(boxes="shrink"))["boxes"]
    # The first keeps its full extent: only a corner is gone. Of the second, rows 5 to 6 are left.
    expected = {"XYXY": [2, 5, 8, 6], "XYWH": [2, 5, 6, 1], "CXCYWH": [5, 5.5, 6, 1]}[form]
    assert isinstance(out, tv_tensors.BoundingBoxes)
    assert (out.format, out.canvas_size, out.dtype) == (boxes.format, (H, W), dtype)
    assert torch.equal(out[0].as_subclass(torch.Tensor), boxes[0].as_subclass(torch.Tensor))
    assert out[1].tolist() == torch.tensor(expected).to(dtype).tolist()


def test_each_sample_has_boxes_of_its_own_format():
    def given_boxes(form):
        boxes = tv_tensors.BoundingBoxes([[2.0, 2, 8, 6]], format="XYXY", canvas_size=(H, W))
        return {"image": images(), "boxes": F.convert_bounding_box_format(boxes, new_format=form)}

    forms = ["CXCYWH", "XYXY", "XYWH"]
    for first, out in zip(forms, run([given_boxes(f) for f in forms], policy=Policy(boxes="shrink")), strict=True):
        assert out["boxes"].format.value == first
        assert F.convert_bounding_box_format(out["boxes"], new_format="XYXY").tolist() == [[2, 5, 8, 6]]


def test_boxes_that_do_not_change_come_back_bit_for_bit():
    given_boxes = torch.rand(50, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([W, H, 1e-6, 7.3])
    boxes = tv_tensors.BoundingBoxes(given_boxes, format="CXCYWH", canvas_size=(H, W))
    sample = {"image": tv_tensors.Image(images()), "boxes": boxes}
    out = run([sample, sample], mixes=True)[0]["boxes"]
    rows = {tuple(row) for row in given_boxes.tolist()}
    kept = [tuple(row) in rows for row in out.tolist()]
    assert sum(kept) > 10
    # Own boxes come first, and only a partner's box may have been clipped.
    assert all(kept[: kept.index(False)] if False in kept else kept)


def test_fields_of_objects_follow_them_and_others_do_not():
    out = run([sample(1, 3), sample(2, 3)], mixes=True)[0]
    k = len(out["boxes"])
    assert len(out["labels"]) == len(out["masks"]) == k
    assert set(out["labels"].tolist()) <= {10, 11, 12, 20, 21, 22}
    assert out["image_id"].tolist() == [1]
    assert not torch.is_floating_point(out["labels"])


BATCHED = {"boxes": [torch.tensor([[2.0, 1, 8, 5]]), torch.tensor([[0.0, 0, 1, 1], [2, 1, 8, 5]])]}


def test_one_sample_after_another_whichever_way_it_is_batched():
    """Lists of tensors, lists of dicts, tuples of dicts and lists of samples give one result."""
    labels = [torch.tensor([5]), torch.tensor([6, 7])]
    dicts = [{"boxes": b, "labels": y} for b, y in zip(BATCHED["boxes"], labels, strict=True)]
    by_dict = run(images(2), dicts, mixes=True, options=SOFT)[1]
    by_list = run({"labels": labels, "images": images(2), **BATCHED}, mixes=True, options=SOFT)
    collated = run(tuple(images(2)), tuple(dicts), mixes=True, options=SOFT)
    listed = run([{"image": x, "target": d} for x, d in zip(images(2), dicts, strict=True)], mixes=True, options=SOFT)
    for b in range(2):
        for key, value in by_dict[b].items():
            assert torch.equal(value, by_list[key][b])
            assert torch.equal(value, collated[1][b][key])
            assert torch.equal(value, listed[b]["target"][key])
    assert [d["labels"].tolist() for d in by_dict] == [[7], [6, 5]]
    assert torch.equal(collated[0][0], pasted(images(2)[0], images(2)[1]))


@pytest.mark.parametrize("axis", [False, True])
@pytest.mark.parametrize("wrap", [tv_tensors.Mask, torch.clone, np.asarray])
def test_semantic_masks_of_a_batch(wrap, axis):
    given_masks = torch.stack([torch.zeros(H, W, dtype=torch.uint8), torch.ones(H, W, dtype=torch.uint8)])
    expected = pasted(given_masks, given_masks.flip(0))
    masks, expected = (wrap(m[:, None] if axis else m) for m in (given_masks, expected))
    assert same(run({"masks": masks, "image": images(2)}, mixes=True)["masks"], expected)


def test_integer_targets_of_the_image_size_are_segmentations():
    target = torch.stack([torch.zeros(H, W, dtype=torch.int64), torch.ones(H, W, dtype=torch.int64)])
    assert torch.equal(run(images(2), target, mixes=True, options=SOFT)[1], pasted(target, target.flip(0)))
    out = run({"labels": target, "pixel_values": images(2)}, mixes=True, options=SOFT)
    assert torch.equal(out["labels"], pasted(target, target.flip(0)))


def test_one_instance_or_a_class_for_each_pixel():
    masks = torch.ones(1, H, W, dtype=torch.uint8)
    fill = Policy(masks="fill", mask_fill=9)
    assert torch.equal(run({"image": images(), "masks": masks}, policy=fill)["masks"][0, 2, 3], torch.tensor(9).byte())
    instance = {"image": images(), "masks": masks, "boxes": torch.tensor([[0.0, 0, 8, 8]])}
    assert torch.equal(run(instance, policy=fill)["masks"], masks)
    assert torch.equal(run(instance, policy=Policy(masks="cut"))["masks"], erased(masks))
    several = [{"image": images(), "masks": torch.ones(k, H, W)} for k in (1, 2)]
    assert len(run(several, mixes=True)[0]["masks"]) == 3


def test_flags_get_a_key_beside_their_own():
    points = torch.tensor([[3.0, 3.0], [0.0, 0.0]])
    boxes = torch.tensor([[2.0, 1, 8, 5], [0.0, 0, 1, 1]])
    flag = Policy(boxes="filter", removed="flag")
    one = run({"image": images(), "keypoints": points, "boxes": boxes}, policy=flag)
    assert list(one) == ["image", "keypoints", "boxes", "boxes_visible", "keypoints_visible"]
    assert one["boxes_visible"].tolist() == [False, True]
    assert one["keypoints_visible"].tolist() == [False, True]
    listed = run({"image": images(2), "boxes": [boxes, boxes[:1]]}, policy=flag)
    assert [f.tolist() for f in listed["boxes_visible"]] == [[False, True], [False]]
    stacked = run({"image": images(2), "keypoints": torch.stack([points, points.flip(0)])})
    assert stacked["keypoints_visible"].tolist() == [[False, True], [True, False]]
    array = run({"image": images(), "keypoints": points.numpy()})
    assert isinstance(array["keypoints_visible"], np.ndarray)
    pair = run((images(), tv_tensors.KeyPoints(points, canvas_size=(H, W))))
    assert torch.equal(pair[1].as_subclass(torch.Tensor), points)


def test_flags_add_up_over_transforms():
    points = torch.tensor([[3.0, 3.0], [0.0, 0.0]])
    once = run({"image": images(), "keypoints": points})
    twice = run(once, hit=False)
    assert once["keypoints_visible"].tolist() == twice["keypoints_visible"].tolist() == [False, True]


def test_samples_of_one_mix_may_have_boxes_of_different_formats():
    corners = torch.tensor([[1.0, 1, 4, 4], [5, 2, 10, 7]])
    whole = {"format": "XYXY", "canvas_size": (12, 12)}
    samples = [
        {
            "image": torch.full((3, 12, 12), float(b)),
            "boxes": F.convert_bounding_box_format(tv_tensors.BoundingBoxes(corners + b, **whole), new_format=form),
            "labels": torch.tensor([b, 10 + b]),
        }
        for b, form in enumerate(("XYXY", "XYWH", "CXCYWH", "XYWH"))
    ]
    same = [sample | {"boxes": tv_tensors.BoundingBoxes(corners + b, **whole)} for b, sample in enumerate(samples)]
    for policy in (Policy(boxes="filter"), Policy(boxes="shrink", removed="flag")):
        mix = CutMix(seed=0, annotations=policy)
        for given, got, wanted in zip(samples, mix(samples, keys=range(4)), mix(same, keys=range(4)), strict=True):
            assert got["boxes"].format == given["boxes"].format
            back = F.convert_bounding_box_format(got["boxes"], new_format="XYXY")
            assert torch.equal(back, wanted["boxes"]) and torch.equal(got["labels"], wanted["labels"])
