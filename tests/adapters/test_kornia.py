"""kornia: every method as an op, beside the core's own result."""

import copy
import pickle

import kornia.augmentation as K
import pytest
import torch
from kornia.geometry.boxes import Boxes

import augdrop as ad
from augdrop.adapters.kornia import LabelledSequential
from tests.adapters.cases import NAMES, Brightest, make

KEYS = [11, 4, 8, 1000, 5, 77]
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


class Stripes(ad.RegionalDropout):
    """A user's own."""

    def __init__(self, **options):
        super().__init__(ad.regions.RandomGrid((6, 10)), fill="noise", **options)


def build(name, **options):
    if name == "Stripes":
        return Stripes(seed=0, **options)
    if name == "AttentiveOneOf":
        return ad.OneOf([ad.AttentiveCutMix(num_classes=5), ad.GridMask((8, 16))], seed=0)
    if name == "Brightest":
        return Brightest(seed=0, **options)
    return make(name, **options)


ALL = [*NAMES, "Stripes", "Brightest", "AttentiveOneOf"]
COMPOSED = ["Compose", "OneOf", "AttentiveOneOf"]
MIXES = [name for name in ALL if build(name).mixes]
BLENDS = ["Mixup", "OneOf"]
"""Those that may blend, which no segmentation mask survives."""


@pytest.fixture
def x():
    return torch.rand(6, 3, 40, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def masks():
    return torch.randint(0, 9, (6, 40, 48), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def boxes():
    """Three a sample, ``x0, y0, x1, y1``."""
    low = torch.randint(0, 20, (6, 3, 2), generator=torch.Generator().manual_seed(2))
    side = torch.randint(4, 20, (6, 3, 2), generator=torch.Generator().manual_seed(3))
    return torch.cat([low, low + side], -1).float()


@pytest.fixture
def points():
    return torch.randint(0, 40, (6, 5, 2), generator=torch.Generator().manual_seed(4)).float()


def equal(a, b):
    return torch.equal(a.nan_to_num(-99), b.nan_to_num(-99))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_alone_and_in_a_container_images_are_the_cores(name, dtype, x):
    x, t = x.to(dtype), build(name)
    expected = t(x, keys=KEYS, epoch=2)
    op = ad.to_kornia(t)
    assert equal(op(x, keys=KEYS, epoch=2), expected)
    assert equal(op(x, params=op._params), expected)
    container = K.AugmentationSequential(ad.to_kornia(t), K.RandomHorizontalFlip(p=0.0), data_keys=["input"])
    with ad.keys(KEYS, 2):
        assert equal(container(x), expected)
    assert not equal(expected, x)


@pytest.mark.parametrize("name", [n for n in ALL if n not in BLENDS])
@pytest.mark.parametrize("policy", [None, ad.Policy(masks="fill", mask_fill=255)], ids=["default", "fill"])
def test_masks_are_the_cores_and_replay(name, policy, x, masks):
    t = build(name) if policy is None or name in COMPOSED else build(name, annotations=policy)
    expected = t({"image": x, "mask": masks}, keys=KEYS)
    aug = K.AugmentationSequential(ad.to_kornia(t), data_keys=["mask", "input"][::-1])
    with ad.keys(KEYS):
        image, mask = aug(x, masks)
    assert equal(image, expected["image"])
    assert mask.dtype == masks.dtype
    assert torch.equal(mask[:, 0], expected["mask"])
    again = aug(x, masks, params=aug._params)
    assert equal(again[0], image) and torch.equal(again[1], mask)
    alone = aug(masks, params=aug._params, data_keys=["mask"])
    assert torch.equal(alone, mask)


def test_a_list_of_masks_goes_one_by_one(x, masks):
    t = build("Stripes", annotations=ad.Policy(masks="fill"))
    aug = K.AugmentationSequential(ad.to_kornia(t), data_keys=["input", "mask"])
    with ad.keys(KEYS):
        expected, listed = aug(x, masks)[1], aug(x, [m.float()[None] for m in masks])[1]
    assert torch.equal(torch.cat(listed).long(), expected)


def test_a_list_of_masks_follows_a_plan_that_came_from_pixels(x, masks):
    t = Brightest(annotations=ad.Policy(masks="fill"), seed=0)
    for member in (t, ad.OneOf([t, ad.Cutout(8, annotations=ad.Policy(masks="fill"))], seed=0)):
        aug = K.AugmentationSequential(ad.to_kornia(member), data_keys=["input", "mask"])
        with ad.keys(KEYS):
            expected, listed = aug(x, masks)[1], aug(x, [m.float()[None] for m in masks])[1]
        assert torch.equal(torch.cat(listed).long(), expected)
        assert not torch.equal(expected[:, 0], masks)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kept", ["keep", "filter", "shrink"])
@pytest.mark.parametrize("removed", ["remove", "flag"])
def test_boxes_and_their_labels_are_the_cores(name, kept, removed, x, boxes):
    policy = {"annotations": ad.Policy(boxes=kept, min_visibility=0.6, removed=removed)}
    t = build(name, **({} if name in COMPOSED else policy))
    labels = torch.arange(18).view(6, 3)
    expected = t({"image": x, "boxes": list(boxes), "object": list(labels)}, keys=KEYS)
    op = ad.to_kornia(t)
    aug = K.AugmentationSequential(op, data_keys=["input", "bbox_xyxy"])
    # kornia's corners lie on the outermost pixels.
    given = boxes - torch.tensor([0, 0, 1, 1])
    with ad.keys(KEYS):
        moved = aug(x, given)[1]
    assert moved.shape == (6, 6 if t.mixes else 3, 4)
    for b in range(6):
        there = op.box_origin[b] >= 0
        order = op.box_origin[b][there]
        assert torch.equal(labels.flatten()[order], expected["object"][b])
        torch.testing.assert_close(moved[b][there] + torch.tensor([0, 0, 1, 1]), expected["boxes"][b])
        assert not moved[b][~there].any()
        flags = expected.get("boxes_visible")
        assert torch.equal(op.boxes_visible[b][there], torch.ones_like(order).bool() if flags is None else flags[b])
        own = there[:3]
        assert torch.equal(op.box_origin[b][:3][own], labels[b][own])  # own objects keep their rows
    assert equal(aug(x, given, params=aug._params)[1], moved)


def test_lists_of_boxes_come_back_as_lists(x, boxes):
    given = [b[:n] for b, n in zip(boxes, (3, 0, 1, 2, 3, 1), strict=True)]
    wrapped = Boxes.from_tensor(given, mode="xyxy")
    t = build("CutMix")
    expected = t({"image": x, "boxes": given}, keys=KEYS)["boxes"]
    with ad.keys(KEYS):
        moved = K.AugmentationSequential(ad.to_kornia(t), data_keys=["input", "bbox"])(x, wrapped)[1].to_tensor("xyxy")
    for got, want, own in zip(moved, expected, given, strict=True):
        there = got.any(-1)
        assert len(got) >= len(own) and there.sum() == len(want)
        torch.testing.assert_close(got[there], want)


def test_a_tilted_box_stays_as_it_is_unless_it_is_hurt(x):
    tilted = torch.tensor([[20.0, 4], [36, 20], [20, 36], [4, 20]]).expand(6, 1, 4, 2)
    t = ad.Cutout(12, seed=0, annotations=ad.Policy(boxes="shrink", min_visibility=0.0))
    op = ad.to_kornia(t)
    with ad.keys(KEYS):
        _, moved = K.AugmentationSequential(op, data_keys=["input", "bbox"])(x, Boxes(tilted.clone()))
    same = (moved.data == tilted).flatten(1).all(1)
    dropped = op.plan().mask()[:, 4:37, 4:37].any((1, 2))
    assert same[~dropped].all()
    assert op.boxes_visible.all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rule", ["keep", "flag", "remove"])
def test_keypoints_are_the_cores(name, rule, x, points):
    composed = name in COMPOSED
    t = build(name, **({} if composed else {"annotations": ad.Policy(boxes="filter", keypoints=rule)}))
    rule = "flag" if composed else rule
    expected = t({"image": x, "keypoints": list(points)}, keys=KEYS)
    op = ad.to_kornia(t)
    aug = K.AugmentationSequential(op, data_keys=["input", "keypoints"])
    with ad.keys(KEYS):
        moved = aug(x, points)[1]
    assert moved.shape == (6, 10 if t.mixes else 5, 2)
    for b, want in enumerate(expected["keypoints"]):
        got, seen = moved[b], op.keypoints_visible[b]
        if rule == "flag":
            flags = expected["keypoints_visible"][b]
            assert torch.equal(got[: len(want)][~got[: len(want)].isnan()], want[~got[: len(want)].isnan()])
            assert torch.equal(seen[: len(flags)], flags) and not seen[len(flags) :].any()
            assert torch.equal(got[:5], points[b])  # own points are flagged, no more
            assert torch.equal(got[5:].isnan().any(-1), ~seen[5:])
        else:
            assert torch.equal(got[~got.isnan().any(-1)], want)
    assert equal(aug(x, points, params=aug._params)[1], moved)


@pytest.mark.parametrize("mixing", [True, False])
def test_members_of_a_choice_go_by_their_own_policies(mixing, x, masks, boxes, points):
    policies = [
        ad.Policy(boxes="filter", min_visibility=0.9, keypoints="remove"),
        ad.Policy(boxes="shrink", min_visibility=0.0, removed="flag", masks="fill", mask_fill=255, keypoints="keep"),
        ad.Policy(masks="fill", mask_fill=7),
    ]
    first = ad.CutMix(annotations=policies[0]) if mixing else ad.Cutout(30, annotations=policies[0])
    inner = ad.OneOf([ad.Cutout(30, annotations=policies[1]), ad.GridMask((8, 16), annotations=policies[2])])
    t = ad.OneOf([first, inner], seed=3)
    plan = t.plan(x.shape, keys=KEYS)
    assert all(member.hit.any() for member in (plan.plans[0], *plan.plans[1].plans))
    expected = t({"image": x, "mask": masks, "boxes": list(boxes), "keypoints": list(points)}, keys=KEYS)
    op = ad.to_kornia(t)
    aug = K.AugmentationSequential(op, data_keys=["input", "mask", "bbox_xyxy", "keypoints"])
    with ad.keys(KEYS):
        image, mask, moved, places = aug(x, masks, boxes - torch.tensor([0, 0, 1, 1]), points)
    assert equal(image, expected["image"]) and torch.equal(mask[:, 0], expected["mask"])
    for b in range(6):
        there = op.box_origin[b] >= 0
        torch.testing.assert_close(moved[b][there] + torch.tensor([0, 0, 1, 1]), expected["boxes"][b])
        assert torch.equal(op.boxes_visible[b][there], expected["boxes_visible"][b])
        seen = places[b][op.keypoints_visible[b]]
        assert torch.equal(seen, expected["keypoints"][b][expected["keypoints_visible"][b]])


@pytest.mark.parametrize("name", MIXES)
def test_labels_mix_alone_and_in_our_container(name, x):
    t = build(name)
    image, target = t(x, LABELS, keys=KEYS)
    op = ad.to_kornia(t)
    with ad.keys(KEYS):
        for got in (
            op(x, LABELS),
            op(x, LABELS, data_keys=["image", "label"]),
            LabelledSequential(op, data_keys=["input", "class"])(x, LABELS),
            LabelledSequential(K.ImageSequential(op), data_keys=["input", "class"])(x, LABELS),
        ):
            assert equal(got[0], image) and torch.equal(got[1], target)
    named = LabelledSequential(op, data_keys=None)
    with ad.keys(KEYS):
        got = named({"image": x, "label": LABELS, "name": "batch"})
    assert equal(got["image"], image) and torch.equal(got["label"], target) and got["name"] == "batch"


def test_labels_go_through_every_mix_of_a_chain(x):
    t = ad.Compose([ad.Cutout(8), ad.CutMix(num_classes=5), ad.Mixup(num_classes=5)], seed=0)
    expected = t(x, LABELS, keys=KEYS)
    assert all(map(torch.equal, ad.to_kornia(t)(x, LABELS, keys=KEYS), expected))
    assert (expected[1].amax(1) < 1).any()


def test_labels_by_a_name_that_kornia_does_not_know_are_refused_beside_a_mix(x):
    sample = {"image": x, "labels": LABELS}
    with pytest.raises(ad.AugDropError, match="LabelledSequential: got 'labels'"):
        LabelledSequential(K.ImageSequential(ad.to_kornia(build("CutMix"))), data_keys=None)(sample)
    erased = LabelledSequential(ad.to_kornia(build("Cutout")), data_keys=None)(sample)
    assert torch.equal(erased["labels"], LABELS)


def test_pairs_of_labels_come_as_the_core_gives_them(x):
    t = ad.CutMix(targets="pairs", seed=0)
    _, (a, b, lam) = ad.to_kornia(t)(x, LABELS, keys=KEYS)
    ea, eb, elam = t(x, LABELS, keys=KEYS)[1]
    assert torch.equal(a, ea) and torch.equal(b, eb) and torch.equal(lam, elam)


def test_labels_of_what_mixes_nothing_stay(x):
    op = ad.to_kornia(build("GridMask"))
    for container in (K.AugmentationSequential, LabelledSequential):
        assert torch.equal(container(op, data_keys=["input", "class"])(x, LABELS)[1], LABELS)
    assert torch.equal(op(x, LABELS)[1], LABELS)


def test_kornias_own_container_refuses_class_keys_beside_a_mix(x):
    with pytest.raises(NotImplementedError, match="class labels"):
        K.AugmentationSequential(ad.to_kornia(build("CutMix")), data_keys=["input", "class"])(x, LABELS)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("layout", ["BTCHW", "BCTHW"])
def test_all_frames_of_a_video_share_a_region(name, layout, x):
    video, t = x.view(2, 3, 3, 40, 48), build(name)
    expected = t(video, keys=[3, 9])
    aug = K.VideoSequential(ad.to_kornia(t), data_format=layout)
    given = video if layout == "BTCHW" else video.transpose(1, 2)
    with ad.keys([3, 9]):
        got = aug(given)
    assert equal(got, expected if layout == "BTCHW" else expected.transpose(1, 2))
    assert equal(aug(given, params=aug._params), got)


@pytest.mark.parametrize("name", ["GridMask", "CutMix", "RegionalDropout"])
def test_frames_may_have_regions_of_their_own(name, x):
    video, t = x.view(2, 3, 3, 40, 48), build(name, per_frame=True)
    with ad.keys([3, 9]):
        got = K.VideoSequential(ad.to_kornia(t))(video)
    assert equal(got, t(video, keys=[3, 9]))
    free = build(name)
    with ad.keys(KEYS):
        assert equal(
            K.VideoSequential(ad.to_kornia(free), same_on_frame=False)(video).flatten(0, 1), free(x, keys=KEYS)
        )


@pytest.mark.parametrize("name", ["Stripes", "CutMix", "RegionalDropout", "AttentiveCutMix"])
def test_a_videos_masks_boxes_points_and_labels(name, x, masks, boxes, points):
    policy = ad.Policy(masks="fill", boxes="filter", min_visibility=0.5)
    t = build(name, annotations=policy)
    video, frames = x.view(2, 3, 3, 40, 48), masks.view(2, 3, 1, 40, 48)
    corners = Boxes.from_tensor(boxes, mode="xyxy").data.view(2, 3, 3, 4, 2)
    op = ad.to_kornia(t)
    aug = LabelledSequential(K.VideoSequential(op), data_keys=["input", "mask", "bbox", "keypoints", "class"])
    with ad.keys([3, 9]):
        image, mask, moved, kept, target = aug(video, frames, corners, points.view(2, 3, 5, 2), LABELS[:2])
    expected = t({"video": video, "masks": masks.view(2, 3, 40, 48)}, keys=[3, 9])
    assert equal(image, expected["video"]) and torch.equal(mask[:, :, 0], expected["masks"])
    assert torch.equal(target, t(video, LABELS[:2], keys=[3, 9])[1] if t.mixes else LABELS[:2])
    # Each frame as the core has it: a video whose annotations are those of that frame.
    for f in range(3):
        rows = torch.tensor([f, 3 + f])
        sample = {"video": video, "boxes": list(boxes[rows]), "keypoints": list(points[rows])}
        want = t(sample, keys=[3, 9])
        for b in range(2):
            got = Boxes(moved[b, f]).to_tensor("xyxy")
            there = op.box_origin[3 * b + f] >= 0
            torch.testing.assert_close(got[there], want["boxes"][b])
            flags = want["keypoints_visible"][b]
            assert torch.equal(op.keypoints_visible[3 * b + f][: len(flags)], flags)
    # kornia hands the keypoints of a mixed video out with its frames as samples.
    assert kept.shape == ((6, 10, 2) if t.mixes else (2, 3, 5, 2))


def test_a_composition_of_two_mixes_has_room_for_all_boxes(x, boxes):
    t = ad.Compose([ad.CutMix(), ad.CutMix(), ad.Cutout(6)], seed=0)
    expected = t({"image": x, "boxes": list(boxes)}, keys=KEYS)["boxes"]
    op = ad.to_kornia(t)
    with ad.keys(KEYS):
        moved = K.AugmentationSequential(op, data_keys=["input", "bbox"])(x, Boxes.from_tensor(boxes, mode="xyxy"))[1]
    assert moved.data.shape == (6, 12, 4, 2)
    for got, origin, want in zip(moved.to_tensor("xyxy"), op.box_origin, expected, strict=True):
        key = lambda rows: sorted(map(tuple, rows.tolist()))  # noqa: E731
        assert key(got[origin >= 0]) == key(want)


def test_other_ops_of_kornia_stand_around(x, masks):
    t = build("GridMask", annotations=ad.Policy(masks="fill"))
    flip = K.RandomHorizontalFlip(p=1.0)
    with ad.keys(KEYS):
        image, mask = K.AugmentationSequential(flip, ad.to_kornia(t), data_keys=["input", "mask"])(x, masks)
    expected = t({"image": x.flip(-1), "mask": masks.flip(-1)}, keys=KEYS)
    assert equal(image, expected["image"]) and torch.equal(mask[:, 0], expected["mask"])
    resized = K.AugmentationSequential(torch.nn.AvgPool2d(2), ad.to_kornia(t), data_keys=["input"])
    with ad.keys(KEYS):
        assert equal(resized(x), t(torch.nn.functional.avg_pool2d(x, 2), keys=KEYS))


def test_one_image_keeps_its_rank_with_keepdim(x):
    t = build("Cutout")
    assert ad.to_kornia(t)(x[0], keys=[5]).shape == (1, 3, 40, 48)
    assert equal(ad.to_kornia(t, keepdim=True)(x[0], keys=[5]), t(x[0], keys=5))
    assert equal(ad.to_kornia(build("CutMix"), keepdim=True)(x[0], keys=[5]), x[0])


def test_gradients_flow_to_kept_pixels(x):
    op = ad.to_kornia(build("Cutout"))
    x.requires_grad_()
    op(x, keys=KEYS).sum().backward()
    assert torch.equal(x.grad[:, 0] == 0, op.plan().mask())


@pytest.mark.parametrize("name", ["GridMask", "CutMix"])
def test_without_keys_torch_governs(name, x):
    op = ad.to_kornia(build(name))
    torch.manual_seed(3)
    a, b = op(x), op(x)
    torch.manual_seed(3)
    c = K.AugmentationSequential(op, data_keys=["input"])(x)
    assert equal(a, c) and not equal(a, b)


def test_epochs_travel(x):
    t = ad.GridMask((8, 16), p=ad.Ramp(1.0, epochs=4), seed=0)
    op = ad.to_kornia(t)
    assert equal(op(x, keys=KEYS), x)
    t.set_epoch(4)
    assert equal(op(x, keys=KEYS), t(x, keys=KEYS, epoch=4)) and not equal(op(x, keys=KEYS), x)


def test_same_on_batch_gives_all_one_region(x):
    aug = K.AugmentationSequential(ad.to_kornia(build("Cutout")), data_keys=["input"], same_on_batch=True)
    with ad.keys(KEYS):
        dropped = aug(torch.ones_like(x)) == 0
    assert dropped.any() and bool((dropped == dropped[:1]).all())


@pytest.mark.parametrize("name", ["GridMask", "CutMix", "AttentiveCutMix"])
def test_pickles_copies_and_saved_params_do_the_same(name, x, tmp_path):
    op = ad.to_kornia(build(name))
    expected = op(x, keys=KEYS)
    torch.save(op._params, tmp_path / "params.pt")
    params = torch.load(tmp_path / "params.pt")
    for again in (copy.deepcopy(op), pickle.loads(pickle.dumps(op))):
        assert equal(again(x, keys=KEYS), expected)
        assert equal(again(x, params=params), expected)
    assert type(op).__name__ in repr(op) and name in repr(op)


@pytest.mark.parametrize("name", ["CutMix", "Mixup", "AttentiveCutMix"])
def test_an_empty_batch_and_a_batch_of_one_pass(name):
    op = ad.to_kornia(build(name))
    alone = torch.rand(1, 3, 16, 16)
    assert equal(op(alone, keys=[1]), alone)
    assert op(alone[:0]).shape == (0, 3, 16, 16)
    if name != "Mixup":
        keys = ["input", "mask", "bbox_xyxy", "keypoints", "class"]
        nothing = LabelledSequential(op, data_keys=keys)(
            alone[:0], alone[:0, :1], torch.zeros(0, 2, 4), torch.zeros(0, 3, 2), LABELS[:0]
        )
        assert [len(part) for part in nothing] == [0] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda op, x: op((x * 255).byte()), "to_kornia: image: got torch.uint8"),
        (lambda op, x: op(x.movedim(1, -1)), "channels are not first|move them"),
        (lambda op, x: op(x.numpy()), "to_kornia: image: got ndarray"),
        (lambda op, x: op(x, keys=[1, 2]), "to_kornia: keys: got shape"),
        (lambda op, x: op(x, keys=[1, 2, 3, 4, 5, 1]), "to_kornia: keys: got 1 twice"),
        (lambda op, x: op(x, LABELS.float()), "to_kornia: labels: got torch.float32"),
        (lambda op, x: op(x, LABELS + 3), "to_kornia: labels: got class"),
        (lambda op, x: op(x, LABELS, LABELS), "to_kornia: got 3 inputs"),
        (lambda op, x: op(LABELS, data_keys=["class"]), "expected an image"),
        (lambda op, x: op.plan({"keys": torch.arange(6)}), None),
    ],
)
def test_bad_calls_are_refused(call, message, x):
    with pytest.raises(ad.AugDropError if message else KeyError, match=message):
        call(ad.to_kornia(build("CutMix")), x)


def test_bad_transforms_and_annotations_are_refused(x, masks):
    with pytest.raises(ad.AugDropError, match="to_kornia: got RandomErasing; expected an AugDrop transform"):
        ad.to_kornia(K.RandomErasing())
    with pytest.raises(ad.AugDropError, match="looks at object boxes"):
        ad.to_kornia(ad.RandomErasing(objects="only"))
    with pytest.raises(ad.AugDropError, match="to_kornia: segmentation mask: got a blend"):
        K.AugmentationSequential(ad.to_kornia(build("Mixup")), data_keys=["input", "mask"])(x, masks)
    op = ad.to_kornia(build("AttentiveCutMix"))
    with pytest.raises(ad.AugDropError, match="Transform the image with these params first"):
        op.plan(op.forward_parameters(x.shape))


@pytest.mark.parametrize("mixes", [False, True])
def test_a_compiled_program_leaves_the_op_out(mixes):
    t = ad.CutMix(num_classes=5, seed=0) if mixes else ad.Cutout(8, seed=0)
    x, y, masks = torch.rand(4, 3, 32, 32), torch.arange(4), torch.ones(4, 1, 32, 32)
    stage = LabelledSequential(ad.to_kornia(t), data_keys=["input", "mask", "class"])
    torch._dynamo.reset()
    with ad.keys(range(4)):
        for got, want in zip(torch.compile(stage, backend="eager")(x, masks, y), stage(x, masks, y), strict=True):
            assert torch.equal(got, want)
        net = torch.nn.Sequential(ad.to_kornia(t), torch.nn.Conv2d(3, 4, 3))
        assert torch.equal(torch.compile(net, backend="eager")(x), net(x))
