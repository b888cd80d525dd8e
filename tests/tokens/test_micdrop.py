"""MICDrop: complementary masks over the levels of two pyramids."""

from __future__ import annotations

import pytest
import torch

import augdrop as ad
from augdrop.tokens.micdrop import MICDrop


def pyramids(batch=4, requires_grad=False):
    sides = [(32, 24), (16, 12), (8, 6)]
    image = [torch.rand(batch, 3, *side, requires_grad=requires_grad) + 0.5 for side in sides]
    depth = [torch.rand(batch, 5, *side, requires_grad=requires_grad) + 0.5 for side in sides]
    return image, depth


@pytest.mark.parametrize("block", [1, 2, 4])
def test_at_every_level_one_of_the_two_is_left(block):
    image, depth = pyramids()
    masked_image, masked_depth = MICDrop(block=block, seed=0)(image, depth, keys=range(4))
    for a, b, x, y in zip(masked_image, masked_depth, image, depth, strict=True):
        left_a, left_b = (a != 0).all(1), (b != 0).all(1)
        assert torch.equal(left_a, (a != 0).any(1)) and torch.equal(left_a, ~left_b)
        assert torch.equal(a, x * left_a[:, None]) and torch.equal(b, y * left_b[:, None])


def test_levels_share_areas_in_blocks():
    image, depth = pyramids()
    drop = MICDrop(block=2, seed=0)
    left = [(f != 0).all(1) for f in drop(image, depth, keys=range(4))[0]]
    masked, hit = drop.mask(4, (8, 6), keys=range(4))
    assert torch.equal(left[2], ~masked) and bool(hit.all())
    cells = masked[:, ::2, ::2]
    assert torch.equal(masked, cells.repeat_interleave(2, 1).repeat_interleave(2, 2))
    for i, factor in ((0, 4), (1, 2)):
        assert torch.equal(left[i], left[2].repeat_interleave(factor, 1).repeat_interleave(factor, 2))


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (0.3, 0.3), (1.0, 1), ((0.2, 0.8), 0.5)])
def test_the_share(ratio, expected):
    n = 400
    masked, _ = MICDrop(ratio=ratio, seed=1).mask(n, (8, 8), keys=range(n))
    shares = masked.float().mean((1, 2))
    assert float(shares.mean()) == pytest.approx(expected, abs=4 * 0.25 / n**0.5 if 0 < expected < 1 else 0)
    if isinstance(ratio, tuple):
        assert float(shares.std()) == pytest.approx((0.6**2 / 12 + (0.25 - 0.03) / 64) ** 0.5, rel=0.15)


def test_samples_that_are_not_hit_stay_whole():
    image, depth = pyramids(64)
    drop = MICDrop(p=0.5, seed=0)
    masked_image, masked_depth = drop(image, depth, keys=range(64))
    _, hit = drop.mask(64, (8, 6), keys=range(64))
    assert 16 < int(hit.sum()) < 48
    for a, x in zip(masked_image + masked_depth, image + depth, strict=True):
        assert torch.equal((a == x).flatten(1).all(1), ~hit)


def test_same_keys_same_masks_whatever_the_batch():
    image, depth = pyramids()
    drop = MICDrop(seed=0)
    whole = drop(image, depth, keys=range(4), epoch=2)[0]
    alone = drop([f[2:3] for f in image], [f[2:3] for f in depth], keys=[2], epoch=2)[0]
    assert all(torch.equal(a[2:3], b) for a, b in zip(whole, alone, strict=True))
    assert not torch.equal(drop(image, depth, keys=range(4), epoch=3)[0][0], whole[0])


def test_gradients_reach_what_is_left():
    image = [torch.rand(2, 3, 8, 8, requires_grad=True)]
    depth = [torch.rand(2, 3, 8, 8, requires_grad=True)]
    a, b = MICDrop(seed=0)(image, depth, keys=[1, 2])
    (a[0].sum() + b[0].sum()).backward()
    assert image[0].grad is not None and depth[0].grad is not None
    assert torch.equal(image[0].grad + depth[0].grad, torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MICDrop(ratio=1.5), "within"),
        (lambda: MICDrop(block=0), ">= 1"),
        (lambda: MICDrop()([torch.zeros(1, 1, 4, 4)], [torch.zeros(1, 1, 4, 5)]), "same levels"),
        (lambda: MICDrop()([], []), "same levels"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
