"""A plan that was made before, carried out again on pixels, labels and annotations."""

import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from tests.helpers import same

TRANSFORMS = {
    "Cutout": ad.Cutout(8, seed=0),
    "CutMix": ad.CutMix(seed=0, num_classes=6),
    "OneOf": ad.OneOf([ad.CutMix(num_classes=6), ad.Cutout(8)], seed=0),
    "Compose": ad.Compose([ad.CutMix(num_classes=6), ad.Cutout(8)], seed=0),
}


def boxes():
    corners = torch.tensor([[2.0, 2, 20, 20], [5, 5, 30, 30]])
    return [tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(32, 32)) for _ in range(6)]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_replay_gives_the_same_batch_and_sample(name):
    t, x = TRANSFORMS[name], torch.rand(6, 3, 32, 32)
    plan = t.plan(x.shape, keys=range(6), epoch=2)
    sample = {"image": x, "boxes": boxes(), "labels": [torch.tensor([1, 2])] * 6}
    assert same(t(x, torch.arange(6), plan=plan), t(x, torch.arange(6), keys=range(6), epoch=2))
    assert same(t(sample, plan=plan), t(sample, keys=range(6), epoch=2))


def test_replay_refuses_a_plan_for_another_number_of_samples():
    t = ad.Cutout(8, seed=0)
    with pytest.raises(ad.AugDropError, match="2 samples planned"):
        t({"image": torch.rand(3, 3, 32, 32), "boxes": boxes()[:3]}, plan=t.plan((2, 3, 32, 32)))


def test_scores_reach_the_member_that_uses_them():
    t = ad.OneOf([ad.AttentiveCutMix(num_classes=6), ad.Cutout(8)], seed=0)
    x, y, scores = torch.rand(6, 3, 32, 32), torch.arange(6), torch.rand(6, 7, 7)
    plan = t.plan(x.shape, keys=range(6), scores=scores)
    assert same(t(x, y, plan=plan), t(x, y, keys=range(6), scores=scores))
    assert not same(plan.plans[0].region, t.plan(x.shape, keys=range(6), scores=scores.flip(1)).plans[0].region)


@pytest.mark.parametrize(
    ("t", "maker"),
    [
        (ad.Cutout(8), ad.Compose([ad.Cutout(8)])),
        (ad.Compose([ad.Cutout(8)]), ad.Cutout(8)),
        (ad.Compose([ad.Cutout(8)]), ad.OneOf([ad.Cutout(8)])),
        (ad.Compose([ad.Cutout(8)] * 2), ad.Compose([ad.Cutout(8)])),
    ],
    ids=["chain for one", "one for a chain", "choice for a chain", "too few members"],
)
def test_replay_refuses_a_plan_of_another_kind(t, maker):
    x = torch.rand(2, 3, 32, 32)
    for given in (x, {"image": x}):
        with pytest.raises(ad.AugDropError, match="expected a plan that such a transform made"):
            t(given, plan=maker.plan(x.shape))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    "plan", [None, {}, ad.Cutout(8).tokens(16)(torch.zeros(6, 4, 1))], ids=["none", "dict", "tokens"]
)
def test_what_is_no_plan_is_not_painted(name, plan):
    with pytest.raises(ad.AugDropError, match=f"{name}: plan: got .*expected a plan that such a transform made"):
        TRANSFORMS[name].apply(torch.rand(6, 3, 32, 32), plan)


def test_an_empty_batch_is_replayed_as_it_is():
    t, sample = ad.Cutout(4, seed=0), {"image": torch.zeros(0, 3, 8, 8)}
    assert t(sample, plan=t.plan((0, 3, 8, 8)))["image"].shape == (0, 3, 8, 8)
