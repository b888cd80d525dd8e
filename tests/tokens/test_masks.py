"""PatchDropout, SimMIM, tubes and MAE: counts, golden checks, and rewrites in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.tokens.draw import subsets


def test_patch_dropout_counts():
    x = torch.zeros(2, 197, 3)
    assert tokens.PatchDropout(prefix=1)(x).gather(x).shape[1] == 99
    timm = tokens.PatchDropout.preset("timm", prob=0.99)
    assert timm(torch.zeros(2, 3, 1)).keep.shape == (2, 1)
    # The same nominal setting, counted by the authors and by timm.
    assert tokens.PatchDropout(0.2).count(10) == 2
    assert tokens.PatchDropout.preset("timm", prob=0.8).count(10) == 1
    for n in range(1, 60):
        for prob in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
            assert tokens.PatchDropout(None, prob).count(n) == max(1, int(n * (1.0 - prob)))


def test_patch_dropout_order():
    noise = torch.rand(4, 20, generator=torch.Generator().manual_seed(0))
    x = torch.zeros(4, 20, 1)
    ordered = tokens.PatchDropout()(x, noise=noise)
    shuffled = tokens.PatchDropout.preset("timm")(x, noise=noise)
    assert torch.equal(shuffled.ids, noise.argsort(1)[:, :10])
    assert torch.equal(ordered.ids, shuffled.ids.sort(1).values)
    assert bool((ordered.keep.diff(dim=1) > 0).all())
    by_key = tokens.PatchDropout.preset("timm", seed=1)(x, keys=range(4))
    assert torch.equal(by_key.keep, tokens.PatchDropout(seed=1)(x, keys=range(4)).keep)
    assert bool((by_key.ids.diff(dim=1) < 0).any())
    assert torch.equal(by_key.ids.sort(1).values, by_key.keep)


def test_patch_dropout_shuffles_evenly():
    method = tokens.PatchDropout(0.5, ordered=False, seed=0)
    ids = method(torch.zeros(6000, 4, 1), keys=range(6000)).ids
    counts = np.bincount((ids[:, 0] * 4 + ids[:, 1]).numpy(), minlength=16).reshape(4, 4)
    assert not counts.diagonal().any()
    counts = counts[~np.eye(4, dtype=bool)]
    assert ((counts - 500) ** 2 / 500).sum() < 11 + 5 * np.sqrt(22)


def test_patch_dropout_is_what_timm_draws():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    layer = timm.layers.PatchDropoutWithIndices(0.3, num_prefix_tokens=1).train()
    x = torch.randn(3, 11, 2)
    torch.manual_seed(7)
    y, ids = layer(x)
    torch.manual_seed(7)
    noise = torch.randn(3, 10)
    mine = tokens.PatchDropout.preset("timm", prob=0.3, prefix=1)(x, noise=noise)
    assert torch.equal(mine.ids, ids) and torch.equal(mine.gather(x), y)


def test_simmim_masks_whole_cells():
    method = tokens.SimMIM(seed=2)
    s = method(torch.zeros(50, 144, 1), keys=range(50))
    removed = s.mask("removed").view(50, 6, 2, 6, 2)
    assert bool((removed == removed[:, :, :1, :, :1]).all())
    assert removed[:, :, 0, :, 0].sum((1, 2)).tolist() == [22] * 50  # ceil(36 * 0.6)
    stay = subsets(*method.draws(50, range(50), None), 36, 14)
    expected = np.ones((50, 36), bool)
    expected[np.arange(50)[:, None], stay] = False
    expected = expected.reshape(50, 6, 6).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(s.mask("removed").view(50, 12, 12).numpy(), expected)
    swin = tokens.SimMIM.preset("swin", seed=2)(torch.zeros(50, 2304, 1), keys=range(50))
    assert np.array_equal(swin.mask("removed").view(50, 48, 48).numpy(), expected.repeat(4, 1).repeat(4, 2))


def test_simmim_cells_are_as_likely_and_its_loss_is_of_masked_pixels():
    s = tokens.SimMIM(seed=0)(torch.zeros(4000, 144, 1), keys=range(4000))
    share = s.mask("removed").float().mean(0)
    assert float((share - 22 / 36).abs().max()) < 5 * np.sqrt(0.25 / 4000)
    images = torch.randn(2, 3, 24, 24)
    s = tokens.SimMIM(seed=0)(torch.zeros(2, 144, 1), keys=[0, 1])
    wrong = tokens.patchify(images, 2)
    wrong[s.mask("kept")] += 9
    wrong[s.mask("removed")] -= 2
    assert float(tokens.simmim_loss(wrong, images, s, 2)) == pytest.approx(2, rel=1e-5)


def test_tubes_go_through_all_frames():
    method = tokens.Tube(grid=(8, 14, 14), seed=1)
    s = method(torch.zeros(20, 1568, 1), keys=range(20))
    removed = s.mask("removed").view(20, 8, 196)
    assert removed[:, 0].sum(1).tolist() == [176] * 20 and s.keep.shape == (20, 160)
    assert bool((removed == removed[:, :1]).all())
    assert len({tuple(row.tolist()) for row in removed[:, 0]}) == 20
    stay = subsets(*method.draws(20, range(20), None), 196, 20)
    assert np.array_equal(s.keep.numpy(), (stay[:, None] + np.arange(8)[:, None] * 196).reshape(20, -1))


def test_mae_reference_steps():
    n, total, ratio = 3, 50, 0.9
    noise = np.random.default_rng(0).random((n, total))
    count = int(total * (1 - ratio))
    shuffle = noise.argsort(1)
    restore = shuffle.argsort(1)
    removed = np.take_along_axis(np.repeat([[0] * count + [1] * (total - count)], n, 0), restore, 1)
    s = tokens.MAE(ratio)(torch.zeros(n, total, 1), noise=torch.from_numpy(noise))
    assert np.array_equal(s.ids.numpy(), shuffle[:, :count])
    assert np.array_equal(s.mask("removed").numpy(), removed == 1)
    kept = removed == 0
    assert np.array_equal(s.restore.numpy()[kept], restore[kept])
    # What the decoder sees: kept tokens at their places, the mask token elsewhere.
    x, token = torch.randn(n, total, 4), torch.randn(4)
    latent = torch.cat([s.gather(x), token.expand(n, total - count, 4)], 1)
    decoded = latent.gather(1, torch.from_numpy(restore)[..., None].expand(-1, -1, 4))
    assert torch.equal(s.scatter(s.gather(x), fill=token), decoded)
    assert torch.equal(decoded[torch.from_numpy(kept)], x[torch.from_numpy(kept)])


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.5, 0.75, 0.8, 0.9])
def test_mae_counts_and_keeps(ratio):
    x = torch.randn(6, 101, 2)
    s = tokens.MAE(ratio, prefix=1, seed=0)(x, keys=range(6))
    assert s.mask("removed").sum(1).tolist() == [100 - int(100 * (1 - ratio))] * 6
    assert ratio == 0 or len({tuple(row.tolist()) for row in s.keep}) == 6
    whole = tokens.MAE(0.0, prefix=1)(x, noise=torch.arange(100.0).expand(6, -1))
    assert torch.equal(whole.gather(x), x)


def test_dbot_targets_are_standardised():
    target = tokens.dbot_target(torch.randn(2, 5, 64) * 3 + 7)
    assert torch.allclose(target.mean(-1), torch.zeros(2, 5), atol=1e-5)
    assert torch.allclose(target.var(-1), torch.ones(2, 5), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tokens.PatchDropout(prob=0.5), "one of the two"),
        (lambda: tokens.PatchDropout(0.01)(torch.zeros(1, 10, 1)), "keeps none"),
        (lambda: tokens.PatchDropout(None, 1.0), "share in"),
        (lambda: tokens.PatchDropout.preset("tim"), "Did you mean 'timm'"),
        (lambda: tokens.SimMIM(patch=12), "multiple of the token"),
        (lambda: tokens.SimMIM()(torch.zeros(1, 49, 1)), "fill the grid"),
        (lambda: tokens.SimMIM(0.99)(torch.zeros(1, 144, 1)), "leaves one"),
        (lambda: tokens.SimMIM(grid=(1, 12, 12))(torch.zeros(1, 144, 1)), r"\(h, w\)"),
        (lambda: tokens.Tube()(torch.zeros(1, 196, 1)), r"\(t, h, w\)"),
        (lambda: tokens.Tube(1.0), "share in"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
