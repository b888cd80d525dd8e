"""Scores against NumPy, and what they choose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens import Count, choose, scores

ATTENTION = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)).softmax(-1)


@pytest.mark.parametrize("prefix", [1, 3])
def test_attention(prefix):
    a = ATTENTION.numpy()
    assert np.allclose(scores.cls_attention(ATTENTION, prefix), a[:, :, 0, prefix:].mean(1), atol=1e-6)
    assert np.allclose(scores.cls_attention(ATTENTION, prefix, query=-1), a[:, :, -1, prefix:].mean(1), atol=1e-6)
    received = a.transpose(0, 3, 1, 2).reshape(2, 9, -1).mean(-1)[:, prefix:]
    assert np.allclose(scores.received_attention(ATTENTION, prefix), received, atol=1e-6)


def test_similarity_and_norm():
    x, text = torch.randn(2, 6, 4), torch.randn(2, 3, 4)
    a, b = x.numpy(), text.numpy()
    cosine = np.einsum("bnd,bmd->bnm", a, b)
    cosine = cosine / np.linalg.norm(a, axis=-1)[:, :, None] / np.linalg.norm(b, axis=-1)[:, None]
    assert np.allclose(scores.similarity(x, text), cosine.mean(-1), atol=1e-5)
    assert np.allclose(scores.similarity(x, text[:, 0]), cosine[..., 0], atol=1e-5)
    assert torch.allclose(scores.similarity(x, text[0, 0])[0], scores.similarity(x, text[:, 0])[0], atol=1e-6)
    assert np.allclose(scores.norm(x), np.linalg.norm(a, axis=-1), atol=1e-5)


def test_table():
    table, ids = torch.rand(50), torch.randint(0, 50, (3, 8))
    assert torch.equal(scores.from_table(table, ids), table[ids])


def test_what_scores_highest_is_kept():
    s = choose(scores.cls_attention(ATTENTION), Count(3), prefix=1)
    best = np.sort(np.argsort(-ATTENTION[:, :, 0, 1:].mean(1).numpy(), 1)[:, :3], 1)
    assert np.array_equal(s.keep.numpy(), best)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.cls_attention(torch.zeros(2, 9, 9)), "fused kernels"),
        (lambda: scores.received_attention(ATTENTION, prefix=9), "T above the prefix"),
        (lambda: scores.similarity(torch.zeros(2, 3, 4), torch.zeros(2, 5)), "one width"),
        (lambda: scores.from_table(torch.zeros(3, 3), torch.zeros(2, 2, dtype=torch.int64)), r"\[V\]"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
