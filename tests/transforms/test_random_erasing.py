"""Random Erasing: rules of the paper, its code, torchvision and timm; erasing inside objects."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from tests.transforms.cases import images, same

CANVAS = (64, 80)


def sample(index: int, boxes: list[list[int]]) -> dict:
    return {
        "labels": torch.arange(len(boxes)),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=CANVAS) if boxes else torch.zeros(0, 4),
        "image": tv_tensors.Image(images(1, CANVAS, seed=index)[0]),
        "key": index,
    }


@pytest.mark.parametrize(
    ("preset", "size", "mean"),
    # Mean dropped shares: measured with each rule's own code by the method cards, with p = 1.
    [("authors", 32, 0.2009), ("timm", 224, 0.1745)],
)
def test_mean_area_of_the_rules(preset, size, mean):
    plan = ad.RandomErasing.preset(preset, p=1.0, seed=0).plan((20_000, 3, size, size), keys=range(20_000))
    share = plan.area().double() / size**2
    # A share has a standard deviation below 0.11; five standard errors of 20 000.
    assert share.mean().item() == pytest.approx(mean, abs=0.004)
    assert plan.region.boxes.min() >= 0 and plan.region.boxes.max() <= size


def test_the_papers_rule_rejects_boxes_that_stick_out():
    plan = ad.RandomErasing(p=1.0, seed=0).plan((5000, 3, 48, 48), keys=range(5000))
    y0, x0, y1, x1 = plan.region.boxes[:, 0].unbind(1)
    assert (plan.area() > 0).all() and y1.max() <= 48 and x1.max() <= 48
    # Position over the whole image, kept only if the box fits: large boxes become rare.
    assert (plan.area().double() / 48**2).mean() < 0.17


def test_log_uniform_ratios_are_symmetric_and_uniform_ones_are_not():
    def taller(**options):
        box = (
            ad.RandomErasing(p=1.0, seed=0, inside=True, **options)
            .plan((8000, 3, 224, 224), keys=range(8000))
            .region.boxes[:, 0]
        )
        height, width = (box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
        return (height > width).double().mean().item()

    assert taller(log_ratio=True, ratio=(1 / 3, 3)) == pytest.approx(0.5, abs=0.03)
    assert taller() == pytest.approx(0.77, abs=0.03)


def test_what_never_fits_is_left_alone():
    t = ad.RandomErasing(area=(0.99, 1.0), ratio=(50, 100), attempts=10, inside=True, p=1.0, seed=0)
    x = images()
    assert same(t(x), x)


def test_counts():
    plan = ad.RandomErasing(count=(1, 3), area=(0.01, 0.02), p=1.0, seed=0).plan((3000, 3, 64, 64), keys=range(3000))
    boxes = plan.region.boxes
    used = ((boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])).sum(1)
    assert set(used.tolist()) == {1, 2, 3}


def test_a_colour_for_each_box():
    t = ad.RandomErasing.preset("timm-rand", count=3, area=(0.05, 0.1), p=1.0, seed=0)
    y, plan = t.with_plan(torch.full((4, 3, 64, 64), 100.0), keys=range(4))
    for b in range(4):
        y0, x0, y1, x1 = plan.region.boxes[b, -1].tolist()
        last = y[b, :, y0:y1, x0:x1]
        assert (last == last[:, :1, :1]).all() and (last[:, 0, 0].unique().numel() == 3)


@pytest.mark.parametrize("objects", ["only", "too"])
def test_erasing_inside_every_object(objects):
    samples = [sample(0, [[4, 6, 30, 40], [40, 10, 76, 60]]), sample(1, [[10, 10, 50, 50]]), sample(2, [])]
    t = ad.RandomErasing(objects=objects, fill=0, inside=True, log_ratio=True, p=1.0, seed=0)
    out = t(samples)
    for before, after in zip(samples, out, strict=True):
        changed = (before["image"] != after["image"]).any(0)
        inside = torch.zeros(CANVAS, dtype=torch.bool)
        for x0, y0, x1, y1 in before["boxes"].tolist():
            inside[y0:y1, x0:x1] = True
            assert changed[y0:y1, x0:x1].any()
        if objects == "only":
            assert not changed[~inside].any()
        else:
            assert changed.any()
        alone = t(before)
        assert same(alone["image"], after["image"]), "the same drop alone and in a batch"


def test_objects_need_no_boxes_to_leave_an_image_alone():
    x = images()
    assert same(ad.RandomErasing(objects="only", p=1.0, seed=0)(x), x)


@pytest.mark.parametrize(
    "options",
    [
        {"area": (0.4, 0.1)},
        {"area": (0.1, 1.2)},
        {"area": 0.3},
        {"ratio": (0, 1)},
        {"count": 0},
        {"attempts": 0},
        {"objects": "all"},
        {"fill": "gold"},
    ],
    ids=str,
)
def test_bad_options(options):
    with pytest.raises(ad.AugDropError):
        ad.RandomErasing(**options)
