"""albumentations: every method that mixes nothing, in A.Compose, beside the core's own result."""

import copy
import json
import os
import pickle

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["ALBUMENTATIONS_NO_TELEMETRY"] = "1"

import albumentations as A
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import augdrop as ad
from augdrop.adapters.description import describe, rebuild
from tests.adapters.cases import NAMES, Brightest, make

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 48, 3), dtype=np.uint8)
MASK = RNG.integers(0, 9, (40, 48), dtype=np.uint8)
MASKS = (RNG.random((4, 40, 48)) < 0.5).astype(np.uint8)
BOXES = np.array([[2, 3, 12, 30], [10, 10, 48, 40], [0, 0, 5, 5], [20, 14, 31, 22]], np.float32)
LABELS = [7, 8, 9, 10]
POINTS = np.array([[4, 4], [20, 17], [39, 33], [45, 2], [12, 30]], np.float32)
NEW_HOOKS = hasattr(A.BasicTransform, "sample_parameters")
FORMAT = "coord_format" if NEW_HOOKS else "format"  # AlbumentationsX has renamed it


class Stripes(ad.RegionalDropout):
    """A user's own."""

    def __init__(self, period=(6, 10), **options):
        super().__init__(ad.regions.RandomGrid(period), fill="noise", **options)


def build(name, **options):
    if name == "Stripes":
        return Stripes(seed=0, **options)
    if name == "Brightest":
        return Brightest(seed=0, **options)
    if name == "RegionalDropout":
        return ad.RegionalDropout(ad.regions.RandomGrid((8, 16)), fill="mean", seed=0, **options)
    if name == "OneOf":
        members = [ad.Cutout(16, **options), ad.GridMask((8, 16), **options), ad.Identity()]
        return ad.OneOf(members, weights=[3, 3, 1], seed=0)
    if name == "Compose":
        members = [ad.Cutout(8, **options), Stripes(seed=5, **options), ad.OneOf([ad.Cutout(8, **options)])]
        return ad.Compose(members, seed=0)
    return make(name, **options)


ERASING = [name for name in [*NAMES, "Stripes", "Brightest"] if not build(name).mixes]
MIXING = [name for name in NAMES if make(name).mixes]


def compose(t, **options):
    return A.Compose([ad.to_albumentations(t)], **options)


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("name", ERASING)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_the_cores(name, dtype):
    image, t = IMAGE.astype(dtype), build(name)
    expected = t({"image": image}, keys=17, epoch=3)["image"]
    stage, before = compose(t), image.copy()
    with ad.keys(17, 3):
        assert same(stage(image=image)["image"], expected)
    assert same(image, before)
    grey = t({"image": image[..., :1]}, keys=17)["image"]
    assert same(stage(image=image[..., :1], key=17)["image"], grey)
    if not NEW_HOOKS:
        assert same(stage(image=image[..., 0], key=17)["image"], grey[..., 0])


@pytest.mark.parametrize("name", ERASING)
def test_keys_come_from_the_call_or_from_around_it(name):
    t = build(name)
    stage = compose(t, strict=True)
    results = [stage(image=IMAGE, key=k)["image"] for k in range(12)]
    for k, result in enumerate(results):
        assert same(result, t({"image": IMAGE}, keys=k)["image"])
        with ad.keys(k):
            assert same(stage(image=IMAGE, key=99)["image"], result)
    assert stage(image=IMAGE, key=np.int64(3))["key"] == 3


@pytest.mark.parametrize("name", ERASING)
def test_images_and_volumes_share_a_region(name):
    t, frames = build(name), RNG.integers(0, 256, (4, 40, 48, 3), dtype=np.uint8)
    expected = t({"video": torch.from_numpy(frames).permute(0, 3, 1, 2)}, keys=5)["video"].permute(0, 2, 3, 1).numpy()
    stage = compose(t)
    assert same(stage(images=frames, key=5)["images"], expected)
    assert same(stage(volume=frames, key=5)["volume"], expected)
    assert same(stage(volumes=np.stack([frames, frames]), key=5)["volumes"][0], expected)
    assert same(np.stack(stage(images=list(frames), key=5)["images"]), expected)


def test_slices_may_have_regions_of_their_own():
    t = build("Stripes", per_frame=True, annotations=ad.Policy(masks="fill", mask_fill=255))
    frames = np.full((4, 40, 48, 3), 7, np.uint8)
    expected = t({"video": torch.from_numpy(frames).permute(0, 3, 1, 2)}, keys=5)["video"].permute(0, 2, 3, 1).numpy()
    out = compose(t)(volume=frames, mask3d=np.zeros((4, 40, 48), np.uint8), key=5)
    assert same(out["volume"], expected)
    plan = t.plan((1, 4, 3, 40, 48), keys=[5])
    assert np.array_equal(out["mask3d"] == 255, plan.mask().numpy())


@pytest.mark.parametrize("name", ERASING)
@pytest.mark.parametrize("masks", ["keep", "fill", "cut"])
def test_masks_are_the_cores(name, masks):
    t = build(name, annotations=ad.Policy(masks=masks, mask_fill=255))
    expected = t({"image": IMAGE, "mask": MASK}, keys=8)["mask"]
    objects = t({"image": IMAGE, "masks": MASKS}, keys=8)["masks"]
    out = compose(t)(image=IMAGE, mask=MASK, masks=MASKS, key=8)
    assert same(out["mask"], expected) and same(np.asarray(out["masks"]), objects)
    channels = compose(t)(image=IMAGE, mask=np.stack([MASK, MASK + 1], -1), key=8)["mask"]
    assert same(channels[..., 0], expected) and channels.shape == (40, 48, 2)
    volume = np.stack([IMAGE] * 3)
    slices = compose(t)(volume=volume, mask3d=np.stack([MASK] * 3), key=8)
    assert all(same(m, expected) for m in slices["mask3d"])


@pytest.mark.parametrize("name", ERASING)
@pytest.mark.parametrize("kept", ["keep", "filter", "shrink"])
@pytest.mark.parametrize("form", ["pascal_voc", "coco", "yolo", "albumentations"])
def test_boxes_follow_the_policy_and_labels_follow_them(name, kept, form):
    t = build(name, annotations=ad.Policy(boxes=kept, min_visibility=0.6))
    sample = {"image": IMAGE, "boxes": BOXES, "labels": np.array(LABELS)}
    expected = t(sample, keys=8)
    given = written(BOXES, form)
    params = A.BboxParams(**{FORMAT: form}, label_fields=["labels"])
    out = compose(t, bbox_params=params)(image=IMAGE, bboxes=given, labels=LABELS, key=8)
    assert list(out["labels"]) == expected["labels"].tolist()
    np.testing.assert_allclose(out["bboxes"], written(expected["boxes"], form), atol=1e-4)


def written(boxes, form):
    """Boxes ``x0, y0, x1, y1`` in one of albumentations' formats."""
    side = np.array([48, 40, 48, 40], np.float32)
    x0, y0, x1, y1 = boxes.T
    forms = {
        "pascal_voc": boxes,
        "albumentations": boxes / side,
        "coco": np.stack([x0, y0, x1 - x0, y1 - y0], 1),
        "yolo": np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1) / side,
    }
    return forms[form]


def test_members_of_a_choice_go_by_their_own_policies():
    policies = [
        ad.Policy(boxes="filter", min_visibility=0.9, masks="fill", mask_fill=255, keypoints="remove"),
        ad.Policy(boxes="shrink", min_visibility=0.0, masks="cut", mask_fill=7, keypoints="keep"),
    ]
    t = ad.OneOf([ad.Cutout(30, annotations=policy) for policy in policies], seed=0)
    boxes, points = A.BboxParams(**{FORMAT: "pascal_voc"}), A.KeypointParams(**{FORMAT: "xy"}, remove_invisible=False)
    stage, drawn = compose(t, bbox_params=boxes, keypoint_params=points), set()
    for key in range(12):
        (member,) = t.plan((3, 40, 48), keys=key).plans[1].hit.tolist()
        drawn.add(member)
        expected = t.members[member]({"image": IMAGE, "boxes": BOXES, "mask": MASK, "keypoints": POINTS}, keys=key)
        out = stage(image=IMAGE, mask=MASK, masks=MASKS, bboxes=BOXES, keypoints=POINTS, key=key)
        np.testing.assert_allclose(out["bboxes"], expected["boxes"], atol=1e-4)
        np.testing.assert_allclose(out["keypoints"], expected["keypoints"], atol=1e-4)
        assert same(out["mask"], expected["mask"])
        left = t.plan((3, 40, 48), keys=key).mask().logical_not().numpy()
        assert same(np.asarray(out["masks"]), MASKS * left if member else MASKS)
    assert drawn == {False, True}


def test_albumentations_own_rules_come_after_the_policy():
    t = ad.RegionalDropout(ad.regions.RandomCells((2, 2), 0.5), seed=0, annotations=ad.Policy(boxes="shrink"))
    boxes = np.array([[0, 0, 48, 20], [4, 4, 8, 8], [4, 30, 8, 34]], np.float32)
    shrunk = t({"image": IMAGE, "boxes": boxes}, keys=3)["boxes"]
    for limits in ({}, {"min_area": 200}):
        params = A.BboxParams(**{FORMAT: "pascal_voc"}, **limits)
        out = compose(t, bbox_params=params)(image=IMAGE, bboxes=boxes, key=3)["bboxes"]
        sides = shrunk[:, 2:] - shrunk[:, :2]
        np.testing.assert_allclose(out, shrunk[sides.prod(1) >= limits.get("min_area", 0)], atol=1e-4)


def test_a_transform_may_look_at_the_boxes():
    t = ad.RandomErasing(objects="only", seed=0)
    params = A.BboxParams(**{FORMAT: "pascal_voc"})
    expected = t({"image": IMAGE, "boxes": BOXES}, keys=4)["image"]
    assert same(compose(t, bbox_params=params)(image=IMAGE, bboxes=BOXES, key=4)["image"], expected)
    assert same(compose(t)(image=IMAGE, key=4)["image"], t({"image": IMAGE}, keys=4)["image"])


@pytest.mark.parametrize("name", ERASING)
@pytest.mark.parametrize("rule", ["keep", "flag", "remove"])
@pytest.mark.parametrize("remove_invisible", [True, False])
def test_keypoints_go_as_the_policy_and_albumentations_say(name, rule, remove_invisible):
    t = build(name, annotations=ad.Policy(keypoints=rule))
    hidden = np.zeros(5, bool)
    if rule != "keep" and (rule == "remove" or remove_invisible):
        flagged = build(name, annotations=ad.Policy(keypoints="flag"))
        hidden = ~flagged({"image": IMAGE, "keypoints": POINTS}, keys=8)["keypoints_visible"]
    params = A.KeypointParams(**{FORMAT: "xy"}, label_fields=["names"], remove_invisible=remove_invisible)
    out = compose(t, keypoint_params=params)(image=IMAGE, keypoints=POINTS, names=list("abcde"), key=8)
    np.testing.assert_allclose(out["keypoints"], POINTS[~hidden], atol=1e-4)
    assert list(out["names"]) == list(np.array(list("abcde"))[~hidden])


@pytest.mark.parametrize("name", ERASING)
@pytest.mark.parametrize("none", [[], np.zeros((0, 4), np.float32)], ids=["list", "array"])
def test_images_without_objects_pass(name, none):
    params = {"bbox_params": A.BboxParams("coco", label_fields=["words"]), "keypoint_params": A.KeypointParams("xy")}
    pipeline = A.Compose([ad.to_albumentations(build(name))], **params)
    image = np.zeros((24, 24, 3), np.uint8)
    out = pipeline(image=image, bboxes=none, words=[], keypoints=[])
    assert len(out["bboxes"]) == len(out["keypoints"]) == len(out["words"]) == 0


def test_without_keys_albumentations_seed_governs():
    t = ad.GridMask((8, 16))

    def run(seed):
        stage = A.Compose([A.HorizontalFlip(p=0.5), ad.to_albumentations(t)], seed=seed)
        return [stage(image=IMAGE)["image"] for _ in range(4)]

    first, again, other = run(0), run(0), run(1)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not all(same(a, b) for a, b in zip(first, other, strict=True))
    assert not same(first[0], first[1])


@pytest.mark.parametrize("name", ERASING)
def test_to_dict_and_back(name, tmp_path):
    t = build(name, annotations=ad.Policy(masks="fill", mask_fill=255))
    stage = A.Compose([ad.to_albumentations(t, p=0.75)])
    expected = t({"image": IMAGE, "mask": MASK}, keys=8)
    A.save(stage, tmp_path / "stage.json")
    for again in (A.from_dict(json.loads(json.dumps(A.to_dict(stage)))), A.load(tmp_path / "stage.json")):
        assert again.transforms[0].p == 0.75
        again.transforms[0].p = 1.0
        out = again(image=IMAGE, mask=MASK, key=8)
        assert same(out["image"], expected["image"]) and same(out["mask"], expected["mask"])


@pytest.mark.parametrize("name", [*NAMES, "Stripes"])
def test_a_description_makes_the_same_transform(name):
    for t in (build(name), make(name) if name in NAMES else Stripes((4, 9), seed=3)):
        again = rebuild(json.loads(json.dumps(describe(t))))
        x = torch.rand(6, 3, 40, 48)
        assert torch.equal(again(x, keys=range(6)), t(x, keys=range(6)))
        assert describe(again) == describe(t)


def test_descriptions_keep_fills_samplers_ramps_and_seeds():
    t = ad.Compose(
        [
            ad.RandomErasing.preset("timm-pixel", p=ad.Ramp(0.8, epochs=4), seed=9),
            ad.RegionalDropout(ad.regions.RandomCells((4, 4), 0.3), fill=(1.0, 2.0, 3.0)),
            ad.OneOf([ad.Cutout(4), ad.Compose([ad.Cutout(4), ad.Cutout(4)])], weights=[1, 3]),
        ],
        seed=2,
    )
    again = rebuild(json.loads(json.dumps(describe(t))))
    x = torch.rand(8, 3, 32, 32)
    assert torch.equal(again(x, keys=range(8), epoch=3), t(x, keys=range(8), epoch=3))


@pytest.mark.parametrize("name", ERASING)
def test_replay(name):
    t = build(name, annotations=ad.Policy(masks="fill", mask_fill=255))
    stage = A.ReplayCompose([A.HorizontalFlip(p=0.5), ad.to_albumentations(t)])
    out = stage(image=IMAGE, mask=MASK)
    again = A.ReplayCompose.replay(out["replay"], image=IMAGE, mask=MASK)
    assert same(again["image"], out["image"]) and same(again["mask"], out["mask"])
    other = A.ReplayCompose.replay(out["replay"], image=np.zeros_like(IMAGE), mask=MASK)
    assert same(other["mask"], out["mask"])


def test_stands_among_albumentations_own():
    t = ad.Cutout(12, seed=0, annotations=ad.Policy(masks="fill", mask_fill=255))
    inner = A.OneOf([ad.to_albumentations(t), ad.to_albumentations(t)], p=1.0)
    stage = A.Compose([A.HorizontalFlip(p=1.0), A.Sequential([inner], p=1.0)], additional_targets={"other": "mask"})
    out = stage(image=IMAGE, mask=MASK, other=MASK, key=8)
    expected = t({"image": IMAGE[:, ::-1], "mask": MASK[:, ::-1]}, keys=8)
    assert same(out["image"], expected["image"])
    assert same(out["mask"], expected["mask"]) and same(out["other"], expected["mask"])


def test_pickles_copies_and_the_users_own_object():
    t = ad.Cutout(12, p=ad.Ramp(1.0, epochs=2), seed=0)
    stage = compose(t)
    assert same(stage(image=IMAGE, key=3)["image"], IMAGE)
    t.set_epoch(2)
    expected = stage(image=IMAGE, key=3)["image"]
    assert not same(expected, IMAGE)
    for again in (copy.deepcopy(stage), pickle.loads(pickle.dumps(stage))):
        assert same(again(image=IMAGE, key=3)["image"], expected)
    assert "Cutout(" in repr(stage)


class Photos(Dataset):
    """Eight photographs, augmented by albumentations."""

    def __init__(self, stage):
        self.stage = stage

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.from_numpy(self.stage(image=IMAGE + np.uint8(index))["image"]).permute(2, 0, 1), index % 5


@pytest.mark.parametrize("workers", [0, 2])
def test_keyed_data_sets_and_mixes_by_collate(workers):
    cut, mix = ad.Cutout(12, seed=0), ad.CutMix(num_classes=5, seed=1)
    loader = DataLoader(
        ad.keyed(Photos(compose(cut)), attach=True), 4, collate_fn=ad.collate(mix), num_workers=workers, shuffle=True
    )
    torch.manual_seed(0)
    batches = list(loader)
    torch.manual_seed(0)
    orders = [torch.tensor(order) for order in DataLoader(range(8), 4, shuffle=True, collate_fn=list)]
    for (x, y), order in zip(batches, orders, strict=True):
        plain = [cut({"image": IMAGE + np.uint8(i)}, keys=int(i))["image"] for i in order]
        expected = mix(torch.from_numpy(np.stack(plain)).permute(0, 3, 1, 2), order % 5, keys=order)
        assert torch.equal(x, expected[0]) and torch.equal(y, expected[1])


@pytest.mark.parametrize("name", MIXING)
def test_mixes_are_sent_to_collate(name):
    with pytest.raises(ad.AugDropError, match=r"to_albumentations: got .* which mixes samples.*augdrop\.collate"):
        ad.to_albumentations(make(name))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image": IMAGE.transpose(2, 0, 1)}, r"to_albumentations: got shape \(3, 40, 48\); expected HWC"),
        ({"image": IMAGE, "bboxes": BOXES}, "bboxes of a format that is not declared"),
        ({"image": IMAGE, "keypoints": POINTS}, "keypoints of a format that is not declared"),
        ({"image": IMAGE, "key": "cat.jpg"}, "to_albumentations: key: got 'cat.jpg'"),
        ({"image": IMAGE, "key": 0.5}, "to_albumentations: key: got 0.5"),
    ],
)
def test_bad_samples_are_refused(data, message):
    with pytest.raises(ad.AugDropError, match=message):
        compose(ad.Cutout(8))(**data)


def test_a_list_of_keys_around_one_sample_is_refused():
    with ad.keys([1, 2]), pytest.raises(ad.AugDropError, match="to_albumentations: keys"):
        compose(ad.Cutout(8))(image=IMAGE)


def test_bad_transforms_are_refused():
    with pytest.raises(ad.AugDropError, match="to_albumentations: got HorizontalFlip"):
        ad.to_albumentations(A.HorizontalFlip())
    flags = ad.Policy(boxes="filter", removed="flag")
    for t in (ad.Cutout(annotations=flags), ad.OneOf([ad.Identity(), ad.Cutout(annotations=flags)])):
        with pytest.raises(ad.AugDropError, match="no place for flags"):
            ad.to_albumentations(t)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("Cutout", "expected a description"),
        ({"Cutuot": {}}, "'Cutout'"),
        ({"Cutout": {"lenght": 3}}, "length"),
        ({"Cutout": {"fill": {"type": "os.system"}}}, "expected a known class"),
    ],
)
def test_bad_descriptions_are_refused(description, message):
    with pytest.raises(ad.AugDropError, match=message):
        rebuild(description)


def test_functions_pass_in_one_process_and_are_refused_by_json():
    t = ad.Cutout(8, p=lambda epoch: 1.0, seed=0)
    stage = compose(t)
    assert "Cutout" in repr(stage)
    assert same(A.from_dict(A.to_dict(stage))(image=IMAGE, key=1)["image"], t({"image": IMAGE}, keys=1)["image"])
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(A.to_dict(stage))
