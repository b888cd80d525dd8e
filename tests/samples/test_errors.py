"""What is wrong with a sample is told before anything is painted."""

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from augdrop import AugDropError, Policy, labels
from augdrop.annotations import MIXING
from augdrop.samples import unpack
from tests.helpers import Untouched, same
from tests.samples.cases import KEEP, SOFT, H, W, boxes_plan, images, run


def test_labels_and_annotations_are_checked_before_anything_is_painted():
    def paint(x, plan, ours):
        raise AssertionError("painted")

    def mix_labels(target, plan, images):
        return labels.mix(target, plan, **SOFT)

    plan = boxes_plan(2, mixes=True)
    for bad, message in (
        ({"image": images(2), "labels": torch.tensor([0, 9])}, "class 9 at position 1"),
        ({"image": images(2), "labels": torch.tensor([0, 1, 2])}, "each of 2 samples"),
        (
            {"image": images(2), "boxes": [torch.ones(1, 4), torch.tensor([[3.0, 0, 1, 1]])]},
            "sample 1: boxes: got box 0",
        ),
        (
            {"image": images(2), "boxes": [torch.ones(1, 4), torch.ones(1, 4)], "mask": torch.ones(2, 3, 3)},
            "segmentation",
        ),
    ):
        with Untouched(bad), pytest.raises(AugDropError, match=message):
            unpack((bad,)).finish(paint, [plan], mixes=True, mix_labels=mix_labels, num_classes=4, policies=MIXING)


BOXES = tv_tensors.BoundingBoxes(torch.ones(1, 4), format="XYXY", canvas_size=(4, 4))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.ones(H, W), r"an array \(8, 10\); .* Add a channel axis"),
        (np.ones((H, W)), "Add a channel axis"),
        ({"image": np.ones((H, W), np.uint8), "label": 3}, "Add a channel axis"),
        (torch.ones(5), "images: got none"),
        ({"labels": torch.tensor([1, 2])}, "images: got none"),
        ([], "images: got none"),
        ("photo.jpg", "images: got none"),
        (torch.ones(3, 0, 5), r"shape \(3, 0, 5\)"),
        (torch.ones(2, 0, 5, 5), r"shape \(2, 0, 5, 5\)"),
        (np.ones((0, 5, 3)), r"shape \(0, 5, 3\)"),
        (torch.ones(1, 1, 1, 1, 2, 2), r"shape \(1, 1, 1, 1, 2, 2\)"),
        (PIL.Image.new("P", (W, H)), r"PIL mode P; .*convert\('RGB'\)"),
        (PIL.Image.new("CMYK", (W, H)), "PIL mode CMYK"),
        (np.ones((H, W, 3), object), "array: got object"),
        (np.ones((H, W, 3), ">f4"), "array: got >f4"),
        ([{"image": images()}, {"label": 3}], "none in sample 1"),
        ([{"image": images(), "boxes": torch.ones(1, 4)}, {"image": images()}], "sample 1: got no boxes"),
        ({"a": tv_tensors.Image(images()), "b": tv_tensors.Image(images()[..., :4])}, "image b: .* share the draw"),
        ({"image": images(), "boxes": BOXES}, r"canvas_size \(4, 4\); expected \(8, 10\)"),
        ({"image": images(), "a": BOXES, "b": BOXES}, "boxes: got two in one container"),
        ({"image": images(2), "masks": torch.ones(3, H, W)}, "masks: .* one for each of 2 samples"),
        ({"image": images(2), "boxes": torch.ones(3, 4)}, "boxes: .* as a list of tensors"),
    ],
)
def test_bad_samples(inputs, message):
    with pytest.raises(AugDropError, match=message):
        run(inputs)


def test_images_as_lists_are_told_to_become_arrays():
    with pytest.raises(AugDropError, match=r"images: got lists of numbers; .* datasets.Image"):
        ad.Cutout(2)({"image": images().tolist(), "label": 1})


def test_one_grey_array_is_told_to_add_its_channel():
    with pytest.raises(AugDropError, match="Add a channel axis"):
        ad.Cutout(2)(np.ones((H, W), np.uint8))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"bboxes": [[1, 2, 5, 8], [0, 0, 3, 3]]}, "boxes: got a list of numbers; .* torch.tensor"),
        ({"bbox": torch.ones(2, 4)}, "boxes: got 'bbox', which may be x, y, w, h"),
        ({"keypoints": [(3.0, 4.0)]}, "keypoints: got a list of numbers; .* torch.tensor"),
    ],
)
def test_what_no_drop_can_change_stays_under_keep_and_is_an_error_otherwise(annotation, message):
    whole = {"image": images()} | annotation
    out = run(whole, policy=KEEP)
    assert same({key: out[key] for key in annotation}, annotation)
    with pytest.raises(AugDropError, match=message):
        run(whole, policy=Policy(boxes="filter"))
    with pytest.raises(AugDropError, match=message):
        run([whole, whole], policy=KEEP, mixes=True)
    if "keypoints" not in annotation:
        with pytest.raises(AugDropError, match=message):
            ad.RandomErasing(objects="only", p=1.0)(whole)


def test_polygons_cannot_be_cut():
    whole = {"image": images(), "boxes": torch.tensor([[2.0, 1, 8, 5]]), "segmentation": [[[2.0, 1, 8, 1, 8, 5]]]}
    assert run(whole)["segmentation"] == whole["segmentation"]
    for policy, mixes in ((Policy(masks="cut"), False), (None, True)):
        with pytest.raises(AugDropError, match="masks: got polygons, or runs, of numbers"):
            run([whole, whole], policy=policy, mixes=mixes)


def test_boxes_in_one_tensor_cannot_differ_in_number():
    boxes = torch.tensor([[[2.0, 1, 8, 5], [0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 1, 1]]])
    assert torch.equal(run({"image": images(2), "boxes": boxes})["boxes"], boxes)
    with pytest.raises(AugDropError, match=r"different numbers of objects; expected a list"):
        run({"image": images(2), "boxes": boxes}, policy=Policy(boxes="filter"))
