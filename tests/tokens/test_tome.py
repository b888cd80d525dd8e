"""ToMe: matching and merging against a rewrite in NumPy, schedules, caps, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens.reducer import Seen, compose
from augdrop.tokens.tome import ToMe, match, merge, merges, unmerge


def numpy_tome(x, keys, r, prefix, sizes):
    """One sample, token by token: places of the tokens, and the groups' means and sizes."""
    metric = keys.mean(0)
    metric = metric / np.linalg.norm(metric, axis=-1, keepdims=True)
    even = [i for i in range(prefix, len(x)) if i % 2 == 0]
    odd = [i for i in range(prefix, len(x)) if i % 2 == 1]
    cosine = np.array([[metric[i] @ metric[j] for j in odd] for i in even])
    order = np.argsort(-cosine.max(1), kind="stable")
    into = {even[e]: odd[cosine[e].argmax()] for e in order[:r]}
    sequence = [*range(prefix), *(i for i in even if i not in into), *odd]
    groups = [[i, *(e for e, j in into.items() if j == i)] for i in sequence]
    means = [np.average(x[g], axis=0, weights=sizes[g]) for g in groups]
    place = {i: p for p, g in enumerate(groups) for i in g}
    return [place[i] for i in range(len(x))], np.array(means), np.array([sizes[g].sum() for g in groups])


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("tokens", [17, 18])
def test_against_numpy(prefix, tokens):
    g = torch.Generator().manual_seed(prefix)
    x, keys = torch.randn(3, tokens, 4, generator=g), torch.randn(3, 2, tokens, 8, generator=g)
    sizes = torch.randint(1, 5, (3, tokens), generator=g).float()
    reduced = ToMe(r=5).reduce(x, Seen(0, prefix, keys=keys, sizes=sizes))
    assert reduced.sizes is not None and reduced.x.shape[1] == tokens - 5
    for b in range(3):
        place, means, weights = numpy_tome(x[b].numpy(), keys[b].numpy(), 5, prefix, sizes[b].numpy())
        assert reduced.source[b].tolist() == place
        np.testing.assert_allclose(reduced.x[b], means, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(reduced.sizes[b], weights)
    assert torch.equal(reduced.x[:, :prefix], x[:, :prefix])


def test_the_nearest_pair_merges_first():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7], [0.01, 1.0], [0.0, 0.9], [1.0, -1.0]])
    source = match(keys[None], r=1, prefix=0)  # 4 looks exactly like 1
    assert source[0].tolist() == [0, 2, 1, 3, 2, 4]
    merged = merge(torch.arange(6.0)[None, :, None], source, 5)
    assert merged.x.flatten().tolist() == [0, 2, 2.5, 3, 5] and merged.sizes is not None
    assert merged.sizes[0].tolist() == [1, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("r", "inflect", "depth", "expected"),
    [
        (8, 0, 12, (8,) * 12),
        (16, -1.0, 5, (32, 24, 16, 8, 0)),
        (8, 1.0, 5, (0, 4, 8, 12, 16)),
        (5, -0.5, 4, (7, 5, 4, 3)),
    ],
)
def test_schedules(r, inflect, depth, expected):
    assert merges(r, inflect, depth) == expected


@pytest.mark.parametrize("r", [-1, 1.5, (8, -1), "8"])
def test_what_is_no_number_of_merges(r):
    with pytest.raises(ad.AugDropError, match=r"ToMe: r: got .*whole number"):
        ToMe(r=r)


def test_vit_b_at_13_ends_at_41_tokens():
    x, seen = torch.randn(1, 197, 4), Seen(0, 1)
    for layer in range(12):
        keys = torch.randn(1, 2, x.shape[1], 4)
        x, _, sizes = ToMe(r=13).reduce(x, seen._replace(layer=layer, keys=keys))
        seen = seen._replace(sizes=sizes)
    assert x.shape[1] == 41 and seen.sizes is not None and float(seen.sizes.sum()) == 197


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_at_most_half_of_the_tokens_merge(prefix):
    x, keys = torch.randn(1, 12, 4), torch.randn(1, 1, 12, 4)
    assert ToMe(r=100).reduce(x, Seen(0, prefix, keys=keys)).x.shape[1] == 12 - (12 - prefix) // 2


def test_no_merge_is_the_identity():
    x, keys = torch.randn(1, 12, 4), torch.randn(1, 1, 12, 4)
    for r, layer in ((0, 0), ((3, 0), 1), ((3,), 7)):
        reduced = ToMe(r=r).reduce(x, Seen(layer, 1, keys=keys))
        assert reduced.x is x and reduced.sizes is None


def test_unmerge_copies_means_back_through_two_layers():
    x = torch.randn(2, 13, 4)
    first = ToMe(r=4).reduce(x, Seen(0, 1, keys=torch.randn(2, 1, 13, 4)))
    then = ToMe(r=3).reduce(first.x, Seen(1, 1, keys=torch.randn(2, 1, 9, 4), sizes=first.sizes))
    source = compose(first.source, then.source)
    back = unmerge(then.x, source)
    assert back.shape == x.shape and torch.equal(back[:, 0], x[:, 0])
    # Means weighted by size over two layers are the means of all tokens that went into a place.
    for b in range(2):
        for place in range(6):
            torch.testing.assert_close(then.x[b, place], x[b, source[b] == place].mean(0))
            assert then.sizes is not None and int(then.sizes[b, place]) == int((source[b] == place).sum())


def test_proportional_attention_equals_attention_over_copies():
    """Attention with log sizes over merged tokens is attention over as many copies of them."""
    q, k, v = torch.randn(1, 5, 8), torch.randn(1, 3, 8), torch.randn(1, 3, 8)
    sizes = torch.tensor([[1, 3, 2]])
    merged = (q @ k.mT + sizes.log()[:, None]).softmax(-1) @ v
    copies = [t.repeat_interleave(sizes[0], 1) for t in (k, v)]
    torch.testing.assert_close(merged, (q @ copies[0].mT).softmax(-1) @ copies[1])


def test_gradients_go_to_all_parts_of_a_mean():
    x = torch.randn(2, 9, 4, requires_grad=True)
    reduced = ToMe(r=4).reduce(x, Seen(0, 1, keys=torch.randn(2, 1, 9, 4)))
    reduced.x.sum().backward()
    assert reduced.sizes is not None and x.grad is not None
    torch.testing.assert_close(x.grad[..., 0], 1 / reduced.sizes.gather(1, reduced.source))
