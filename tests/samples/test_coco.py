"""COCO's targets as torchvision hands them over: areas follow their objects, and so do lists with a value for each."""

import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from augdrop import Policy
from tests.samples.cases import BOX, H, W, images, run

BOXES = [[2.0, 1, 8, 5], [0, 0, 2, 1], [1, 0, 9, 2]]
"""The first is inside of what is dropped (rows 1 to 4, columns 2 to 7), the second outside, the third loses a part."""


def target(wrap=list, shift=0, masks=False):
    corners = torch.tensor(BOXES)
    x0, y0, x1, y1 = corners.unbind(1)
    found = {
        "boxes": tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(H, W)),
        "labels": torch.tensor([5, 6, 7]) + shift,
        "area": wrap(((x1 - x0) * (y1 - y0)).tolist()),
        "iscrowd": wrap([0, 1, 0]),
        "image_id": 40 + shift,
    }
    if masks:
        ys, xs = torch.arange(H)[:, None], torch.arange(W)
        rows = [(y >= b[1]) & (y < b[3]) & (x >= b[0]) & (x < b[2]) for b in BOXES for y, x in [(ys, xs)]]
        found["masks"] = tv_tensors.Mask(torch.stack(rows))
    return found


def plain(values):
    return values.tolist() if isinstance(values, torch.Tensor) else values


@pytest.mark.parametrize("wrap", [list, torch.tensor])
def test_what_is_left_of_an_object_has_its_area(wrap):
    image, shrunk = run(images(), target(wrap), policy=Policy(boxes="shrink"))
    assert plain(shrunk["boxes"]) == BOXES[1:] and plain(shrunk["area"]) == [2.0, 16.0], "its box has not shrunk"
    assert plain(shrunk["iscrowd"]) == [1, 0] and shrunk["image_id"] == 40
    _, cut = run(images(), target(wrap, masks=True), policy=Policy(boxes="filter", masks="cut"))
    assert plain(cut["area"]) == cut["masks"].flatten(1).sum(1).tolist() == [2, 10]
    assert type(cut["area"]) is type(target(wrap)["area"])


def test_areas_by_another_count_lose_the_same_share():
    scaled = target(torch.tensor, masks=True) | {"area": torch.tensor([2400, 200, 1601])}
    _, cut = run(images(), scaled, policy=Policy(masks="cut"))
    assert cut["area"].tolist() == [0, 200, round(1601 * 10 / 16)]
    kept = run(images(), scaled)[1]
    assert torch.equal(kept["area"], scaled["area"])


@pytest.mark.parametrize("form", ["samples", "columns"])
def test_a_partner_brings_its_values(form):
    names = [["a", "b", "c"], ["d", "e", None]]
    pairs = [(images(), target(shift=10 * b) | {"names": names[b]}) for b in range(2)]
    given = (pairs,) if form == "samples" else tuple(list(part) for part in zip(*pairs, strict=True))
    out = run(*given, mixes=True, policy=Policy(boxes="filter"))
    first = out[0][1] if form == "samples" else out[1][0]
    # Own objects that are seen, then the partner's that were pasted: the first as a whole, and a part of the third.
    assert first["labels"].tolist() == [6, 7, 15, 17] and first["names"] == ["b", "c", "d", None]
    y0, x0, y1, x1 = BOX
    assert first["area"] == [2.0, 16.0, (y1 - y0) * (x1 - x0), 6.0] and first["iscrowd"] == [1, 0, 0, 0]
    assert pairs[0][1]["names"] == ["a", "b", "c"], "the caller's own stay as they are"


def test_labels_may_be_words():
    t = ad.RandomErasing(area=(0.5, 0.5), p=1.0, seed=0, annotations=Policy(boxes="filter", min_visibility=1.0))
    words = ["cat", "dog", "owl"]
    batch = [{"image": images(seed=b), "boxes": torch.tensor(BOXES), "labels": list(words)} for b in range(8)]
    for before, after in zip(batch, t(batch, keys=range(8)), strict=True):
        kept = [row in after["boxes"].tolist() for row in BOXES]
        assert after["labels"] == [word for word, stays in zip(words, kept, strict=True) if stays]
        assert before["labels"] == words
    mixed = ad.CutMix(num_classes=3, seed=0)(batch, keys=range(8))
    assert all(len(m["labels"]) == len(m["boxes"]) for m in mixed)


def test_the_words_of_voc_do_not_go_stale_in_silence():
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(str, range(2, 6)), strict=True))
    record = {"annotation": {"object": [{"name": "dog", "bndbox": corners}]}}
    image, kept = run(images(), record)
    assert kept == record
    with pytest.raises(ad.AugDropError, match="VOC's record of objects"):
        run(images(), record, policy=Policy(boxes="filter"))
