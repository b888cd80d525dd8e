"""HPM: the schedule, the mask rule against a loop a sample, and the losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import tokens


def masks(epoch, batch=64, **options):
    scores = torch.rand(batch, 196, generator=torch.Generator().manual_seed(0))
    method = tokens.HPM(**{"seed": 0} | options)
    return method(torch.zeros(batch, 196, 1), keys=range(batch), epoch=epoch, scores=scores), scores, method


def test_forced_counts():
    epochs = np.arange(200)
    reference = [int(147 * (0.5 * (e + 1) / 200)) for e in epochs]
    assert tokens.HPM.preset("reference").forced(196, epochs).tolist() == reference
    assert reference[:3] == [0, 0, 1] and reference[-1] == 73
    assert tokens.HPM.preset("paper").forced(196, epochs)[0] == 0
    assert tokens.HPM(epochs=10).forced(196, np.array([9, 50])).tolist() == [73, 73]
    assert tokens.HPM(rising=False).forced(196, epochs).tolist() == [73] * 200


@pytest.mark.parametrize("epoch", [0, 2, 50, 199])
def test_the_hardest_are_always_masked_and_the_count_is_the_same(epoch):
    s, scores, method = masks(epoch)
    removed, forced = s.mask("removed"), int(method.forced(196, np.array([epoch]))[0])
    assert removed.sum(1).tolist() == [147] * 64
    hardest = scores.argsort(1, descending=True)[:, :forced]
    assert bool(removed.gather(1, hardest).all())


def test_always_masked_over_many_draws_are_the_hardest():
    scores = torch.rand(196, generator=torch.Generator().manual_seed(1)).expand(600, -1)
    s = tokens.HPM(seed=0)(torch.zeros(600, 196, 1), keys=range(600), epoch=100, scores=scores)
    removed = s.mask("removed")
    hardest = scores[0].argsort(descending=True)
    always = removed.all(0).nonzero()[:, 0]
    assert sorted(always.tolist()) == sorted(hardest[:37].tolist())
    # The others alike: (147 - 37) of (196 - 37).
    share = removed.float().mean(0)[hardest[37:]]
    assert float((share - 110 / 159).abs().max()) < 5 * math.sqrt(0.25 / 600)


def test_mask_rule_by_a_loop_a_sample():
    s, scores, method = masks(120, batch=10)
    noise = method.draws(10, range(10), 120).uniforms(196)
    for i in range(10):
        order = np.argsort(-scores[i].numpy(), kind="stable")
        forced = int(147 * (0.5 * 121 / 200))
        rest = np.sort(order[forced:])
        drawn = rest[np.argsort(-noise[i, rest], kind="stable")[: 147 - forced]]
        assert sorted([*order[:forced], *drawn]) == np.flatnonzero(s.mask("removed")[i]).tolist()


def test_epochs_of_their_own_and_no_scores_at_the_start():
    scores, x = torch.rand(2, 196), torch.zeros(2, 196, 1)
    method = tokens.HPM(seed=0)
    both = method(x, keys=[3, 4], epoch=[0, 150], scores=scores)
    for i, epoch in enumerate((0, 150)):
        alone = method(x[:1], keys=[3 + i], epoch=epoch, scores=scores[i : i + 1])
        assert torch.equal(both.keep[i], alone.keep[0])
    assert torch.equal(method(x, keys=[3, 4], epoch=0).keep[0], both.keep[0])
    with pytest.raises(ad.AugDropError, match="Run the teacher first"):
        method(x, keys=[3, 4], epoch=150)


def test_relative_loss_over_pairs():
    predicted, losses = torch.randn(3, 7, requires_grad=True), torch.rand(3, 7)
    losses[:, 3] = losses[:, 4]
    total, pairs = 0.0, 0
    for p, t in zip(predicted.tolist(), losses.tolist(), strict=True):
        for i in range(7):
            for j in range(7):
                if t[i] != t[j]:
                    likely = 1 / (1 + math.exp(p[i] - p[j]))
                    total -= math.log((likely if t[j] > t[i] else 1 - likely) + 1e-6)
                    pairs += 1
    assert pairs == 3 * (42 - 2)
    loss = tokens.relative_loss(predicted, losses)
    assert float(loss.detach()) == pytest.approx(total / pairs, rel=1e-5)
    loss.backward()
    assert predicted.grad is not None and bool(predicted.grad.isfinite().all())


def test_relative_loss_skips_ties_and_rewards_order():
    tie = tokens.relative_loss(torch.randn(2, 5, requires_grad=True), torch.ones(2, 5))
    assert float(tie.detach()) == 0
    losses = torch.arange(5.0).expand(1, -1)
    assert float(tokens.relative_loss(losses * 9, losses)) < 1e-2 < 5 < float(tokens.relative_loss(-losses * 9, losses))
    assert float(tokens.relative_loss(torch.zeros(1, 5), losses)) == pytest.approx(math.log(2), abs=1e-5)


def test_absolute_loss_is_to_standardised_losses():
    losses = torch.rand(4, 9) * 5
    standard = (losses - losses.mean(1, keepdim=True)) / losses.std(1, keepdim=True)
    assert float(tokens.absolute_loss(standard, losses)) < 1e-6
    assert float(tokens.absolute_loss(standard + 2, losses)) == pytest.approx(4, rel=1e-3)


def test_momentum():
    assert tokens.ema_momentum(0) == 0.999 and tokens.ema_momentum(100) == pytest.approx(0.9999)
    assert tokens.ema_momentum(25) == pytest.approx(0.999225) and tokens.ema_momentum(500) == pytest.approx(0.9999)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.zeros(2, 195), "number for each token"),
        (torch.full((2, 196), torch.nan), "NaN"),
        (torch.zeros(196), "number for each token"),
    ],
)
def test_scores_that_are_refused(scores, message):
    with pytest.raises(ad.AugDropError, match=message):
        tokens.HPM()(torch.zeros(2, 196, 1), scores=scores)
