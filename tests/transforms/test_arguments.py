"""Arguments of the wrong kind are told when a transform is made, not met as a TypeError in the middle of training."""

# pyright: reportArgumentType=false

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import AugDropError

BAD = [
    (lambda: ad.GridMask(period=20), "period: got 20; .* two numbers in order"),
    (lambda: ad.GridMask(period=(0.9, 0.1)), "period: got .* in order"),
    (lambda: ad.GridMask(period=(0.1, 0.2, 0.3)), "period: got .* two numbers"),
    (lambda: ad.CoarseDropout(hole_height_range=5), "hole_height_range: got 5; .* two whole numbers"),
    (
        lambda: ad.Cutout(np.int64(4)),
        r"length: got np\.int64\(4\); expected a whole number >= 0, an int of Python's own",
    ),
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
