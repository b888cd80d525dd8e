"""EVAD: counts, scores by the keyframe, and restoring, with the reference's way beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens.evad import EVAD, TokenGrid, kept_ids, restore
from augdrop.tokens.reducer import Seen, compose

GRID = TokenGrid(4, 1, 3)


def attention(t, seed=0, b=2):
    return torch.randn(b, 2, t, t, generator=torch.Generator().manual_seed(seed)).softmax(-1)


@pytest.mark.parametrize(
    ("keep", "expected"), [(0.7, [902, 573, 343]), (0.6, [745, 369, 143]), (0.8, [1059, 808, 608])]
)
def test_counts(keep, expected):
    evad, total, counts = EVAD(grid=TokenGrid(8, 14, 14), keep=keep), 1568, []
    for _ in range(3):
        counts.append(evad.count(total))
        total = 196 + counts[-1]
    assert counts == expected


@pytest.mark.parametrize("weight", [1.0, 4.0])
@pytest.mark.parametrize("ordered", [True, False])
def test_against_numpy(weight, ordered):
    x, a = torch.randn(2, 12, 5), attention(12)
    clip, order = GRID.back(x), GRID.back(torch.arange(12)[None])[0]  # the clip is in time-major order
    reduced = EVAD(grid=GRID, keep=0.6, weight=weight, ordered=ordered).reduce(
        clip, Seen(3, 0, a[:, :, order][..., order])
    )
    rows = a.numpy()[:, :, :, 3:].copy()
    rows[:, :, :3] *= weight
    scores = rows.mean(2).mean(1)
    for b in range(2):
        ids = np.argsort(-scores[b], kind="stable")[:5]  # ceil(.6 * 12) - 3
        ids = np.sort(ids) if ordered else ids
        assert kept_ids(reduced.source, GRID)[b].tolist() == ids.tolist()
        np.testing.assert_array_equal(reduced.x[b], torch.cat([x[b, :3], x[b, 3 + ids]]))


def test_a_loud_keyframe_decides():
    a = torch.full((1, 1, 12, 12), 0.1)
    a[..., 6:9, :3] = 0.3  # the keyframe, slot 2, looks at 0 to 2, all others at 3 to 5
    a[..., [*range(6), 9, 10, 11], 3:6] = 0.2
    x = torch.randn(1, 12, 2)
    for weight, expected in ((1.0, [3, 4, 5]), (6.0, [0, 1, 2])):
        reduced = EVAD(grid=GRID, keep=0.5, weight=weight).reduce(x, Seen(3, 0, a))
        assert kept_ids(reduced.source, GRID)[0].tolist() == expected


def test_the_given_attention_stays_as_it_is_and_takes_gradients():
    raw = torch.randn(1, 1, 12, 12, requires_grad=True)
    a = raw.softmax(-1)
    before = a.detach().clone()
    x = torch.randn(1, 12, 4)
    reduced = EVAD(grid=GRID, keep=0.5, weight=4.0).reduce(x + (a[:, 0] @ x), Seen(3, 0, a))
    reduced.x.sum().backward()
    assert torch.equal(a, before) and raw.grad is not None and bool(raw.grad.isfinite().all())


def test_the_keyframe_comes_first_and_goes_back():
    x = torch.arange(24).view(1, 24, 1)
    grid = TokenGrid(4, 2, 3)
    assert grid.first(x).flatten().tolist() == [*range(12, 18), *range(12), *range(18, 24)]
    assert torch.equal(grid.back(grid.first(x)), x)


def three_layers(x, ordered):
    evad, source = EVAD(grid=GRID, keep=0.8, ordered=ordered), None
    for layer in (3, 6, 9):  # the keyframe comes to lead at the first
        reduced = evad.reduce(x, Seen(layer, 0, attention(x.shape[1], layer)))
        source = reduced.source if source is None else compose(source, reduced.source)
        x = reduced.x
    return x, source


@pytest.mark.parametrize("ordered", [True, False])
def test_restored_by_index_every_token_is_at_home(ordered):
    clip = torch.randn(2, 12, 5)
    x, source = three_layers(clip, ordered)
    full = restore(x, source, GRID, fill=torch.full((5,), 9.0))
    there = source >= 0
    assert torch.equal(full[there], clip[there]) and bool((full[~there] == 9).all())
    assert bool(there[:, 6:9].all()) and torch.equal(x[:, :3], clip[:, 6:9])


def test_restored_as_the_reference_does_tokens_lie_at_others_places():
    clip = torch.randn(2, 12, 5)
    x, source = three_layers(clip, ordered=False)
    right, wrong = restore(x, source, GRID), restore(x, source, GRID, rule="reference")
    there = source >= 0
    moved = (right != wrong).any(-1)
    assert bool(moved[there].any()) and not bool(moved[~there].any()) and not bool(moved[:, 6:9].any())
    # The same tokens are there, at other places; and in ascending order there is no difference.
    assert torch.equal(right.sum(1).double().round(decimals=4), wrong.sum(1).double().round(decimals=4))
    x, source = three_layers(clip, ordered=True)
    assert torch.equal(restore(x, source, GRID), restore(x, source, GRID, rule="reference"))


def test_presets():
    few = EVAD.preset("fewer", grid=GRID)
    assert (few.keep, few.weight, few.ordered) == (0.6, 4.0, True) and not EVAD.preset("reference", grid=GRID).ordered
    with pytest.raises(ad.AugDropError, match="reference"):
        EVAD.preset("refrence", grid=GRID)


def test_keep_all_is_the_identity():
    x = torch.randn(2, 12, 5)
    assert EVAD(grid=GRID, keep=1.0).reduce(x, Seen(3, 0, attention(12))).x is x


def test_what_is_refused():
    with pytest.raises(ad.AugDropError, match="even number"):
        TokenGrid(3, 2, 2)
    with pytest.raises(ad.AugDropError, match=r"grid: got \(8, 14, 14\).*a TokenGrid"):
        EVAD(grid=(8, 14, 14))  # type: ignore[arg-type]
    with pytest.raises(ad.AugDropError, match="leaves others"):
        EVAD(grid=GRID, keep=0.25).reduce(torch.zeros(2, 12, 5), Seen(3, 0, attention(12)))
    for layer, length in ((3, 11), (3, 13), (6, 13), (6, 3)):
        with pytest.raises(ad.AugDropError, match="12, a clip of 4 × 1 × 3"):
            EVAD(grid=GRID).reduce(torch.zeros(2, length, 5), Seen(layer, 0, attention(length)))
    with pytest.raises(ad.AugDropError, match=r"\[B, 12"):
        GRID.first(torch.zeros(1, 13, 2))
