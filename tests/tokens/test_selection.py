"""The selection: round trips, polarity, order, and what it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augdrop import AugDropError
from augdrop.tokens import Count, Selection, choose, from_mask
from tests.tokens.cases import ALL, even, shuffled, uneven


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("with_prefix", [True, False])
def test_gather_and_scatter_are_inverse(name, with_prefix):
    s = ALL[name]()
    x = torch.randn(len(s), s.total + s.prefix * with_prefix, 3)
    y = s.gather(x)
    back = s.scatter(y, fill=-7.0)
    removed = torch.zeros(back.shape[:2], dtype=torch.bool)
    removed[:, back.shape[1] - s.total :] = s.mask("removed")
    assert torch.equal(back[~removed], x[~removed]) and bool((back[removed] == -7).all())
    assert torch.equal(s.gather(back), y)
    assert torch.equal(s.scatter(y, fill=x), x)
    token = torch.randn(3)
    assert torch.equal(s.scatter(y, fill=token)[removed], token.expand(int(removed.sum()), 3))


@pytest.mark.parametrize("name", ALL)
def test_restore_is_where_each_token_is(name):
    s = ALL[name]()
    x = torch.randn(len(s), s.total, 2)
    removed = s.removed()
    both = torch.cat([s.gather(x), removed.gather(x)], 1)
    assert torch.equal(both.gather(1, s.restore[..., None].expand(-1, -1, 2)), x) or s.padded
    kept = s.mask("kept")
    found = s.gather(x).gather(1, s.restore.clamp(max=s.keep.shape[1] - 1)[..., None].expand(-1, -1, 2))
    assert torch.equal(found[kept], x[kept])


def test_polarity_is_said():
    s = even()
    assert torch.equal(s.mask("kept"), ~s.mask("removed"))
    assert s.mask("kept").sum(1).tolist() == [5] * 4
    with pytest.raises(AugDropError, match="'kept' or 'removed'"):
        s.mask(True)  # type: ignore[arg-type]


def test_labels_have_a_number_that_says_nothing():
    s = uneven()
    y = torch.arange(48).view(4, 12)
    padded = s.ids < 0
    assert bool((s.labels(y)[padded] == -100).all()) and torch.equal(s.labels(y)[~padded], y[s.mask("kept")])
    assert s.labels(torch.rand(4, 12, 2, 3)).shape == (4, *s.keep.shape[1:], 2, 3)
    for none in (y.to(torch.uint8), y > 3):
        with pytest.raises(AugDropError, match=r"labels.*-100.*long"):
            s.labels(none)
        assert even().labels(none).dtype == none.dtype


def test_counts_padding_and_nested():
    s = uneven()
    assert s.padded and len(set(s.counts.tolist())) > 1
    x = torch.randn(4, 13, 3)
    y = s.gather(x)
    assert bool((y[~s.attention_mask()] == 0).all())
    assert s.attention_mask().sum(1).tolist() == (s.counts + 1).tolist()
    for row, count, values in zip(s.nested(x).unbind(), s.counts, y, strict=True):
        assert torch.equal(row, values[: count + 1])
    assert s.nested(x[:, 1:]).values().shape == (s.counts.sum(), 3)
    s.nested(x.requires_grad_()).values().sum().backward()
    assert x.grad is not None and torch.equal((x.grad[:, 1:] != 0).any(-1), s.mask("kept"))
    none = choose(torch.rand(0, 12), Count(3)).nested(torch.rand(0, 12, 2))
    assert len(none) == 0


@pytest.mark.parametrize("make", [even, uneven])
def test_padding_to_a_width_changes_no_token(make):
    s, x = make(), torch.randn(4, 13, 3)
    p = s.pad(11)
    assert p.padded and p.keep.shape == (4, 11)
    assert torch.equal(p.mask("kept"), s.mask("kept")) and torch.equal(p.counts, s.counts)
    assert torch.equal(p.scatter(p.gather(x), fill=x), x)
    assert p.attention_mask().sum(1).tolist() == (s.counts + 1).tolist()


def test_compiled_passes_on_the_host_are_the_plain_ones(monkeypatch):
    """What runs in a graph and on other devices is plain torch; on the host one compiled pass does the same."""
    fast = {name: (make().restore, make().mask("kept"), make().mask("removed")) for name, make in ALL.items()}
    # By the class: pytest imports the package anew to collect its doctests, and the new one lacks the module's name.
    monkeypatch.setattr(sys.modules[Selection.__module__], "on_host", lambda rows: None)
    for name, make in ALL.items():
        plain = make().restore, make().mask("kept"), make().mask("removed")
        assert all(torch.equal(a, b) for a, b in zip(fast[name], plain, strict=True))


def test_labels_and_positions():
    s, u = even(), uneven()
    y = torch.arange(12).expand(4, 12)
    assert torch.equal(s.labels(y), s.keep)
    assert torch.equal(u.labels(y), torch.where(u.keep < 0, -100, u.keep))
    assert torch.equal(shuffled().labels(y), shuffled().ids)
    assert torch.equal(s.positions(), s.keep)
    compact = Selection(s.keep, 12, numbering="compact")
    assert compact.positions().tolist() == [list(range(5))] * 4


@pytest.mark.parametrize("name", ALL)
def test_save_and_load(name, tmp_path):
    s = ALL[name]()
    s.save(tmp_path / "s.json")
    assert Selection.load(tmp_path / "s.json") == s
    assert s.to("cpu") == s
    assert s != even(count=4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_scores_of_any_dtype_are_saved(dtype, tmp_path):
    """Those that a network under autocast gives, too, with their gradient."""
    scores = (torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    s = choose(scores.requires_grad_(dtype.is_floating_point), Count(3))
    s.save(tmp_path / "s.json")
    back = Selection.load(tmp_path / "s.json")
    assert back == s and back.scores is not None and back.scores.dtype == dtype


def test_a_file_that_is_not_whole(tmp_path):
    whole = even().to_dict()
    for value in ("x", None):
        with pytest.raises(AugDropError, match=r"keep: got .*a tensor"):
            Selection.from_dict(whole | {"keep": value})
    with pytest.raises(AugDropError, match="a whole selection"):
        Selection.from_dict({name: value for name, value in whole.items() if name != "keep"})
    (tmp_path / "half.json").write_text('{"format": ')
    with pytest.raises(AugDropError, match="not JSON"):
        Selection.load(tmp_path / "half.json")


def test_repr_names_what_matters():
    assert repr(even()) == "Selection(5 of 12 tokens a sample, 4 samples, grid 3×4, prefix 1)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Selection(torch.zeros(2, 0, dtype=torch.int64), 4), "Keep at least one"),
        (lambda: Selection(torch.zeros(2, 5, dtype=torch.int64), 4), "K from 1 to 4"),
        (lambda: Selection(torch.zeros(2, 2), 4), "int64"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, grid=(3, 2)), "multiply to 4"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, prefix=-1), "0 or more"),
        (lambda: Selection(torch.tensor([[0, 2], [1, -1]]), 4), "different numbers.*padded=True"),
        (lambda: Selection([[0, 2], [1]], 4), "keep: got list.*from_mask"),  # type: ignore[arg-type]
        (lambda: Selection(torch.tensor([[0, 4]]), 4), "from 0 to 3"),
        (lambda: Selection(torch.tensor([[2, 1]]), 4), "fall, repeat"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, order=torch.tensor([[0]])), r"order.*\(1, 2\)"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, order=torch.tensor([[0, 2]])), "each from 0 to 1 once"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, scores=torch.zeros(1, 2)), r"scores.*\(1, 4\)"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, sizes=torch.ones(1, 4)), r"sizes.*\(1, 2\)"),
        (lambda: Selection(torch.tensor([[0, 1]]), 4, numbering="new"), "original or compact"),  # type: ignore[arg-type]
        (lambda: uneven().pad(1), "the most that a sample may keep"),
        (lambda: even().pad(13), "5 to 12"),
        (lambda: shuffled().pad(7), "ascending tokens"),
        (lambda: Selection(torch.tensor([[1, 1]]), 4), "fall, repeat"),
        (lambda: Selection(torch.tensor([[-1, 1]]), 4, padded=True), "fall, repeat"),
        (lambda: Selection(torch.tensor([[-2, 1]]), 4), "lie outside"),
        (lambda: even().gather(torch.zeros(4, 11, 2)), r"\[4, 1 \+ 12"),
        (lambda: even().gather(torch.zeros(3, 13, 2)), "tokens that the selection is of"),
        (lambda: even().labels(torch.zeros(4, 13)), "tokens that the selection is of"),
        (lambda: Selection.from_dict({"format": "augdrop-plan"}), "a saved selection"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(AugDropError, match=message):
        change()


def test_gradients_reach_kept_tokens_only():
    s = even()
    x = torch.randn(4, 13, 3, requires_grad=True)
    s.gather(x).sum().backward()
    assert torch.equal(x.grad[:, 1:, 0] == 1, s.mask("kept")) and bool((x.grad[:, 0] == 1).all())


def test_compiles_whole():
    s, x = even(), torch.randn(4, 13, 3)

    @torch.compile(fullgraph=True, backend="eager")
    def there_and_back(x):
        return s.scatter(s.gather(x), fill=0.5)

    assert torch.equal(there_and_back(x), s.scatter(s.gather(x), fill=0.5))


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 3), st.integers(0, 2**31))
def test_masks_round_trip(batch, total, prefix, seed):
    kept = torch.from_numpy(np.random.default_rng(seed).random((batch, total)) < 0.5)
    kept[:, 0] = True
    keep, padded = from_mask(kept)
    s = Selection(keep, total, prefix=prefix, padded=padded)
    assert torch.equal(s.mask("kept"), kept)
    assert padded == (len(set(s.counts.tolist())) > 1)
    x = torch.randn(batch, prefix + total, 2)
    assert torch.equal(s.scatter(s.gather(x), fill=x), x)
