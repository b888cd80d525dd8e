"""Turned boxes (torchvision's XYWHR, CXCYWHR, XYXYXYXY) follow a drop, judged by points that are counted."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

import augdrop as ad
from augdrop import AugDropError, Policy, regions
from augdrop.annotations import Objects, erase
from augdrop.kernels.turned import shown_turned
from augdrop.samples.formats import from_corners, to_corners, upright
from tests.helpers import plan_of

H, W, FINE = 11, 14, 32
FORMATS = ("XYWHR", "CXCYWHR", "XYXYXYXY")


def boxes_of(form, n=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.uniform(0, W, n), rng.uniform(0, H, n), *rng.uniform(1, 8, (2, n)), rng.uniform(-200, 400, n)])
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(rows.T.copy()), format="CXCYWHR", canvas_size=(H, W))
    return boxes if form == "CXCYWHR" else F.convert_bounding_box_format(boxes, new_format=form)


def plain(boxes):
    return boxes.as_subclass(torch.Tensor)


def sample(form, seed=0):
    boxes = boxes_of(form, seed=seed)
    return {"image": tv_tensors.Image(torch.rand(3, H, W)), "boxes": boxes, "labels": torch.arange(6) + 10 * seed}


def points(corners):
    """Which of FINE × FINE points a pixel lie in a box ``[8]``; and where in its frame, as shares of its sides."""
    y, x = ((np.mgrid[: H * FINE, : W * FINE] + 0.5) / FINE).astype(np.float64)
    first, second, _, fourth = corners.numpy().reshape(4, 2)
    (a, b), (c, d), dx, dy = second - first, fourth - first, x - first[0], y - first[1]
    u, v = (dx * d - dy * c) / (a * d - b * c), (a * dy - b * dx) / (a * d - b * c)
    return (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1), u, v


@pytest.mark.parametrize("form", FORMATS)
def test_corners_are_torchvisions_and_lead_back(form):
    boxes = boxes_of(form)
    corners = plain(F.convert_bounding_box_format(boxes, new_format="XYXYXYXY"))
    torch.testing.assert_close(to_corners(plain(boxes), form), corners)
    torch.testing.assert_close(from_corners(corners, form, plain(boxes)), plain(boxes))
    assert (upright(corners)[:, :2] <= corners[:, 4:6]).all()


@pytest.mark.parametrize("seed", range(8))
def test_what_shows_is_what_is_counted(seed):
    corners = to_corners(plain(boxes_of("CXCYWHR", seed=seed)), "CXCYWHR")
    dropped = torch.from_numpy(np.random.default_rng(seed).random((H, W)) < 0.4)
    fine = dropped.numpy().repeat(FINE, 0).repeat(FINE, 1)
    for inside in (False, True):
        areas, seen, fitted = shown_turned(corners, dropped, inside)
        for i, box in enumerate(corners):
            within, u, _ = points(box)
            shows = within & (fine == inside)
            assert abs(within.sum() / FINE**2 - areas[i]) < 0.1
            assert abs(shows.sum() / FINE**2 - seen[i]) < 0.1
            assert shows.any()
            # Every point that shows is in the fitted box, which is no larger than the box, and turned as it is.
            again, _, _ = points(fitted[i])
            assert (again | ~shows).all()
            assert not (again & ~within).any()
            assert np.ptp(u[shows]) * (box[2:4] - box[:2]).norm() == pytest.approx(
                (fitted[i, 2:4] - fitted[i, :2]).norm().item(), abs=0.5
            )


@pytest.mark.parametrize("form", FORMATS)
def test_they_are_filtered_and_shrink(form):
    boxes = plain(boxes_of(form))
    corners = to_corners(boxes, form)
    t = ad.CoarseDropout((3, 3), (5, 5), (5, 5), seed=2, annotations=Policy(boxes="shrink", min_visibility=0.5))
    out = t(sample(form), keys=3)
    areas, seen, fitted = shown_turned(corners, t.plan((3, H, W), keys=3).mask()[0], inside=False)
    stay = seen >= 0.5 * areas
    assert out["labels"].tolist() == stay.nonzero().flatten().tolist() != list(range(6))
    assert (out["boxes"].format.value, out["boxes"].canvas_size) == (form, (H, W))
    left = plain(out["boxes"])
    whole = (areas - seen < 1e-6)[stay]
    torch.testing.assert_close(to_corners(left, form)[~whole], fitted[stay][~whole])
    assert torch.equal(left[whole], boxes[stay][whole])
    assert form == "XYXYXYXY" or torch.equal(left[:, 4], boxes[stay][:, 4])


def test_a_mask_says_what_is_left_of_the_box():
    box = torch.tensor([[3.0, 1, 9, 1, 9, 7, 3, 7]])  # upright, but corner by corner
    mask = torch.zeros(1, H, W, dtype=torch.bool)
    mask[0, 2:6, 4:8] = True
    dropped = torch.zeros(1, H, W, dtype=torch.bool)
    dropped[0, :4] = True
    plan = plan_of(regions.Mask.of(dropped))
    (left,) = erase([Objects(boxes=box, masks=mask)], plan, Policy(boxes="shrink"))
    assert left.boxes is not None
    assert left.boxes.tolist() == [[4, 4, 8, 4, 8, 6, 4, 6]]
    (gone,) = erase([Objects(boxes=box)], plan, Policy(boxes="filter", by="centre", removed="flag"))
    assert gone.visible is not None
    assert gone.visible.tolist() == [True]  # the centre, (6, 4), is in the first row that is left


@pytest.mark.parametrize("form", FORMATS)
def test_partners_bring_theirs(form):
    t = ad.CutMix(seed=5)
    out = t([sample(form), sample(form, seed=1)], keys=[1, 4])[0]
    plan = t.plan((2, 3, H, W), keys=[1, 4])
    _, seen, fitted = shown_turned(to_corners(plain(boxes_of(form, seed=1)), form), plan.mask()[0], inside=True)
    theirs = out["labels"] >= 10
    assert theirs.any()
    torch.testing.assert_close(to_corners(plain(out["boxes"])[theirs], form), fitted[out["labels"][theirs] - 10])
    assert (seen[out["labels"][theirs] - 10] > 0).all()
    with pytest.raises(AugDropError, match="boxes as"):
        t([sample(form), sample("CXCYWHR" if form == "XYWHR" else "XYWHR")], keys=[1, 4])


def test_erasing_inside_of_them_is_inside_of_the_upright_boxes_around_them():
    turned = sample("CXCYWHR")
    around = tv_tensors.BoundingBoxes(
        upright(to_corners(plain(turned["boxes"]), "CXCYWHR")), format="XYXY", canvas_size=(H, W)
    )
    t = ad.RandomErasing(objects="only", p=1.0, seed=0, fill=0)
    assert torch.equal(t(turned, keys=1)["image"], t(turned | {"boxes": around}, keys=1)["image"])
