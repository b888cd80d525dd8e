"""EViT: counts, the fused token, the keep rate's schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens.evit import CosineKeep, EViT
from augdrop.tokens.reducer import Seen, compose


def attention(b, h, t, seed=0):
    return torch.randn(b, h, t, t, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def test_counts_of_the_paper():
    x, lengths = torch.rand(1, 197, 2), []
    for layer in (3, 6, 9):
        x = EViT().reduce(x, Seen(layer, 1, attention(1, 2, x.shape[1]))).x
        lengths.append(x.shape[1] - 1)
    assert lengths == [138 + 1, 98 + 1, 70 + 1]


def test_against_numpy():
    x, a = torch.randn(3, 12, 4), attention(3, 2, 12)
    reduced = EViT(keep=0.5).reduce(x, Seen(3, 1, a))
    scores = a.numpy().mean(1)[:, 0, 1:]
    for b in range(3):
        order = np.argsort(-scores[b], kind="stable")
        keep, rest = np.sort(order[:6]), order[6:]
        fused = (scores[b, rest, None] * x[b, 1 + rest].numpy()).sum(0)
        np.testing.assert_array_equal(reduced.x[b, 0], x[b, 0])
        np.testing.assert_array_equal(reduced.x[b, 1:7], x[b, 1 + keep])
        np.testing.assert_allclose(reduced.x[b, 7], fused, rtol=1e-5, atol=1e-6)
        assert reduced.source[b, 0] == 0 and set(reduced.source[b, 1 + rest].tolist()) == {7}
        assert reduced.source[b, 1 + keep].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_fused_token_competes_later():
    x, a = torch.randn(1, 10, 4), attention(1, 1, 10)
    first = EViT(keep=0.5).reduce(x, Seen(3, 1, a))  # 9 tokens: 5 and the fused one
    loud = torch.zeros(1, 1, 7, 7)
    loud[..., -1] = 1
    then = EViT(keep=0.5).reduce(first.x, Seen(6, 1, loud))  # 6 tokens: 3 and a new fused one
    assert then.x.shape[1] == 5 and torch.equal(then.x[:, 3], first.x[:, -1])
    # What went into the fused token before the first cut is still to be found, in the place where it stayed.
    assert set(compose(first.source, then.source)[0].tolist()) == {0, 1, 2, 3, 4}


def test_keep_all_is_the_identity_and_no_fusion_drops():
    x, a = torch.randn(2, 8, 4), attention(2, 1, 8)
    same = EViT(keep=1.0).reduce(x, Seen(3, 1, a))
    assert same.x is x and same.source.tolist() == [list(range(8))] * 2
    gone = EViT(keep=0.5, fused=False).reduce(x, Seen(3, 1, a))
    assert gone.x.shape[1] == 5 and (gone.source < 0).sum(1).tolist() == [3, 3]


def test_two_prefix_tokens_stay():
    x = torch.randn(2, 12, 4)
    reduced = EViT(keep=0.5).reduce(x, Seen(3, 2, attention(2, 3, 12)))
    assert reduced.x.shape[1] == 2 + 5 + 1 and torch.equal(reduced.x[:, :2], x[:, :2])


def test_gradients_reach_kept_tokens_only_when_the_rest_is_dropped():
    x = torch.randn(2, 8, 4, requires_grad=True)
    reduced = EViT(keep=0.5, fused=False).reduce(x, Seen(3, 1, attention(2, 1, 8)))
    reduced.x.square().sum().backward()
    assert x.grad is not None and torch.equal((x.grad != 0).any(-1), reduced.source >= 0)


def test_the_keep_rate_warms_up_and_falls():
    keep = CosineKeep(0.7, warmup=10, steps=110)
    evit, shares = EViT(keep=keep), []
    for _ in range(130):
        shares.append(keep.share)
        keep.step()
    assert shares[:11] == [1.0] * 11 and shares[60] == pytest.approx(0.85) and shares[110:] == pytest.approx([0.7] * 20)
    assert all(a >= b for a, b in itertools.pairwise(shares))
    assert evit.reduce(torch.rand(1, 197, 2), Seen(3, 1, attention(1, 1, 197))).x.shape[1] == 140


def test_what_is_refused():
    with pytest.raises(ad.AugDropError, match="share in"):
        EViT(keep=1.5)
    with pytest.raises(ad.AugDropError, match="a class token"):
        EViT().reduce(torch.rand(1, 5, 2), Seen(3, 0, attention(1, 1, 5)))
    with pytest.raises(ad.AugDropError, match="EViT: keep: got 0"):
        EViT(keep=0.0)
    with pytest.raises(ad.AugDropError, match="CosineKeep: rate: got 0"):
        CosineKeep(0.0, warmup=0, steps=2)
