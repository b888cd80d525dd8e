"""Compose, OneOf and Identity."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

import augdrop as ad
from tests.transforms.cases import images, same


def test_two_equal_methods_in_one_chain_draw_from_two_streams():
    both = ad.Compose([ad.Cutout(8), ad.Cutout(8)], seed=0).plan((32, 3, 64, 64), keys=range(32))
    a, b = both.plans
    assert not torch.equal(a.mask(), b.mask())
    alone = ad.Cutout(8, seed=0).plan((32, 3, 64, 64), keys=range(32))
    assert not torch.equal(a.mask(), alone.mask())


def test_members_keep_a_seed_they_were_given_and_the_others_follow():
    def masks(member_seed, seed):
        t = ad.Compose([ad.Cutout(8, seed=member_seed), ad.Cutout(8)], seed=seed)
        return [p.mask() for p in t.plan((16, 3, 64, 64), keys=range(16)).plans]

    a, b = masks(1, 10), masks(1, 11)
    assert torch.equal(a[0], b[0]) and not torch.equal(a[1], b[1])


def test_a_transform_keeps_its_own_stream_when_it_also_stands_in_a_composition():
    t, x = ad.Cutout(8, seed=0), images()
    before = t(x, keys=range(6))
    ad.Compose([t, t])
    assert same(t(x, keys=range(6)), before)


def test_a_chain_is_its_members_one_after_the_other():
    t, x = ad.Compose([ad.Cutout(16), ad.GridMask((8, 16), fill=9)], seed=0), images()
    y = x
    for member in t.members:
        y = member(y, keys=range(6))
    assert same(t(x, keys=range(6)), y)


def test_members_that_look_at_pixels_see_what_went_before():
    t = ad.Compose([ad.Cutout(24), ad.AttentiveCutMix(num_classes=2)], seed=0)
    x = images(8)
    y, plans = t.with_plan(x, keys=range(8))
    assert same(t(x, keys=range(8)), y) and same(t.apply(x, plans), y)
    assert plans == t.decide(x, t.draws(8, range(8)))


def test_set_epoch_reaches_every_member():
    t = ad.Compose([ad.Cutout(8), ad.OneOf([ad.GridMask((8, 16)), ad.Identity()])], seed=0)
    x = images()
    expected = t(x, keys=range(6), epoch=3)
    t.set_epoch(3)
    assert same(t(x, keys=range(6)), expected)


def test_one_of_chooses_by_weight_and_hits_nobody_twice():
    t = ad.OneOf([ad.Cutout(8), ad.GridMask((8, 16)), ad.Identity()], weights=[1, 2, 1], seed=0)
    plan = t.plan((4000, 3, 32, 32), keys=range(4000))
    hits = torch.stack([p.hit for p in plan.plans])
    assert hits.sum(0).max() == 1
    # Binomial with n = 4000: a standard deviation below 32.
    counts = hits.sum(1).tolist()
    assert abs(counts[0] - 1000) < 150 and abs(counts[1] - 2000) < 150 and counts[2] == 0


def test_a_choice_of_mixes_takes_partners_from_the_original_batch():
    x, y = images(16), torch.arange(16) % 5
    t = ad.OneOf([ad.CutMix(num_classes=5), ad.Mixup(num_classes=5), ad.Cutout(24)], seed=2)
    out, target = t(x, y, keys=range(16))
    plan = t.plan(x.shape, keys=range(16))
    for member, p in zip(t.members, plan.plans, strict=True):
        alone = member.apply(x, p)
        assert same(out[p.hit], alone[p.hit])
    in_place = x.clone()
    t(in_place, keys=range(16), inplace=True)
    assert same(in_place, out)
    expected = torch.zeros(16, 5, dtype=torch.float64)
    for b in range(16):
        expected[b, y[b]] += plan.lam[b]
        expected[b, y[plan.partner[b]]] += 1 - plan.lam[b]
    erased = plan.plans[2].hit
    expected[erased] = torch.nn.functional.one_hot(y[erased], 5).double()
    torch.testing.assert_close(target.double(), expected, atol=1e-6, rtol=0)


def test_a_chain_inside_a_choice():
    x = images(12)
    chain = ad.Compose([ad.Cutout(16), ad.CutMix(num_classes=5)])
    t = ad.OneOf([chain, ad.GridMask((8, 16))], seed=1)
    out, plan = t.with_plan(x, keys=range(12))
    for member, p in zip(t.members, plan.plans, strict=True):
        assert same(out[p.hit], member.apply(x, p)[p.hit])
    for inplace in (False, True):
        z = x.clone()
        assert same(t.apply(z, plan, inplace=inplace), out)
    target = torch.empty_like(x)
    assert same(t.apply(x, plan, out=target), out)


@pytest.mark.parametrize("order", [1, -1])
def test_a_mix_that_is_chained_with_an_erasing_within_a_choice_mixes_labels(order):
    x, y = torch.arange(1.0, 9).view(8, 1, 1, 1).expand(8, 3, 32, 32), torch.arange(8)
    mix, erase = ad.CutMix(num_classes=8), ad.Cutout(8, fill=0)
    t = ad.OneOf([ad.Compose([mix, erase][::order]), ad.GridMask((8, 16))], weights=[3, 1], seed=0)
    out, target = t(x, y, keys=range(8))
    plan = t.plan(x.shape, keys=range(8))
    pasted = plan.plans[0].plans[0 if order == 1 else 1]
    assert pasted.hit.any() and not pasted.hit.all()
    for b in range(8):
        own = 1 - pasted.area()[b].item() / 32**2
        assert target[b, b] == own and target[b].sum() == 1
        seen = {int(v) - 1 for v in out[b].unique().tolist() if v}
        assert seen <= set(target[b].nonzero().flatten().tolist())
    boxes = [{"image": image, "boxes": torch.tensor([[4.0, 4, 30, 30]])} for image in x]
    for b, sample in enumerate(t(boxes, keys=range(8))):
        assert len(sample["boxes"]) == 1 or (pasted.hit[b] and pasted.area()[b] > 0)
    twice = ad.OneOf([ad.Compose([mix, mix]), erase], seed=0)
    with pytest.raises(ad.AugDropError, match="two mixes in a chain"):
        twice(x, y, keys=range(8))


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"num_classes": 4}, {"targets": "pairs"}])
def test_mixes_of_one_choice_have_one_form_of_labels(options):
    with pytest.raises(ad.AugDropError, match="expected one form of labels"):
        ad.OneOf([ad.CutMix(num_classes=5), ad.Mixup(**{"num_classes": 5} | options)])


def second(inputs):
    return inputs["extra"]


def test_a_choice_finds_labels_where_its_mixes_do():
    x, wanted = images(6), torch.arange(6) % 5
    sample = {"image": x, "label": torch.zeros(6, dtype=torch.int64), "extra": wanted}
    mixes = [ad.CutMix(num_classes=5, labels_getter=second), ad.Mixup(num_classes=5, labels_getter=second)]
    for t in (ad.OneOf([*mixes, ad.Cutout(8)], seed=0), ad.OneOf([ad.OneOf(mixes), ad.Compose(mixes[:1])], seed=0)):
        out = t(sample, keys=range(6))
        assert torch.equal(out["extra"], t(x, wanted, keys=range(6))[1]) and torch.equal(out["label"], sample["label"])
    with pytest.raises(ad.AugDropError, match="expected one labels_getter"):
        ad.OneOf([mixes[0], ad.Mixup(num_classes=5)])


def test_samples_with_annotations_go_through_compositions():
    t = ad.Compose([ad.CoarseDropout((1, 1), (20, 20), (20, 20)), ad.OneOf([ad.Cutout(8), ad.Identity()])], seed=0)
    boxes = tv_tensors.BoundingBoxes([[4, 4, 30, 30]], format="XYXY", canvas_size=(48, 64))
    sample = {"boxes": boxes, "labels": torch.tensor([1]), "image": tv_tensors.Image(images(1)[0]), "key": 5}
    out = t(sample)
    assert torch.equal(out["boxes"], boxes) and same(out["image"], t(sample["image"], keys=5))


def test_detection_samples_mix_by_choice():
    t = ad.OneOf([ad.CutMix(), ad.Cutout(30)], seed=4)
    samples = [
        {
            "image": tv_tensors.Image(images(1, seed=i)[0]),
            "boxes": tv_tensors.BoundingBoxes([[8, 8, 40, 40]], format="XYXY", canvas_size=(48, 64)),
            "labels": torch.tensor([i]),
            "key": i,
        }
        for i in range(8)
    ]
    plan = t.plan((8, 3, 48, 64), keys=range(8))
    out = t(samples)
    for b, sample in enumerate(out):
        assert same(sample["image"], t(torch.stack([s["image"] for s in samples]), keys=range(8))[b])
        if plan.plans[1].hit[b]:
            assert sample["labels"].tolist() == [b] and sample["boxes"].tolist() == [[8, 8, 40, 40]]
        else:
            assert set(sample["labels"].tolist()) <= {b, int(plan.partner[b])}


def test_identity_and_random_apply():
    x = images()
    assert same(ad.Identity()(x), x)
    assert v2.RandomApply([ad.Cutout(8)], p=1.0)(x).shape == x.shape


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [float("inf"), 1]])
def test_bad_weights(weights):
    with pytest.raises(ad.AugDropError, match="weights"):
        ad.OneOf([ad.Cutout(), ad.Identity()], weights=weights)


@pytest.mark.parametrize("members", [[], [v2.RandomErasing()], ["Cutout"]])
def test_bad_members(members):
    with pytest.raises(ad.AugDropError, match="AugDrop transforms"):
        ad.Compose(members)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: ad.OneOf([t], seed=0),
        lambda t: ad.Compose([ad.OneOf([t])], seed=0),
        lambda t: ad.OneOf([ad.Compose([t])], seed=0),
    ],
    ids=["choice", "choice in a chain", "chain in a choice"],
)
def test_object_boxes_reach_the_member_that_erases_in_them(wrap):
    t, x = wrap(ad.RandomErasing(p=1.0, objects="only", fill=0)), torch.ones(2, 3, 32, 32)
    boxes = [torch.tensor([[2.0, 2, 12, 12]]), torch.tensor([[20.0, 20, 31, 31]])]
    erased = t({"image": x, "boxes": boxes}, keys=[1, 2])["image"]
    assert all(bool((image == 0).any()) for image in erased)
    assert same(t(x, boxes=boxes, keys=[1, 2]), erased) and same(t.with_plan(x, boxes=boxes, keys=[1, 2])[0], erased)


@pytest.mark.parametrize(
    "wrap", [lambda *t: ad.OneOf(t, seed=0), lambda *t: ad.Compose([ad.OneOf(t), ad.Cutout(4)], seed=0)]
)
def test_partners_from_elsewhere_for_a_composition(wrap):
    t = wrap(ad.CutMix(num_classes=2), ad.Compose([ad.Mixup(num_classes=2), ad.Cutout(8)]))
    x, zeros = torch.ones(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64)
    out, target = t(x, zeros, partners=(3 * x, zeros + 1), keys=range(8))
    plain = t(x, partners=3 * x, keys=range(8))
    assert same(out, plain) and same(x, torch.ones_like(x))
    kept = plain != 0
    share = ((plain - 1) / 2 * kept).sum((1, 2, 3)) / kept.sum((1, 2, 3))
    assert bool((target[:, 1] > 0).all()) and bool((share > 0).all())
    for inplace in (False, True):
        z = x.clone()
        out = None if inplace else torch.empty_like(x)
        assert same(t(z, zeros, partners=(3 * x, zeros + 1), keys=range(8), inplace=inplace, out=out)[0], plain)


def test_a_chain_with_labels_takes_out():
    t, x, y = ad.Compose([ad.CutMix(num_classes=2), ad.Cutout(4)], seed=0), images(), torch.arange(6) % 2
    out = torch.empty_like(x)
    painted, target = t(x, y, keys=range(6), out=out)
    assert painted is out and same(out, t(x, y, keys=range(6))[0]) and target.shape == (6, 2)


def test_scores_of_a_later_member_need_no_pixels():
    t, scores = ad.Compose([ad.Cutout(4), ad.AttentiveCutMix()], seed=0), torch.rand(6, 7, 7)
    assert t.plan((6, 3, 48, 64), keys=range(6), scores=scores) == t.decide(
        images(), t.draws(6, range(6)), scores=scores
    )


KEEPS = ad.RegionalDropout(where=ad.regions.RandomGrid((8, 16)), fill=ad.Partner(), labels="keep")


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: ad.Compose([ad.Cutout(4), t]), lambda t: ad.OneOf([t])])
def test_a_member_that_keeps_labels_keeps_them_beside_one_that_mixes(wrap):
    t, x, y, ids = ad.OneOf([wrap(KEEPS), ad.CutMix(num_classes=6)], seed=0), images(), torch.arange(6), range(6)
    plan = t.plan(x.shape, keys=ids)
    kept, own = plan.plans[0].hit, torch.eye(6)
    assert kept.any() and not kept.all() and (plan.plans[0].area()[kept] > 0).all()
    expected = torch.where(kept[:, None], own, ad.labels.mix(y, plan.plans[1], num_classes=6))
    assert not same(expected[~kept], own[~kept])
    compiled = torch.compile(lambda x, y: t(x, y, keys=torch.arange(6)), backend="eager", fullgraph=True)
    sample = t({"image": x, "label": y}, keys=ids)
    for images_, labels in (t(x, y, keys=ids), compiled(x, y), (sample["image"], sample["label"])):
        assert same(images_, t.apply(x, plan)) and same(labels, expected)


def test_partners_from_elsewhere_give_no_label_to_what_is_erased():
    t, x, y = ad.OneOf([ad.CutMix(num_classes=6), ad.Cutout(16)], seed=0), images(), torch.arange(6)
    other = (images(seed=5), y.flip(0))
    erased = t.plan(x.shape, keys=range(6)).plans[1].hit
    labels = t(x, y, keys=range(6), partners=other)[1]
    assert erased.any() and same(labels[erased], torch.eye(6)[erased])
    assert ((labels[~erased] > 0).sum(1) == 2).all()


def test_a_chain_mixes_labels_by_its_plans_as_it_does_by_itself():
    members = [ad.Cutout(8), ad.CutMix(num_classes=6), KEEPS, ad.Mixup(num_classes=6)]
    t, x, y = ad.Compose(members, seed=0), images(), torch.arange(6)
    painted, labels = t(x, y, keys=range(6))
    plans = t.plan(x.shape, keys=range(6))
    assert same(t.apply(x, plans), painted) and same(t.mix_labels(y, plans, x), labels)
    assert (labels.amax(1) < 1).any()


def test_a_compiled_gradient_through_a_chain_in_a_choice_is_refused():
    t = ad.OneOf([ad.Compose([ad.Cutout(8), ad.CutMix()])], seed=0)
    x = torch.rand(4, 3, 16, 16)
    call = torch.compile(lambda v: t(v, keys=torch.arange(4)), backend="eager", fullgraph=True)
    assert same(call(x), t(x, keys=range(4)))
    with pytest.raises(ad.AugDropError, match="a chain within a choice"):
        call(x.requires_grad_()).sum().backward()
