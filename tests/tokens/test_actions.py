"""Actions on the tokens that a selection removes."""

from __future__ import annotations

import pytest
import torch

import augdrop as ad
from augdrop.tokens import actions
from tests.tokens.cases import ALL, even, uneven


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("prefixed", [True, False])
def test_replace_leaves_kept_tokens_alone(name, prefixed):
    s = ALL[name]()
    x, token = torch.randn(len(s), s.total + s.prefix * prefixed, 3), torch.randn(3)
    y = actions.replace(x, s, token)
    body, old = y[:, -s.total :], x[:, -s.total :]
    assert torch.equal(body[s.mask("kept")], old[s.mask("kept")])
    assert torch.equal(body[s.mask("removed")], token.expand(int(s.mask("removed").sum()), 3))
    assert torch.equal(y[:, : -s.total], x[:, : -s.total])


def test_fuse_is_the_weighted_sum_of_the_rest():
    s = even()
    x, weights = torch.randn(4, 13, 3), torch.rand(4, 12)
    y = actions.fuse(x, s, weights)
    assert torch.equal(y[:, :-1], s.gather(x)) and torch.equal(y[:, :-1], actions.drop(x, s))
    for b in range(4):
        rest = [i for i in range(12) if i not in s.keep[b].tolist()]
        expected = sum(weights[b, i] * x[b, 1 + i] for i in rest)
        torch.testing.assert_close(y[b, -1], expected)


def test_the_bias_hides_keys_from_attention():
    s = even()
    q, k, v = (torch.randn(4, 2, 13, 8) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    hidden = attend(q, k, v, attn_mask=actions.attention_bias(s))
    kept = [s.gather(t.transpose(1, 2)).transpose(1, 2) for t in (k, v)]
    torch.testing.assert_close(hidden, attend(q, kept[0], kept[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_of_which_all_is_hidden_is_uniform(dtype):
    logits = (torch.randn(3, 5) * 10).to(dtype)
    where = torch.zeros(3, 5, dtype=torch.bool)
    where[0], where[1, :3] = True, True
    p = actions.hide(logits, where).softmax(-1)
    assert p[0].tolist() == [torch.tensor(0.2, dtype=dtype).item()] * 5
    assert p[1, :3].tolist() == [0, 0, 0] and torch.equal(p[2], logits[2].softmax(-1))


def test_gradients_reach_kept_tokens_only():
    s = even()
    x = torch.randn(4, 13, 3, requires_grad=True)
    actions.replace(x, s, torch.zeros(3)).square().sum().backward()
    assert x.grad is not None
    assert torch.equal((x.grad[:, 1:] != 0).any(-1), s.mask("kept"))


def test_highest_takes_the_first_of_equals_and_refuses_nan():
    scores = torch.tensor([[0.5, 0.7, 0.5, 0.5]])
    assert actions.highest(scores, 2).keep.tolist() == [[0, 1]]
    assert actions.highest(scores, 2, ordered=False).ids.tolist() == [[1, 0]]
    with pytest.raises(ad.AugDropError, match="NaN"):
        actions.highest(torch.full((1, 3), torch.nan), 2)


def test_another_models_tokens_are_refused():
    with pytest.raises(ad.AugDropError, match="tokens that were selected"):
        actions.replace(torch.zeros(4, 15, 3), even(), torch.zeros(3))


def test_places_have_no_padding():
    assert actions.places(even())[:, 0].tolist() == [0] * 4
    with pytest.raises(ad.AugDropError, match=r"places: .*a Ratio or a Count"):
        actions.places(uneven())
