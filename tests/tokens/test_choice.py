"""Draws by key, budgets, and the choice by scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.rng import stream_key
from augdrop.tokens.draw import subsets


@pytest.mark.parametrize("count", [1, 3, 5, 6, 9, 10])
def test_subsets_are_sets_and_every_token_is_as_likely(count):
    n = 20000
    drawn = subsets(stream_key(0, "test"), np.arange(n), np.zeros(n, np.int64), 10, count)
    assert drawn.shape == (n, count) and bool((np.diff(drawn) > 0).all())
    share = np.bincount(drawn.ravel(), minlength=10) / n
    assert np.abs(share - count / 10).max() < 5 * np.sqrt(0.25 / n)


def test_pairs_are_as_likely():
    n = 45000
    drawn = subsets(stream_key(1, "test"), np.arange(n), np.zeros(n, np.int64), 10, 2)
    counts = np.bincount(drawn[:, 0] * 10 + drawn[:, 1], minlength=100)
    expected = n / 45
    chi2 = ((counts[counts > 0] - expected) ** 2 / expected).sum()
    assert (counts > 0).sum() == 45 and chi2 < 44 + 5 * np.sqrt(2 * 44)


METHODS = {
    "RandomKeep": tokens.RandomKeep(0.25, prefix=1, seed=3),
    "MAE": tokens.MAE(prefix=1, seed=3),
    "GridMask": ad.GridMask((32, 64), seed=3).tokens(16, prefix=1),
    "HideAndSeek": ad.HideAndSeek(seed=3).tokens(16, 0.9, prefix=1),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_batch_does_not_matter(name):
    method, x = METHODS[name], torch.zeros(8, 197, 1)
    whole = method(x, keys=range(8), epoch=2)
    alone = [method(x[:1], keys=[key], epoch=2).mask("kept")[0] for key in range(8)]
    assert torch.equal(whole.mask("kept"), torch.stack(alone))
    assert method(x, keys=range(8), epoch=3) != whole
    assert torch.equal(method(x.flip(0), keys=range(7, -1, -1), epoch=2).mask("kept"), whole.mask("kept").flip(0))


def test_counts_by_rule():
    assert [tokens.kept(10, 0.8, rule) for rule in ("exact", "mae", "timm", "ceil")] == [2, 1, 1, 2]
    assert [tokens.kept(100, 0.9, rule) for rule in ("exact", "mae")] == [10, 9]
    assert tokens.kept(3, 0.99, "timm") == 1
    assert tokens.stages([0.5, 0.25, 0.125], 576) == [288, 144, 72]
    assert tokens.stages([0.5, 0.25, 0.125], 2880) == [1440, 720, 360]
    ramp = tokens.Ratio(ad.Ramp(0.5, epochs=10))
    assert [ramp.count(100, epoch) for epoch in (0, 5, 10, 20)] == [100, 75, 50, 50]


def test_choose_takes_the_highest_and_the_first_of_equals():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]])
    assert tokens.choose(scores, tokens.Count(2)).keep.tolist() == [[1, 2], [0, 1]]
    cumulative = tokens.choose(scores[:1], tokens.Cumulative(0.6))
    assert cumulative.keep.tolist() == [[1, 2]]
    threshold = tokens.choose(scores, tokens.Threshold(0.5))
    assert threshold.keep.tolist() == [[1, 2, 3], [0, -1, -1]] and threshold.padded
    assert tokens.choose(scores > 0.4, tokens.Threshold(1)).keep.tolist() == threshold.keep.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tokens.choose(torch.full((1, 4), torch.nan), tokens.Count(2)), "NaN"),
        (lambda: tokens.choose(torch.zeros(4), tokens.Count(2)), r"\[B, N\]"),
        (lambda: tokens.choose(torch.zeros(1, 4), tokens.Count(5)), "at most 4"),
        (lambda: tokens.choose(torch.tensor([[0.5, -0.1]]), tokens.Cumulative(0.5)), r"Cumulative: .*-0\.1.*softmax"),
        (lambda: tokens.Count(0), ">= 1"),
        (lambda: tokens.kept(10, 1.0), "keeps 0"),
        (lambda: tokens.Ratio(1.5), "ratio: got 1.5.*share in"),
        (lambda: tokens.Ratio(0.5, "floor"), "rule: got 'floor'"),
        (lambda: tokens.MAE()(torch.zeros(1, 4, 1), noice=torch.rand(1, 4)), r"MAE: got \['noice'\].*\['noise'\]"),
        (lambda: tokens.kept(10, 1.5), "share in"),
        (lambda: tokens.RandomKeep(0.5, prefix=5)(torch.zeros(1, 5, 2)), "more than 5 prefix"),
        (lambda: ad.GridMask().tokens(16)(torch.zeros(1, 195, 2)), "multiply to 195"),
        (lambda: tokens.from_plan(ad.Cutout(8).plan((1, 3, 30, 30)), 16), "divides the canvas"),
        (lambda: ad.Mixup(seed=0, p=1.0).tokens(16)(torch.zeros(2, 16, 1), keys=[1, 2]), "blended.*CutMix"),
        (lambda: ad.Cutout(8).tokens(16, min_share=0), "min_share"),
        (lambda: tokens.RegionKeep(transform=3), "Such as ad.GridMask"),
        (lambda: tokens.RandomKeep("half"), "RandomKeep: keep.*share"),  # type: ignore[arg-type]
        (lambda: tokens.Threshold(float("nan")), "a number"),
        (lambda: tokens.MAE()(torch.zeros(1, 4, 1), noise=[[0.1, 0.2, 0.3, 0.4]]), "a tensor"),
        (lambda: tokens.choose(torch.zeros(1, 4), 0.5), r"budget: got 0\.5.*Ratio\(0\.75\)"),  # type: ignore[arg-type]
        (lambda: tokens.choose(torch.zeros(1, 4, dtype=torch.complex64), tokens.Count(2)), "real numbers"),
        (lambda: tokens.RandomKeep(0.5, prefix=-1), "RandomKeep: prefix: got -1"),
        (lambda: tokens.RandomKeep(0.5, grid=14), r"RandomKeep: grid: got 14.*grid=\(h, w\)"),  # type: ignore[arg-type]
        (lambda: tokens.RandomKeep(0.5, grid=(14, 0)), "RandomKeep: grid: got 0"),
        (lambda: tokens.RandomKeep(0.5, width=0), "RandomKeep: width: got 0"),
        (lambda: tokens.RandomKeep(0.5, seed=1.5), r"RandomKeep: seed: got 1\.5"),  # type: ignore[arg-type]
        (lambda: tokens.DropKey(seed="a"), "DropKey: seed"),  # type: ignore[arg-type]
        (lambda: ad.GridMask().tokens(16, prefix=-1), "RegionKeep: prefix: got -1"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()


@pytest.mark.parametrize("share", [0.001, 0.5, 1.0])
def test_a_token_goes_by_its_dropped_share(share):
    plan = ad.Cutout(40, seed=1).plan((16, 3, 64, 64), keys=range(16))
    dropped = plan.mask().view(16, 4, 16, 4, 16).sum((2, 4)).flatten(1)
    expected = (dropped > 0) & (dropped >= share * 256)
    assert torch.equal(tokens.from_plan(plan, 16, share).mask("removed"), expected)


def test_something_stays_of_a_sample_that_is_covered():
    plan = ad.Cutout(400, seed=1).plan((2, 3, 64, 64), keys=range(2))
    assert tokens.from_plan(plan, 16).counts.tolist() == [1, 1]


def test_mae_of_given_noise():
    noise = torch.tensor([[0.6, 0.1, 0.9, 0.3], [0.2, 0.8, 0.4, 0.5]])
    s = tokens.MAE(ratio=0.5)(torch.zeros(2, 4, 1), noise=noise)
    assert s.ids.tolist() == [[1, 3], [0, 2]]
    assert s.mask("removed").tolist() == [[True, False, True, False], [False, True, False, True]]
    x = torch.randn(2, 4, 3)
    assert torch.equal(s.scatter(s.gather(x), fill=x), x)
    assert s.restore[0, [1, 3]].tolist() == [0, 1]


def test_mae_loss_counts_removed_patches_only():
    images = torch.randn(2, 3, 8, 8)
    s = tokens.MAE(seed=0)(torch.zeros(2, 16, 1), keys=[1, 2])
    target = tokens.patchify(images, 2)
    wrong = target.clone()
    wrong[s.mask("kept")] += 5
    assert float(tokens.mae_loss(wrong, images, s, 2)) == 0
    wrong[s.mask("removed")] += 3
    assert float(tokens.mae_loss(wrong, images, s, 2)) == pytest.approx(9, rel=1e-5)
    assert torch.equal(tokens.unpatchify(target, 2, (4, 4)), images)
    assert float(tokens.mae_loss(torch.zeros(2, 16, 12), images, s, 2, norm_pixels=True)) == pytest.approx(
        11 / 12, rel=1e-3
    )
