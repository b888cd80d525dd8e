"""DropPos: both drops, what the encoder gets, soft labels, weights and the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import augdrop as ad
from augdrop import tokens
from augdrop.tokens.draw import subsets


def puzzle(batch=6, **options):
    return tokens.DropPos(**{"seed": 0} | options).puzzle(torch.zeros(batch, 196, 1), keys=range(batch))


def test_counts():
    p = puzzle()
    assert p.visible.keep.shape == (6, 49) and p.told.keep.shape == (6, 12)
    assert p.told.mask("removed").sum(1).tolist() == [37] * 6
    assert torch.equal(p.labels, p.visible.keep)
    assert torch.equal(tokens.DropPos(seed=0)(torch.zeros(6, 196, 1), keys=range(6)).keep, p.visible.keep)


def test_the_two_drops_are_independent_and_by_key():
    p = puzzle(2000)
    told = p.told.mask("kept").float()
    bound = 5 * np.sqrt(0.25 / 2000)
    assert float((told.mean(0) - 12 / 49).abs().max()) < bound
    first = p.visible.keep[:, 0] == 0
    assert abs(float(told[first].mean(0)[0]) - 12 / 49) < 5 * np.sqrt(0.2 / float(first.sum()))
    alone = tokens.DropPos(seed=0).puzzle(torch.zeros(1, 196, 1), keys=[7])
    assert torch.equal(alone.visible.keep[0], p.visible.keep[7]) and torch.equal(alone.told.keep[0], p.told.keep[7])
    assert torch.equal(alone.shuffle[0], p.shuffle[7])


@pytest.mark.parametrize("filler", ["learned", "zeros", "wrong"])
@pytest.mark.parametrize("shuffled", [True, False])
def test_tokens_are_patches_with_their_position_where_told(filler, shuffled):
    generator = torch.Generator().manual_seed(0)
    patches, positions = torch.randn(4, 196, 8, generator=generator), torch.randn(196, 8, generator=generator)
    given = {}
    if shuffled:
        noise = {"noise": (4, 196), "position_noise": (4, 49)}
        given = {name: torch.rand(shape, generator=generator) for name, shape in noise.items()}
    p = tokens.DropPos(seed=0).puzzle(patches, keys=range(4), **given)
    if shuffled:
        assert torch.equal(p.labels, given["noise"].argsort(1)[:, :49])
        assert torch.equal(p.told.keep, given["position_noise"].argsort(1)[:, :12].sort(1).values)
    learned = torch.full((8,), 0.25)
    got = p.tokens(patches, positions, learned if filler == "learned" else filler)  # type: ignore[arg-type]
    for i in range(4):
        ids, told = p.labels[i], p.told.mask("kept")[i]
        added = got[i] - patches[i, ids]
        assert torch.allclose(added[told], positions[ids[told]], atol=1e-6)
        dropped = ids[~told]
        expected = {
            "learned": learned.expand(37, 8),
            "zeros": torch.zeros(37, 8),
            "wrong": positions[dropped[p.shuffle[i]]],
        }[filler]
        assert torch.allclose(added[~told], expected, atol=1e-6)
    assert torch.equal(p.shuffle, p.shuffle[:1].expand(4, -1))
    assert p.shuffle[0].sort().values.tolist() == list(range(37))


def test_both_drops_in_numpy():
    method = tokens.DropPos(seed=5)
    p = method.puzzle(torch.zeros(3, 196, 1), keys=range(3), epoch=2)
    draws = method.draws(3, range(3), 2)
    assert np.array_equal(p.visible.keep.numpy(), subsets(*draws, 196, 49))
    stream = ad.rng.stream_key(5, "DropPos/positions")
    assert np.array_equal(p.told.keep.numpy(), subsets(stream, draws.keys, draws.epochs, 49, 12))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_smoothing_map_in_numpy(sigma):
    rows, columns = np.divmod(np.arange(12), 4)
    near = np.exp(-((rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2) / sigma**2)
    ours = tokens.smoothing_map((3, 4), sigma)
    assert np.allclose(ours, near / near.sum(1, keepdims=True), atol=1e-6)
    assert np.allclose(ours.sum(1), 1, atol=1e-6)
    reference = tokens.smoothing_map((3, 4), sigma, "columns")
    assert np.allclose(reference, near / near.sum(1), atol=1e-6)
    assert np.allclose(reference.sum(0), 1, atol=1e-6)


def test_smoothing_map_quirk_and_limit():
    sums = tokens.smoothing_map((14, 14), 1.0, "columns").sum(1).view(14, 14)
    assert sums[0, 0] == pytest.approx(0.886, abs=5e-4) and sums[1, 1] == pytest.approx(1.110, abs=5e-4)
    assert sums[6, 6] == pytest.approx(1, abs=1e-4)
    for sigma in (0, tokens.sigma_at(799, 800)):
        assert torch.equal(tokens.smoothing_map((14, 14), sigma), torch.eye(196))


def test_sigma_falls_straight():
    assert [tokens.sigma_at(e, 4, 2.0) for e in range(4)] == [2.0, 1.5, 1.0, 0.5]


def test_loss_is_cross_entropy_over_dropped_positions():
    p, predicted = puzzle(), torch.randn(6, 49, 196, requires_grad=True)
    dropped = p.told.mask("removed")
    loss = tokens.droppos_loss(predicted, p, tokens.smoothing_map((14, 14), 0))
    assert torch.allclose(loss, F.cross_entropy(predicted[dropped], p.labels[dropped]), atol=1e-5)
    loss.backward()
    assert bool((predicted.grad[~dropped] == 0).all()) and bool((predicted.grad[dropped] != 0).any(-1).all())
    right = F.one_hot(p.labels, 196).float() * 9
    right[0] = 0
    right[0, :, 0] = 9
    kept_right = (p.labels[0] == 0) & dropped[0]
    share = (5 * 37 + int(kept_right.sum())) / (6 * 37)
    assert float(tokens.droppos_accuracy(right, p)) == pytest.approx(share)


def test_weighted_loss_in_numpy():
    p, predicted = puzzle(), torch.randn(6, 49, 196)
    weights, smooth = torch.rand(6, 49), tokens.smoothing_map((14, 14), 1.0)
    log = predicted.double().log_softmax(-1).numpy()
    above, below = 0.0, 0.0
    for i in range(6):
        for v in range(49):
            w = float(p.told.mask("removed")[i, v]) * float(weights[i, v])
            above += w * -(smooth[p.labels[i, v]].double().numpy() * log[i, v]).sum()
            below += w
    assert float(tokens.droppos_loss(predicted, p, smooth, weights)) == pytest.approx(above / below, rel=1e-5)


def test_those_that_are_sure_are_left_out():
    puzzle = tokens.DropPos(seed=0).puzzle(torch.zeros(2, 64, 1), keys=[1, 2])
    smoothing, predicted = tokens.smoothing_map((8, 8)), torch.zeros(2, 16, 64)
    sure = puzzle.told.mask("removed") & (torch.arange(16) % 2 == 0)
    predicted.scatter_(-1, puzzle.labels[..., None], 9.0 * sure[..., None])
    unsure = (~sure).float()
    weights = torch.rand(2, 16)
    for given in (None, weights):
        want = tokens.droppos_loss(predicted, puzzle, smoothing, unsure if given is None else unsure * given)
        assert torch.equal(tokens.droppos_loss(predicted, puzzle, smoothing, given, conf_ignore=True), want)
        assert not torch.equal(tokens.droppos_loss(predicted, puzzle, smoothing, given), want)


def test_multi_task_reconstructs_what_nobody_sees():
    p, smooth = puzzle(), tokens.smoothing_map((14, 14))
    images, predicted = torch.randn(6, 3, 56, 56), torch.randn(6, 49, 196, requires_grad=True)
    pixels = torch.randn(6, 196, 48, requires_grad=True)
    loss = tokens.multi_task_loss(predicted, pixels, images, p, smooth, 4)
    wrong = (pixels - tokens.patchify(images, 4)).square().mean(-1)
    want = wrong[p.visible.mask("removed")].mean() + 0.05 * tokens.droppos_loss(predicted, p, smooth)
    torch.testing.assert_close(loss, want)
    loss.backward()
    assert torch.equal(pixels.grad.abs().sum(-1) > 0, p.visible.mask("removed"))
    assert torch.equal(predicted.grad.abs().sum(-1) > 0, p.told.mask("removed"))


def test_nothing_dropped_is_a_loss_of_zero():
    p = puzzle(position_ratio=0.0)
    assert not bool(p.told.mask("removed").any())
    predicted = torch.randn(6, 49, 196, requires_grad=True)
    loss = tokens.droppos_loss(predicted, p, tokens.smoothing_map((14, 14)))
    loss.backward()
    assert float(loss.detach()) == 0 and bool((predicted.grad == 0).all())
    patches, positions = torch.randn(6, 196, 4), torch.randn(196, 4)
    for filler in ("zeros", "wrong"):
        assert torch.equal(p.tokens(patches, positions, filler), p.visible.gather(patches + positions))


def test_attentive_weights():
    p = puzzle(prefix=0)
    visible = tokens.DropPos(prefix=1, seed=0)(torch.zeros(6, 197, 1), keys=range(6))
    assert torch.equal(visible.keep, p.visible.keep)
    x = torch.randn(6, 197, 16, requires_grad=True)
    weights = tokens.attentive_weights(x, visible)
    assert not weights.requires_grad and torch.allclose(weights.sum(1), torch.ones(6), atol=1e-5)
    raw = x.detach().double().numpy()
    cosine = (
        (raw[:, 1:] * raw[:, :1]).sum(-1) / np.linalg.norm(raw[:, 1:], axis=-1) / np.linalg.norm(raw[:, :1], axis=-1)
    )
    soft = np.exp(cosine / 0.1)
    picked = np.take_along_axis(soft, visible.keep.numpy(), 1)
    assert np.allclose(weights, picked / picked.sum(1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: puzzle().tokens(torch.zeros(6, 196, 4), torch.zeros(196, 4), "param"), "'zeros' or 'wrong'"),  # type: ignore[arg-type]
        (lambda: tokens.DropPos(position_ratio=1.0), "share in"),
        (lambda: tokens.smoothing_map((2, 2), -1.0), "above 0"),
        (lambda: tokens.smoothing_map((2, 2), 1.0, "both"), "'rows' or 'columns'"),  # type: ignore[arg-type]
        (lambda: tokens.sigma_at(10, 10), "0 to 9"),
        (lambda: tokens.attentive_weights(torch.zeros(6, 197, 4), puzzle().visible), "class token"),
        (lambda: tokens.DropPos().puzzle(torch.zeros(2, 16, 1), noise=torch.zeros(2, 15)), "number for each"),
        (lambda: tokens.DropPos().puzzle(torch.zeros(2, 16, 1), position_noise=torch.full((2, 4), torch.nan)), "NaN"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
