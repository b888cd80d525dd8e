"""Arguments of the wrong kind are told when a transform is made, not met as a TypeError in the middle of training."""

# pyright: reportArgumentType=false

import json

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import AugDropError
from augdrop.adapters.description import describe

BAD = [
    (lambda: ad.GridMask(period=20), "period: got 20; .* two numbers in order"),
    (lambda: ad.GridMask(period=(0.9, 0.1)), "period: got .* in order"),
    (lambda: ad.GridMask(period=(0.1, 0.2, 0.3)), "period: got .* two numbers"),
    (lambda: ad.CoarseDropout(hole_height_range=5), "hole_height_range: got 5; .* two whole numbers"),
    (lambda: ad.Cutout(np.float64(4)), r"length: got 4\.0; expected a whole number >= 0"),
    (lambda: ad.Cutout(True), "length: got True; expected a whole number"),
    (lambda: ad.Cutout(p=np.float32(2)), r"p: got 2\.0; expected a probability"),
    (lambda: ad.OneOf([ad.Cutout()], weights=["a"]), r"weights: got \['a'\]"),
    (lambda: ad.OneOf([ad.Cutout()] * 2, weights=2), "weights: got 2; expected a list of 2 numbers"),
    (lambda: ad.OneOf([ad.Cutout(), ad.Cutout()], weights=[1.0, float("nan")]), "weights: got .* none negative"),
    (lambda: ad.Compose(ad.Cutout()), "Compose: got Cutout; expected a list"),
    (lambda: ad.OneOf([]), "OneOf: got .* one or more"),
    (lambda: ad.Ramp(2.0, epochs=3), r"Ramp: stop: got 2.0; .* \[0, 1\]"),
    (lambda: ad.Ramp(0.5, epochs=3, start=10), "Ramp: start: got 10"),
    (lambda: ad.Ramp(0.5, epochs=0), "Ramp: epochs: got 0"),
    (lambda: ad.Ramp(0.5, epochs="a"), "Ramp: epochs: got 'a'"),
    (lambda: ad.PerChannel(0.5), "PerChannel: got 0.5; expected one number a channel"),
    (lambda: ad.PerChannel(("a", 1)), r"PerChannel: got \('a', 1\)"),
    (lambda: ad.PerChannel(()), r"PerChannel: got \(\)"),
    (lambda: ad.Cutout().set_epoch(1 << 32), "set_epoch: got 4294967296"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_told_at_once(make, message):
    with pytest.raises(AugDropError, match=message):
        make()


def test_what_is_right_stays_so():
    assert ad.GridMask(period=(2, 1.0)).where.period == (2, 1.0)  # type: ignore[attr-defined]
    assert ad.OneOf([ad.Cutout()], weights=np.array([2.0])).weights == [2.0]
    assert len(ad.Compose(t for t in (ad.Cutout(), ad.Cutout())).members) == 2
    assert ad.Cutout(fill=np.float32(0.5), seed=np.int64(3)).fill == ad.Constant(0.5)
    ad.Cutout().set_epoch(np.int64(2))


@pytest.mark.parametrize(
    "images", [torch.rand(4, 3, 8, 8), torch.rand(3, 8, 8), np.zeros((3, 8, 8))], ids=["4-D", "3-D", "array"]
)
@pytest.mark.parametrize("t", [ad.Cutout(), ad.OneOf([ad.Cutout(), ad.CutMix()])], ids=["one", "several"])
def test_images_are_not_a_shape(t, images):
    with pytest.raises(AugDropError, match=r"Pass images\.shape") as found:
        t.plan(images)
    assert len(str(found.value)) < 300


def test_errors_do_not_show_whole_batches():
    with pytest.raises(AugDropError) as found:
        ad.Cutout(p=torch.rand(5000))  # pyright: ignore[reportArgumentType]
    assert len(str(found.value)) < 1000


def test_numbers_of_numpy_are_taken_in_calls_too():
    mix, eight = ad.CutMix(seed=0), np.int64(8)
    assert torch.equal(mix.partner_keys(np.int64(3), 20), mix.partner_keys(3, 20))
    plan = ad.Cutout(16, seed=0).plan((2, 3, 32, 32), keys=range(2))
    assert torch.equal(plan.tokens(eight), plan.tokens(8))
    assert repr(ad.nn.DropBlock2d(np.float32(0.5), eight)) == repr(ad.nn.DropBlock2d(0.5, 8))
    assert len(ad.tokens.random_ltd(5, keep=eight)) == 3


NUMPYS = [
    (ad.Cutout, {"length": 8, "n_holes": 2, "p": 0.5}),
    (ad.RandomErasing, {"area": (0.25, 0.5), "ratio": (0.5, 2.0), "count": 2, "attempts": 10}),
    (ad.RandomErasing, {"count": (1, 3), "fill": (1.0, 2.0, 3.0)}),
    (ad.CoarseDropout, {"num_holes_range": (1, 3), "hole_height_range": (2, 5), "hole_width_range": (0.125, 0.25)}),
    (ad.GridMask, {"period": (8, 16), "ratio": 0.5, "rotate": 90}),
    (ad.GridMask, {"period": (8, 0.5)}),
    (ad.GridDropout, {"unit_size": 8, "ratio": 0.25}),
    (ad.HideAndSeek, {"grid_sizes": (4, 8), "drop_ratio": 0.5}),
    (ad.DropBlock, {"drop_ratio": 0.25, "block_size": 5}),
    (ad.DropBlock, {"block_size": 0.125}),
    (ad.PixelDropout, {"drop_ratio": 0.25}),
    (ad.CutMix, {"alpha": 0.5, "num_classes": 6, "label_smoothing": 0.125}),
    (ad.CutMix, {"minmax": (0.25, 0.5)}),
    (ad.AttentiveCutMix, {"top_k": 3, "grid": 5, "alpha": 0.5}),
    (ad.Mixup, {"alpha": 0.5, "p": 1}),
    (ad.Policy, {"min_visibility": 0.5, "min_area": 4.0, "mask_fill": 7}),
    (ad.Ramp, {"stop": 0.5, "epochs": 10}),
    (ad.Noise, {"low": 1, "high": 9}),
    (ad.Blur, {"factor": 8}),
    (ad.regions.RandomGrid, {"period": (8, 16), "ratio": 0.5}),
    (ad.tokens.RandomKeep, {"keep": 0.5, "prefix": 1, "grid": (4, 4)}),
    (ad.tokens.MAE, {"ratio": 0.5}),
]


def numpys(value):
    if isinstance(value, tuple):
        return tuple(map(numpys, value))
    return np.int64(value) if isinstance(value, int) else np.float32(value)


@pytest.mark.parametrize(("make", "given"), NUMPYS)
def test_numbers_of_numpy_are_taken_and_become_pythons(make, given):
    seeded = issubclass(make, (ad.Transform, ad.tokens.Selector))
    t = make(**{name: numpys(value) for name, value in given.items()} | ({"seed": 3} if seeded else {}))
    expected = make(**given | ({"seed": 3} if seeded else {}))
    assert repr(t) == repr(expected) and "np." not in repr(t)
    if isinstance(t, ad.Transform):
        json.dumps(describe(t))
        x = torch.rand(6, 3, 32, 32)
        assert torch.equal(t(x, keys=range(6)), expected(x, keys=range(6)))
        alone = [t(x[0], keys=0) for _ in range(2)]
        assert all(torch.equal(a, expected(x[0], keys=0)) for a in alone)
    else:
        assert t == expected and all(not isinstance(v, np.generic) for v in vars(t).values())
