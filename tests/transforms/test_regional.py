"""RegionalDropout: a method of one's own, fills, pairing, partners from elsewhere, schedules."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.regions import Boxes
from tests.transforms.cases import images, same

KEYS = range(6)


def test_a_sampler_of_ones_own():
    @dataclasses.dataclass(frozen=True)
    class TopHalf:
        def sample(self, draws, size):
            return Boxes(size, torch.tensor([[[0, 0, size[0] // 2, size[1]]]]).expand(len(draws), 1, 4))

    t = ad.RegionalDropout(where=TopHalf(), fill=ad.Partner(), num_classes=6, seed=0)
    x, y = t(images(), torch.arange(6), keys=KEYS)
    plan = t.plan((6, 3, 48, 64), keys=KEYS)
    assert same(x[:, :, :24], images()[plan.partner][:, :, :24]) and same(x[:, :, 24:], images()[:, :, 24:])
    assert (y.sort(1).values[:, -2:] == 0.5).all()


@pytest.mark.parametrize("name", ad.METHODS)
@pytest.mark.parametrize("batch", [1, 5])
def test_a_chance_of_one_draws_what_any_chance_does(name, batch):
    given = {"scores": torch.rand(batch, 4, 4)} if ad.METHODS[name]().uses_pixels else {}
    plans = [ad.METHODS[name](p=p, seed=0).plan((batch, 3, 48, 64), keys=range(batch), **given) for p in (1, 1 - 1e-16)]
    assert plans[0] == plans[1]
    assert plans[0].noise.tolist() == plans[1].noise.tolist() != [0] * batch


@pytest.mark.parametrize(
    ("fill", "check"),
    [
        (7, lambda v, x: (v == 7).all()),
        ((1, 2, 3), lambda v, x: (v == torch.tensor([1.0, 2, 3]).view(3, 1)).all()),
        ("mean", lambda v, x: torch.allclose(v, x.mean((1, 2), keepdim=True).flatten(1).expand_as(v), atol=1e-3)),
        ("noise", lambda v, x: v.min() >= 0 and v.max() < 1 and abs(v.mean() - 0.5) < 0.05),
        ("normal", lambda v, x: abs(v.mean()) < 0.1 and abs(v.std() - 1) < 0.1),
        (ad.Noise("normal", mean=5.0, std=0.5), lambda v, x: abs(v.mean() - 5) < 0.05 and abs(v.std() - 0.5) < 0.05),
        (ad.Noise(low=2.0, high=4.0), lambda v, x: v.min() >= 2 and v.max() <= 4 and abs(v.mean() - 3) < 0.1),
    ],
)
def test_fills(fill, check):
    x = images()
    t = ad.CoarseDropout((1, 1), (24, 24), (24, 24), fill=fill, seed=0)
    y, plan = t.with_plan(x, keys=KEYS)
    for b in range(6):
        assert check(y[b][:, plan.mask()[b]], x[b])


def test_noise_of_an_integer_image_has_its_range():
    y, plan = ad.CoarseDropout((1, 1), (40, 40), (40, 40), fill="noise", seed=0).with_plan(images(dtype=torch.uint8))
    values = y[plan.mask()[:, None].expand_as(y)].float()
    assert values.min() == 0 and values.max() == 255 and abs(values.mean() - 127.5) < 3


def test_a_blur_is_smoother_than_the_image_and_has_its_mean():
    x = images(4, (64, 64))
    y, plan = ad.CoarseDropout((1, 1), (48, 48), (48, 48), fill=ad.Blur(8), seed=0).with_plan(x, keys=range(4))
    for b in range(4):
        inside = plan.mask()[b]
        assert y[b][:, inside].std() < 0.4 * x[b][:, inside].std()
        assert abs(y[b][:, inside].mean() - x[b][:, inside].mean()) < 8


def test_a_fill_that_the_dtype_cannot_hold_is_refused_before_anything_is_written():
    x = images(dtype=torch.uint8)
    before = x.clone()
    for fill in (0.485, 300, (0, -1, 0), (1, 2)):
        with pytest.raises(ad.AugDropError):
            ad.Cutout(8, fill=fill)(x, inplace=True)
    assert same(x, before)


def test_who_shares_a_draw():
    plans = {per: ad.CutMix(per=per, seed=0).plan((8, 3, 64, 64), keys=range(8)) for per in ("sample", "pair", "batch")}
    boxes = {per: plan.region.boxes[:, 0] for per, plan in plans.items()}
    assert len(boxes["batch"].unique(dim=0)) == 1
    assert len(boxes["pair"].unique(dim=0)) == 4
    assert len(boxes["sample"].unique(dim=0)) == 8
    pair = plans["pair"].partner
    assert torch.equal(pair[pair], torch.arange(8)) and torch.equal(boxes["pair"][pair], boxes["pair"])


def test_partners_from_elsewhere():
    x, other = images(), images(seed=5)
    t = ad.CutMix(num_classes=3, seed=0)
    y, target = t(x, torch.zeros(6).long(), partners=(other, torch.ones(6).long()), keys=KEYS)
    painted = t.plan(x.shape, keys=KEYS).mask()[:, None].expand_as(x)
    assert same(y[painted], other[painted]) and same(y[~painted], x[~painted])
    torch.testing.assert_close(target[:, 1], painted[:, 0].float().mean((1, 2)))


def test_a_schedule_of_epochs():
    t = ad.GridMask.preset("imagenet", seed=0)
    share = [t.plan((2000, 3, 224, 224), keys=range(2000), epoch=e).hit.float().mean() for e in (0, 24, 120, 240, 299)]
    # 2000 coins: a standard deviation of at most 0.0112.
    assert share[0] == 0
    assert all(abs(s - p) < 0.045 for s, p in zip(share, [0, 0.08, 0.4, 0.8, 0.8], strict=True))


def test_pairs_of_targets():
    t = ad.CutMix(targets="pairs", seed=0)
    x, (a, b, lam) = t(images(), torch.arange(6), keys=KEYS)
    plan = t.plan((6, 3, 48, 64), keys=KEYS)
    assert torch.equal(a, torch.arange(6)) and torch.equal(b, plan.partner)
    torch.testing.assert_close(lam, 1 - plan.mask().float().mean((1, 2)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"where": "somewhere"},
        {"where": ad.regions.RandomGrid(), "fill": "glitter"},
        {"where": ad.regions.RandomGrid(), "labels": "area"},
        {"where": ad.regions.RandomGrid(), "labels": "some"},
        {"where": ad.regions.RandomGrid(), "fill": ad.Partner(), "per": "half"},
        {"where": ad.regions.RandomGrid(), "fill": ad.Partner(), "targets": "hard"},
        {"where": ad.regions.RandomGrid(), "fill": ad.Partner(), "label_smoothing": 1.0},
        {"where": ad.regions.RandomGrid(), "fill": ad.Partner(), "num_classes": "5"},
        {"where": ad.regions.RandomGrid(), "fill": ad.Partner(), "num_classes": 0},
        {"where": ad.regions.RandomGrid(), "annotations": "shrink"},
    ],
    ids=str,
)
def test_bad_arguments(arguments):
    with pytest.raises(ad.AugDropError):
        ad.RegionalDropout(**arguments)


def test_with_plan_takes_partners_from_elsewhere_too():
    x, other = images(), images(seed=5)
    t = ad.CutMix(num_classes=3, seed=0)
    y, plan = t.with_plan(x, keys=KEYS, partners=other)
    assert same(y, t(x, partners=other, keys=KEYS)) and same(t.apply(x, plan, source=other), y)


def test_defaults_are_told():
    from augdrop.transforms.options import valid_options

    assert valid_options(ad.RandomErasing)["p"] == 0.5 and ad.RandomErasing().p == 0.5
    assert valid_options(ad.CutMix)["per"] == "sample" and "per" not in valid_options(ad.Cutout)


def test_kept_labels_are_kept_whatever_the_call():
    t = ad.RegionalDropout(where=ad.regions.RandomGrid((8, 16)), fill=ad.Partner(), labels="keep", seed=0)
    x, y = images(), torch.eye(6)
    assert t(x, y)[1] is y and t(x, y, partners=(x, y.flip(0)))[1] is y
    assert same(t({"image": x, "label": y})["label"], y)
    assert same(torch.compile(t, backend="eager", fullgraph=True)(x, y)[1], y)


@pytest.mark.parametrize(
    ("t", "inputs", "partners"),
    [
        (ad.CutMix(num_classes=6), (images(), torch.arange(6)), images()),
        (ad.CutMix(num_classes=6), ({"image": images()},), images()),
        (ad.Cutout(8), (images(),), images()),
    ],
    ids=["labels missing", "a dict", "no mix"],
)
def test_partners_are_what_the_inputs_are(t, inputs, partners):
    with pytest.raises(ad.AugDropError, match="partners: got"):
        t(*inputs, partners=partners)


def test_any_function_of_the_epoch_is_a_schedule():
    x = images()
    for schedule in (lambda epoch: 0.5, lambda epoch: min(1, epoch / 10), lambda epoch: np.float32(epoch > 2)):
        t = ad.Cutout(8, p=schedule, fill=0, seed=0)
        for epoch in (0, 5, 5):  # an image like one that went before takes another way
            alone = torch.stack([t(image, keys=k, epoch=epoch) for k, image in enumerate(x)])
            assert same(alone, t(x, keys=KEYS, epoch=epoch))
    for wrong in (lambda epoch: None, lambda epoch: 2.0):
        with pytest.raises(ad.AugDropError, match="p in epoch 3: got"):
            ad.Cutout(8, p=wrong)(x, epoch=3)
