import collections
import copy
import dataclasses
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

import augdrop as ad
from augdrop import AugDropError, Policy, regions
from augdrop.annotations import ERASING, MIXING
from augdrop.kernels.dispatch import apply
from augdrop.samples import unpack
from tests.helpers import Untouched, plan_of, same

H, W = 8, 10
BOX = (1, 2, 5, 8)
KEEP = Policy(keypoints="keep")
SOFT = {"num_classes": 4}


def boxes_plan(n, hit=True, mixes=False, size=(H, W)):
    region = regions.Boxes(size, torch.tensor(BOX).expand(n, 1, 4))
    partner = torch.arange(n).roll(-1) if mixes else None
    return plan_of(region, hit=torch.full((n,), hit), partner=partner)


def run(*inputs, hit=True, mixes=False, options=None, policy=None, getter: Any = "default", inplace=False):
    """Unpack, paint one box a sample, put together; the inputs must not change."""

    def paint(x, plan, ours):
        return apply(x, plan, inplace=inplace or ours)

    def whole():
        batch = unpack(inputs, labels_getter=getter)
        plans = [boxes_plan(len(g.positions), hit, mixes, g.images.shape[-2:]) for g in batch.groups]
        policy_ = policy or (MIXING if mixes else ERASING)
        return batch.finish(paint, plans, mixes=mixes, label_options=options, policies=policy_)

    if inplace:
        return whole()
    with Untouched(inputs):
        return whole()


def erased(x):
    """An image tensor with the box set to 0."""
    x = x.clone()
    x[..., BOX[0] : BOX[2], BOX[1] : BOX[3]] = 0
    return x


def pasted(x, other):
    x = x.clone()
    x[..., BOX[0] : BOX[2], BOX[1] : BOX[3]] = other[..., BOX[0] : BOX[2], BOX[1] : BOX[3]]
    return x


def images(n=None, channels=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, H, W) if n is None else (n, channels, H, W)
    return torch.randint(1, 200, shape, generator=generator).to(dtype)


def sample(seed=0, k=2):
    """A detection sample as torchvision v2 has it."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 8, (k, 2, 2)), axis=1).reshape(k, 4)
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(corners), format="XYXY", canvas_size=(H, W))
    return {
        "image": tv_tensors.Image(images(seed=seed)),
        "boxes": boxes,
        "masks": tv_tensors.Mask(torch.from_numpy(rng.random((k, H, W)) < 0.5)),
        "labels": torch.arange(k) + 10 * seed,
        "image_id": torch.tensor([seed]),
        "name": f"photo {seed}",
        "key": seed,
    }


Pair = collections.namedtuple("Pair", "image target")


@dataclasses.dataclass(eq=True)
class Info:
    name: str


ROUND_TRIPS = {
    "tensor": images(),
    "batch": images(2),
    "video": images(2)[:, None].expand(2, 3, 3, H, W),
    "pair": (images(), 3),
    "batch pair": (images(2), torch.tensor([0, 1])),
    "collated list": [images(2), torch.tensor([0, 1])],
    "named tuple": Pair(images(), torch.tensor(1)),
    "dict": {"labels": torch.tensor([1, 2]), "pixel_values": images(2), "text": ["a", "b"]},
    "ordered": collections.OrderedDict(z=1, image=images(), a=None),
    "nested": {"meta": {"info": Info("x"), "sizes": [(1, 2), (3, 4)]}, "data": (images(), {"y": 3})},
    "list of tensors": [images(), images(seed=1)],
    "list of pairs": [(images(), 1), (images(seed=1), 2)],
    "list of dicts": [sample(0), sample(1, 3)],
    "detection collate": ((images(), images(seed=1)), ({"boxes": torch.ones(1, 4)}, {"boxes": torch.ones(2, 4)})),
    "dict of lists": {"image": [images(), images(seed=1)], "label": [0, 1]},
    "sizes": [images(), images()[:, :, :5], images(seed=1)],
    "array": images().permute(1, 2, 0).numpy().astype(np.uint8),
    "PIL": PIL.Image.fromarray(images(dtype=torch.uint8).permute(1, 2, 0).numpy()),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_the_same_nesting_comes_back(name):
    inputs = ROUND_TRIPS[name]
    out = run(inputs, hit=False, policy=KEEP)
    assert same(out, inputs)
    if isinstance(inputs, (dict, list)):
        assert out is not inputs


def test_several_inputs_come_back_as_a_tuple():
    assert type(run(images(2), torch.tensor([0, 1]))) is tuple
    assert same(run(images(2), torch.tensor([0, 1])), (erased(images(2)), torch.tensor([0, 1])))


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(list(sample())))
def test_any_order_of_keys(order):
    given_samples = [{key: sample(seed)[key] for key in order} for seed in (0, 1)]
    out = run(given_samples, mixes=True, options=SOFT)
    expected = run([sample(0), sample(1)], mixes=True, options=SOFT)
    for mine, theirs in zip(out, expected, strict=True):
        assert list(mine) == order
        assert same(mine, {key: theirs[key] for key in order})


@pytest.mark.parametrize("order", [("labels", "pixel_values"), ("pixel_values", "labels")])
def test_labels_are_never_taken_for_the_image(order):
    batch = {"pixel_values": images(2), "labels": torch.tensor([0, 3])}
    out = run({key: batch[key] for key in order}, mixes=True, options=SOFT)
    assert torch.equal(out["pixel_values"], pasted(images(2), images(2).flip(0)))
    torch.testing.assert_close(out["labels"], torch.tensor([[0.7, 0, 0, 0.3], [0.3, 0, 0, 0.7]]))


@pytest.mark.parametrize("key", ["image", "images", "img", "pixel_values", "video", "inputs", "x"])
def test_images_by_name_before_position(key):
    sample = {"depth": torch.ones(1, H, W), key: images()}
    assert same(run(sample), {"depth": torch.ones(1, H, W), key: erased(images())})


def test_the_first_array_of_three_axes_if_no_name_says():
    sample = {"target": torch.ones(2, 3, 3), "thing": images(), "other": images(seed=1)}
    assert same(run(sample), {**sample, "thing": erased(images())})


def test_all_wrapped_images_of_a_sample_share_the_draw():
    sample = {"depth": tv_tensors.Image(images(channels=1)), "rgb": tv_tensors.Image(images()), "x": images(seed=4)}
    out = run(sample)
    assert same(out["depth"], tv_tensors.Image(erased(images(channels=1))))
    assert same(out["rgb"], tv_tensors.Image(erased(images())))
    assert torch.equal(out["x"], images(seed=4))
    out = run([sample, sample])
    assert same(out[1]["depth"], tv_tensors.Image(erased(images(channels=1))))


def test_groups_by_size_and_dtype():
    small, other = images()[:, :6, :9], images().double()
    inputs = [images(), small, other, images(seed=1)]
    batch = unpack((inputs,))
    assert batch.size == 4
    assert [g.positions for g in batch.groups] == [[0, 3], [1], [2]]
    assert same(run(inputs), [erased(images()), erased(small), erased(other), erased(images(seed=1))])


def test_video_classes():
    video = tv_tensors.Video(images(5))
    assert unpack((video,)).groups[0].images.shape == (1, 5, 3, H, W)
    assert unpack((images(5),)).groups[0].images.shape == (5, 3, H, W)
    assert same(run(video), tv_tensors.Video(erased(images(5))))


def test_memory_format_and_identity_in_place():
    x = images(2).contiguous(memory_format=torch.channels_last)
    assert run(x).is_contiguous(memory_format=torch.channels_last)
    rows = run([x[0], x[1]])
    assert all(row.permute(1, 2, 0).is_contiguous() for row in rows)
    for leaf in (images(2), images(), tv_tensors.Image(images()), images().permute(1, 2, 0).numpy()):
        before = copy.deepcopy(leaf)
        out = run({"image": leaf}, inplace=True)
        assert out["image"] is leaf
        assert not same(leaf, before)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "I", "F"])
def test_pil_images(mode):
    source = images(channels=len(PIL.Image.new(mode, (1, 1)).getbands())).permute(1, 2, 0)
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    array = (source.squeeze(-1).numpy() * (300 if mode == "I;16" else 1)).astype(dtype)
    picture = PIL.Image.fromarray(array)
    assert picture.mode == mode
    out = run(picture)
    expected = array.copy()
    colours = slice(0, -1) if mode.endswith("A") else slice(None)
    if array.ndim == 2:
        expected[1:5, 2:8] = 0
    else:
        expected[1:5, 2:8, colours] = 0
    assert out.mode == mode
    assert np.array_equal(np.asarray(out), expected)
    assert same(run([picture, picture]), [out, out])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_arrays_have_channels_last(dtype):
    array = images().permute(1, 2, 0).numpy().astype(dtype)
    expected = array.copy()
    expected[1:5, 2:8] = 0
    assert same(run(array), expected)
    assert same(run(np.stack([array, array])), np.stack([expected, expected]))


def test_arrays_with_odd_memory():
    array = images().permute(1, 2, 0).numpy()
    flipped, frozen = array[:, ::-1], array.copy()
    frozen.flags.writeable = False
    for odd in (flipped, frozen, array[:, :, ::2]):
        expected = odd.copy()
        expected[1:5, 2:8] = 0
        assert np.array_equal(run(odd), expected)


def test_palette_masks_of_segmentation_data_sets():
    mask = PIL.Image.fromarray(np.arange(H * W, dtype=np.uint8).reshape(H, W) % 7).convert("P")
    mask.putpalette([9, 8, 7] * 256)
    out = run(
        {"image": PIL.Image.new("RGB", (W, H), "white"), "mask": mask}, policy=Policy(masks="fill", mask_fill=255)
    )
    expected = np.array(mask)
    expected[1:5, 2:8] = 255
    assert out["mask"].mode == "P"
    assert out["mask"].getpalette() == mask.getpalette()
    assert np.array_equal(np.asarray(out["mask"]), expected)


MIXED = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.3, 0.7, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("inputs", "labels_of"),
    [
        ((images(2), torch.tensor([0, 1])), lambda out: out[1]),
        (([images(2), torch.tensor([0, 1])],), lambda out: out[1]),
        (({"label": torch.tensor([0, 1]), "image": images(2)},), lambda out: out["label"]),
        (({"a": {"Target": torch.tensor([0, 1])}, "image": images(2)},), lambda out: out["a"]["Target"]),
        (({"my_label_id": torch.tensor([0, 1]), "image": images(2)},), lambda out: out["my_label_id"]),
        (({"image": [images(), images()], "label": [0, 1]},), lambda out: torch.stack(out["label"])),
        (([(images(), 0), (images(), 1)],), lambda out: torch.stack([o[1] for o in out])),
        (
            ([{"y": np.int64(0), "x": images()}, {"y": np.int64(1), "x": images()}],),
            lambda out: torch.stack([o["y"] for o in out]),
        ),
        (([(images(), torch.eye(4)[0]), (images(), torch.eye(4)[1])],), lambda out: torch.stack([o[1] for o in out])),
        (({"labels": np.array([0, 1]), "image": images(2)},), lambda out: torch.from_numpy(out["labels"])),
    ],
)
def test_class_labels_wherever_they_are(inputs, labels_of):
    torch.testing.assert_close(labels_of(run(*inputs, mixes=True, options=SOFT)), MIXED)
    assert same(run(*inputs, hit=False, mixes=True), inputs[0] if len(inputs) == 1 else inputs)


def test_pairs_in_the_place_of_labels():
    first, second, own = run(images(2), torch.tensor([0, 1]), mixes=True, options={"form": "pairs"})[1]
    assert (first.tolist(), second.tolist()) == ([0, 1], [1, 0])
    torch.testing.assert_close(own, torch.tensor([0.7, 0.7]))
    out = run([(images(), 0), (images(), 1)], mixes=True, options={"form": "pairs"})
    assert [(int(a), int(b)) for _, (a, b, _) in out] == [(0, 1), (1, 0)]


def test_a_single_sample_keeps_the_weight_of_its_label():
    out = run(images(), 2, mixes=True, hit=False, options=SOFT)
    assert out[1].tolist() == [0, 0, 1, 0]


def test_labels_getter():
    batch = {"image": images(2), "kind": torch.tensor([0, 1]), "labels": torch.tensor([3, 3])}
    out = run(batch, mixes=True, options=SOFT, getter=lambda b: b["kind"])
    torch.testing.assert_close(out["kind"], MIXED)
    assert out["labels"].tolist() == [3, 3]
    assert same(run(batch, mixes=True, options=SOFT, getter=None)["labels"], batch["labels"])
    rows = [{"image": images(), "kind": torch.tensor(i)} for i in range(2)]
    out = run(rows, mixes=True, options=SOFT, getter=lambda s: s["kind"])
    torch.testing.assert_close(torch.stack([o["kind"] for o in out]), MIXED)


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
    with pytest.raises(AugDropError, match=r"boxes as CXCYWH .* what sample 0 has: .* boxes as XYWH"):
        run([given_boxes("XYWH"), given_boxes("CXCYWH")], mixes=True)


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


@pytest.mark.parametrize(
    ("inputs", "keys"),
    [
        ({"image": images(), "key": 7}, [7]),
        ({"image": images(), "key": torch.tensor(7)}, [7]),
        ({"keys": torch.tensor([3, 4]), "image": images(2)}, [3, 4]),
        ({"keys": [3, 4], "image": images(2)}, [3, 4]),
        ({"keys": np.array([3, 4]), "image": images(2)}, [3, 4]),
        ([{"key": 9, "x": images()}, {"x": images(), "key": 8}], [9, 8]),
        ({"image": images(), "key": "photo.jpg"}, None),
        (images(), None),
    ],
)
def test_keys(inputs, keys):
    found = unpack((inputs,)).keys
    assert (None if found is None else found.tolist()) == keys
    assert found is None or found.dtype == torch.int64


def test_an_empty_batch():
    x, y = run(images(2)[:0], torch.zeros(0, dtype=torch.int64), mixes=True, options=SOFT)
    assert (x.shape, y.shape) == ((0, 3, H, W), (0, 4))
    empty = {"image": images(2)[:0], "masks": torch.zeros(0, H, W), "boxes": [], "keypoints": torch.zeros(0, 2, 3)}
    assert same(run(empty), empty)


def test_labels_and_annotations_are_checked_before_anything_is_painted():
    def paint(x, plan, ours):
        raise AssertionError("painted")

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
            unpack((bad,)).finish(paint, [plan], mixes=True, label_options=SOFT, policies=MIXING)


@pytest.mark.parametrize(
    "sample", [{"image": images(2)}, [{"image": images(), "name": "a"}] * 2, (images(2), ["cat", "dog"])]
)
def test_a_sample_without_labels_is_not_mixed_in_silence(sample):
    with pytest.raises(AugDropError, match="labels: got a sample in which none can be told"):
        run(sample, mixes=True, options=SOFT)
    for options, getter in ((SOFT, None), ({}, "default")):
        run(sample, mixes=True, options=options, getter=getter)
    run({"image": images(2), "mask": torch.ones(2, H, W)}, mixes=True, options=SOFT)


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


def test_one_grey_array_is_told_to_add_its_channel():
    with pytest.raises(AugDropError, match="Add a channel axis"):
        ad.Cutout(2)(np.ones((H, W), np.uint8))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"bboxes": [[1, 2, 5, 8], [0, 0, 3, 3]]}, "boxes: got a list of numbers; .* torch.tensor"),
        ({"bbox": torch.ones(2, 4)}, "boxes: got 'bbox', which may be x, y, w, h"),
        ({"boxes": torch.ones(2, 4), "labels": ["cat", "dog"]}, "boxes: labels: got a list beside them"),
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


def test_boxes_in_one_tensor_cannot_differ_in_number():
    boxes = torch.tensor([[[2.0, 1, 8, 5], [0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 1, 1]]])
    assert torch.equal(run({"image": images(2), "boxes": boxes})["boxes"], boxes)
    with pytest.raises(AugDropError, match=r"different numbers of objects; expected a list"):
        run({"image": images(2), "boxes": boxes}, policy=Policy(boxes="filter"))


@pytest.mark.parametrize(
    ("inputs", "getter", "message"),
    [
        ({"image": images(2), "kind": torch.tensor([0, 1])}, "default", "none can be told; .* labels_getter"),
        ({"image": images(2), "kind": torch.tensor([0, 1])}, lambda b: b["kind"].clone(), "the very tensor"),
        ({"image": images(2), "kind": torch.tensor([0, 1])}, "labels", "'default', a function or None"),
        ([(images(), torch.zeros(2)), (images(), torch.zeros(3))], "default", "one shape for all samples"),
        ((images(2), torch.tensor([0.0, 1.0])), "default", "integer class indices"),
    ],
)
def test_labels_that_cannot_be_found_or_mixed(inputs, getter, message):
    with pytest.raises(AugDropError, match=message):
        run(inputs, mixes=True, options=SOFT, getter=getter)
