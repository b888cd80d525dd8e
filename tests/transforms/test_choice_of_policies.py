"""Members of a OneOf with annotation policies of their own: each sample goes by the one that was drawn for it."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from augdrop import Policy
from augdrop.annotations import follow
from augdrop.annotations.objects import Objects
from tests.transforms.cases import images

FILL = Policy(boxes="shrink", min_visibility=0.0, masks="fill", mask_fill=255, keypoints="remove")
STRICT = Policy(boxes="filter", min_visibility=0.9, masks="cut", keypoints="keep")
FLAG = Policy(boxes="filter", min_visibility=0.9, removed="flag", masks="fill", mask_fill=7)
KEEP = Policy(keypoints="keep")

CHOICES = {
    "erasers": [ad.Cutout(30, annotations=p) for p in (FILL, STRICT, KEEP)],
    "an eraser that flags": [ad.Cutout(30, annotations=FLAG), ad.GridMask((8, 16), annotations=STRICT), ad.Identity()],
    "mixes": [ad.CutMix(annotations=FILL), ad.CutMix(annotations=STRICT), ad.AttentiveCutMix(annotations=FLAG)],
    "mixes beside erasers": [ad.Cutout(30, annotations=FILL), ad.CutMix(annotations=STRICT), ad.GridMask((8, 16))],
    "a choice in a choice": [
        ad.OneOf([ad.CutMix(annotations=STRICT), ad.Cutout(30, annotations=FILL)]),
        ad.OneOf([ad.Cutout(30, annotations=STRICT), ad.Cutout(30, annotations=KEEP)]),
    ],
    "chains": [
        ad.Compose([ad.Cutout(20, annotations=FILL), ad.CutMix(annotations=STRICT)]),
        ad.Compose([ad.CutMix(annotations=STRICT), ad.GridMask((8, 16), annotations=KEEP)]),
        ad.Cutout(30, annotations=FLAG),
    ],
    "chains of erasers": [
        ad.Compose([ad.Cutout(20, annotations=FILL), ad.Cutout(20, annotations=STRICT)]),
        ad.GridMask((8, 16), annotations=KEEP),
    ],
}
KEYS = range(24)


def samples(batch=24, size=(48, 64)):
    """Boxes, a class for each pixel, loose keypoints, and a name for each object."""
    generator, (h, w) = torch.Generator().manual_seed(1), size
    low = torch.rand(batch, 3, 2, generator=generator) * torch.tensor([w, h]) * 0.6
    boxes = torch.cat([low, low + 6 + 10 * torch.rand(batch, 3, 2, generator=generator)], -1)
    points = torch.rand(batch, 4, 2, generator=generator) * torch.tensor([w, h])
    classes = torch.randint(0, 5, (batch, *size), generator=generator, dtype=torch.uint8)
    names, x = torch.arange(3 * batch).view(batch, 3), images(batch, size)
    parts = zip(x, boxes, classes, points, names, strict=True)
    return [dict(zip(("image", "boxes", "mask", "keypoints", "names"), p, strict=True)) for p in parts]


def one_by_one(t, plan, given):
    """Each member's own plan for the samples that it hits; a sample that nobody hits stays."""
    expected = [dict(sample) for sample in given]
    for member, part in zip(t.members, plan.plans, strict=True):
        done = one_by_one(member, part, given) if isinstance(member, ad.OneOf) else member(given, plan=part)
        for b in part.hit.nonzero().flatten().tolist():
            expected[b] = done[b]
    return expected


def same(got, want):
    return set(got) >= set(want) and all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("name", CHOICES)
def test_each_sample_goes_by_its_member(name):
    t, given = ad.OneOf(CHOICES[name], seed=0), samples()
    _, plan = t.with_plan(torch.stack([sample["image"] for sample in given]), keys=KEYS)
    drawn = zip(t.members, plan.plans, strict=True)
    assert all(part.hit.any() for member, part in drawn if not isinstance(member, ad.Identity))
    out, expected = t(given, keys=KEYS), one_by_one(t, plan, given)
    for got, want in zip(out, expected, strict=True):
        assert same(got, want)
        # Flags that the sample's own member does not give say that nothing is hidden.
        for flag in {"boxes_visible", "keypoints_visible"} & (set(got) - set(want)):
            assert got[flag].all() and len(got[flag]) == len(got[flag.removesuffix("_visible")])
    assert len({frozenset(got) for got in out}) == 1
    assert all(same(a, b) for a, b in zip(t(given, plan=plan), out, strict=True))


def test_the_policies_make_a_difference():
    given = samples()
    same_region = [ad.Cutout(30, seed=5, annotations=policy) for policy in (FILL, STRICT)]
    t = ad.OneOf(same_region, seed=0)
    fills, cuts = (member(given, keys=KEYS) for member in t.members)
    filled = [bool((sample["mask"] == 255).any()) for sample in t(given, keys=KEYS)]
    assert filled == t.plan((24, 3, 48, 64), keys=KEYS).plans[0].hit.tolist() and 4 < sum(filled) < 20
    assert sum(len(a["boxes"]) != len(b["boxes"]) for a, b in zip(fills, cuts, strict=True)) > 8


def test_tv_tensors_batches_and_instance_masks():
    t = ad.OneOf([ad.Cutout(30, annotations=FILL), ad.CutMix(annotations=STRICT)], seed=0)
    given, (h, w) = samples(), (48, 64)
    expected = t(given, keys=KEYS)
    wrapped = [
        {
            "image": tv_tensors.Image(s["image"]),
            "boxes": tv_tensors.BoundingBoxes(s["boxes"], format="XYXY", canvas_size=(h, w)),
            "mask": tv_tensors.Mask(s["mask"]),
            "names": s["names"],
        }
        for s in given
    ]
    for got, want in zip(t(wrapped, keys=KEYS), expected, strict=True):
        assert all(torch.equal(got[name].as_subclass(torch.Tensor), want[name]) for name in got)
    batch = {name: torch.stack([s[name] for s in given]) for name in ("image", "mask")}
    out = t(batch | {"boxes": [s["boxes"] for s in given]}, keys=KEYS)
    assert torch.equal(out["mask"], torch.stack([s["mask"] for s in expected]))
    assert all(torch.equal(a, b["boxes"]) for a, b in zip(out["boxes"], expected, strict=True))
    instances = [{"image": s["image"], "masks": torch.stack([s["mask"] > k for k in (1, 2)])} for s in given]
    plan = t.plan((24, 3, h, w), keys=KEYS)
    for b, (got, sample) in enumerate(zip(t(instances, keys=KEYS), instances, strict=True)):
        if plan.plans[0].hit[b]:
            assert torch.equal(got["masks"], sample["masks"])  # "fill" leaves instances whole
        else:
            assert len(got["masks"]) > 2 or not torch.equal(got["masks"], sample["masks"])


def test_an_image_alone():
    t = ad.OneOf([ad.Cutout(30, annotations=FILL), ad.Cutout(30, annotations=KEEP)], seed=0)
    for key, sample in zip(KEYS, samples(), strict=True):
        plan = t.plan((3, 48, 64), keys=key)
        assert same(t(sample, keys=key), one_by_one(t, plan, [sample])[0])


def test_a_blend_is_an_error_only_where_it_is_drawn():
    given = [{"image": s["image"], "mask": s["mask"]} for s in samples()]
    for weights in ([1, 0], [1, 1]):
        t = ad.OneOf([ad.Cutout(30, annotations=FILL), ad.Mixup()], weights=weights, seed=0)
        if weights[1]:
            with pytest.raises(ad.AugDropError, match="got a blend of two images"):
                t(given, keys=KEYS)
        else:
            assert same(t(given, keys=KEYS)[0], t.members[0](given, keys=KEYS)[0])


def test_objects_follow_without_a_transform():
    t = ad.OneOf(CHOICES["mixes beside erasers"], seed=0)
    given = samples()
    objects = [Objects(boxes=s["boxes"], segmentation=s["mask"], keypoints=s["keypoints"]) for s in given]
    after = follow(objects, t.plan((24, 3, 48, 64), keys=KEYS), t.policy())
    for got, want in zip(after, t(given, keys=KEYS), strict=True):
        assert torch.equal(got.boxes, want["boxes"]) and torch.equal(got.segmentation, want["mask"])
        assert torch.equal(got.keypoints_visible, want["keypoints_visible"])


def test_regions_of_single_frames_are_refused():
    t = ad.OneOf([ad.Cutout(8, per_frame=True), ad.Cutout(8, per_frame=True)], seed=0)
    with pytest.raises(ad.AugDropError, match="got a region for each frame"):
        t({"video": torch.rand(4, 3, 16, 16), "boxes": torch.tensor([[1.0, 1, 5, 5]])})
