"""DynamicViT: counts, the predictor's halves, and keeping by score."""

from __future__ import annotations

import pytest
import torch

import augdrop as ad
from augdrop.tokens.dynamic_vit import DynamicViT, Predictor
from augdrop.tokens.reducer import Seen


class First(torch.nn.Module):
    """Says what the tokens' first feature says."""

    def forward(self, x):
        return torch.nn.functional.logsigmoid(torch.stack([x[..., 0], -x[..., 0]], -1))


def test_counts_of_the_paper():
    policy = DynamicViT(predictors=[First()] * 3)
    x, lengths = torch.randn(2, 197, 4), []
    for layer in (3, 6, 9):
        x = policy.reduce(x, Seen(layer, 1)).x
        lengths.append(x.shape[1] - 1)
    assert lengths == [137, 96, 67] == list(policy.counts)


@pytest.mark.parametrize("ordered", [True, False])
def test_the_highest_are_kept(ordered):
    x = torch.randn(3, 11, 4)
    policy = DynamicViT(predictors=[First()], layers=(2,), total=10, keep=0.5, ordered=ordered)
    reduced = policy.reduce(x, Seen(2, 1))
    order = (-x[:, 1:, 0]).argsort(dim=1, stable=True)[:, :5]
    ids = order.sort(1).values if ordered else order
    expected = torch.cat([x[:, :1], x[:, 1:].gather(1, ids[..., None].expand(-1, -1, 4))], 1)
    assert torch.equal(reduced.x, expected)
    there = reduced.source >= 0
    assert torch.equal(reduced.x.gather(1, reduced.source.clamp(min=0)[..., None].expand(-1, -1, 4))[there], x[there])


def test_keep_all_is_the_identity():
    x = torch.randn(3, 11, 4)
    policy = DynamicViT(predictors=[First()], layers=(2,), total=10, keep=1.0)
    assert torch.equal(policy.reduce(x, Seen(2, 1)).x, x)


def test_half_of_the_predictor_is_global_over_kept_tokens():
    predictor, x = Predictor(8), torch.randn(1, 6, 8)
    policy = torch.tensor([[1, 1, 1, 0, 0, 1]])
    log_p = predictor(x, policy)
    # Dropped tokens do not matter to the others.
    changed = x.clone()
    changed[:, 3:5] = torch.randn(1, 2, 8)
    kept = policy[0].bool()
    assert torch.allclose(predictor(changed, policy)[:, kept], log_p[:, kept])
    assert torch.allclose(predictor(x[:, kept]), log_p[:, kept], atol=1e-6)
    # The global half: another kept token changes everyone's; the local half: tokens differ.
    changed = x.clone()
    changed[:, 0] = torch.randn(8)
    assert bool((predictor(changed, policy)[:, 1:] != log_p[:, 1:]).any(-1).all())
    local, others = predictor.features(x).chunk(2, -1)
    by_hand = torch.cat([local, others.mean(1, keepdim=True).expand_as(others)], -1)
    assert torch.allclose(predictor(x), predictor.decide(by_hand))


def test_what_is_refused():
    with pytest.raises(ad.AugDropError, match="predictor for each layer"):
        DynamicViT(predictors=[First()])
    with pytest.raises(ad.AugDropError, match="196 of 196"):
        DynamicViT(predictors=[First()] * 3).reduce(torch.zeros(1, 65, 4), Seen(3, 1))
