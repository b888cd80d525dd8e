"""Attentive CutMix: score maps, given, of a network, or of the spectrum."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet18

import augdrop as ad
from augdrop.saliency import FeatureMean
from tests.transforms.cases import images, same

T = ad.AttentiveCutMix(num_classes=4, seed=0)


@pytest.mark.parametrize(("top_k", "pixels", "weight"), [(6, 6144, 6 / 49), (1, 1024, 1 / 49), (9, 9216, 9 / 49)])
def test_the_strongest_cells_of_the_partner_are_pasted(top_k, pixels, weight):
    x, scores = images(3, (224, 224)), torch.rand(3, 7, 7)
    t = ad.AttentiveCutMix(top_k=top_k, num_classes=3, seed=0)
    y, target = t(x, torch.arange(3), scores=scores, keys=range(3))
    plan = t.plan(x.shape, scores=scores, keys=range(3))
    assert plan.area().tolist() == [pixels] * 3
    for b, partner in enumerate(plan.partner.tolist()):
        cells = torch.zeros(49, dtype=torch.bool)
        cells[scores[partner].flatten().topk(top_k).indices] = True
        mask = cells.view(7, 7).repeat_interleave(32, 0).repeat_interleave(32, 1)
        assert torch.equal(plan.mask()[b], mask)
        assert same(y[b][:, mask], x[partner][:, mask])
        assert target[b, partner].item() == pytest.approx(weight, abs=1e-7)


def test_only_the_order_of_scores_counts_and_ties_go_by_index():
    scores = torch.rand(5, 6, 8)
    plans = [T.plan((5, 3, 48, 64), scores=s, keys=range(5)) for s in (scores, scores.exp() * 3 - 9, scores.double())]
    assert plans[0].region == plans[1].region == plans[2].region
    flat = T.plan((5, 3, 48, 64), scores=torch.zeros(5, 6, 8), keys=range(5))
    assert flat.region.cells.flatten(1)[:, :6].all() and flat.region.cells.sum() == 30


def test_maps_that_do_not_divide_the_image():
    plan = T.plan((2, 3, 50, 65), scores=torch.rand(2, 7, 7), keys=[0, 1])
    torch.testing.assert_close(plan.lam, 1 - plan.mask().double().mean((1, 2)))
    assert plan.region.cells.flatten(1).sum(1).tolist() == [6, 6]


def test_a_network_as_extractor():
    torch.manual_seed(0)
    net = FeatureMean(resnet18())
    t = ad.AttentiveCutMix(extractor=net, num_classes=4, seed=0)
    x = images(2, (96, 96), torch.uint8)
    y, plan = t.with_plan(x, keys=[1, 2])
    assert plan.region.cells.shape == (2, 3, 3) and same(t.apply(x, plan), y)
    assert not net.train().training and not any(p.requires_grad for p in net.parameters())


def test_a_video_is_scored_over_its_frames():
    x = images(8).view(2, 4, 3, 48, 64)
    y, plan = T.with_plan(x, keys=[0, 1])
    assert y.shape == x.shape and len(plan) == 2


def test_the_frames_of_a_video_share_its_map():
    scores = torch.rand(3, 6, 8)
    plan = ad.AttentiveCutMix(per_frame=True, seed=0).plan((3, 4, 3, 48, 64), scores=scores, keys=range(3))
    assert len(plan) == 12 and plan.hit.all()
    whole = ad.regions.TopCells(6).sample(T.draws(3, range(3)), (48, 64), scores)
    assert torch.equal(plan.region.cells, whole.cells[plan.partner // 4])


@pytest.mark.parametrize(
    "scores",
    [
        torch.full((2, 7, 7), float("nan")),
        torch.full((2, 7, 7), float("inf")),
        torch.rand(3, 7, 7),
        torch.rand(2, 49),
        torch.rand(2, 0, 7),
    ],
    ids=["nan", "inf", "another batch", "flat", "empty"],
)
def test_bad_scores(scores):
    x = images(2)
    before = x.clone()
    with pytest.raises(ad.AugDropError, match="scores"):
        T(x, torch.tensor([0, 1]), scores=scores, inplace=True)
    assert same(x, before)


def test_scores_where_none_are_meant():
    with pytest.raises(ad.AugDropError, match="scores"):
        ad.CutMix(num_classes=2)(images(), torch.zeros(6).long(), scores=torch.rand(6, 7, 7))


def test_an_extractor_is_called():
    with pytest.raises(ad.AugDropError, match=r"extractor: got 3.*callable.*scores=maps"):
        ad.AttentiveCutMix(extractor=3)  # type: ignore[arg-type]
