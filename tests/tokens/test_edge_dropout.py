"""Edge dropout in space-time graphs, and the walk's loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens.edge_dropout import EdgeDropout, palindrome_losses, transitions
from augdrop.tokens.perturb import coins

NODES = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))


def test_without_dropout_it_is_softmax():
    q = torch.nn.functional.normalize(NODES, dim=-1)
    there, back = transitions(NODES, 0.07, EdgeDropout(p=0, seed=0), keys=[1, 2])
    logits = torch.einsum("btid,btjd->btij", q[:, :-1], q[:, 1:]) / 0.07
    torch.testing.assert_close(there, logits.softmax(-1))
    torch.testing.assert_close(back, logits.transpose(-1, -2).softmax(-1))
    assert torch.equal(EdgeDropout(p=0, seed=0)(logits), logits)


@pytest.mark.parametrize("rule", ["independent", "reference"])
def test_rows_sum_to_one(rule):
    for p in (0.1, 0.9, 1.0):
        for way in transitions(NODES, 0.07, EdgeDropout(p=p, seed=0), rule=rule):
            torch.testing.assert_close(way.sum(-1), torch.ones(2, 3, 6))
    torch.testing.assert_close(way, torch.full((2, 3, 6, 6), 1 / 6))  # every edge is cut


def test_what_is_cut_is_what_the_draws_say():
    dropout = EdgeDropout(p=0.3, seed=5)
    cut = coins(dropout.draws(2, [1, 2], None), 0.3, (2, 3, 6, 6))
    there, back = transitions(NODES, 1.0, dropout, keys=[1, 2])
    whole = cut[:, 0].all(-1)
    assert torch.equal((there == 0)[~whole], cut[:, 0][~whole])
    whole = cut[:, 1].all(-1)
    assert torch.equal((back == 0)[~whole], cut[:, 1][~whole])


def test_the_references_way_back_loses_more():
    nodes, dropout = torch.randn(1, 2, 40, 8), EdgeDropout(p=0.3, seed=0)
    n, zeros = 1600, {}
    for rule in ("independent", "reference"):
        there, back = transitions(nodes, 1.0, dropout, keys=[1], rule=rule)
        zeros[rule] = (int((there == 0).sum()), int((back == 0).sum()))
    for rate, count in ((0.3, zeros["independent"][0]), (0.3, zeros["independent"][1]), (0.51, zeros["reference"][1])):
        assert abs(count - n * rate) < 4 * (n * rate * (1 - rate)) ** 0.5
    assert zeros["reference"][0] == zeros["independent"][0]


def test_the_loss_against_numpy():
    dropout = EdgeDropout(p=0.2, seed=0)
    there, back = (t.double().numpy() for t in transitions(NODES, 0.07, dropout, keys=[1, 2]))
    losses = palindrome_losses(NODES, 0.07, dropout, keys=[1, 2])
    for length in range(1, 4):
        steps = [there[:, i] for i in range(length)] + [back[:, i] for i in reversed(range(length))]
        walk = steps[0]
        for step in steps[1:]:
            walk = walk @ step
        np.testing.assert_allclose(walk.sum(-1), 1, rtol=1e-5)
        expected = -np.log(walk.diagonal(axis1=1, axis2=2) + 1e-20).mean()
        assert float(losses[length - 1]) == pytest.approx(expected, rel=1e-3)


def test_distinct_nodes_that_stay_come_home():
    nodes = torch.eye(6).expand(1, 4, 6, 6)
    assert float(palindrome_losses(nodes).max()) < 1e-4
    assert float(palindrome_losses(torch.ones(1, 3, 6, 2)).max()) == pytest.approx(np.log(6), rel=1e-4)


def test_the_given_nodes_stay_and_take_gradients():
    nodes = NODES.clone().requires_grad_()
    palindrome_losses(nodes, 0.07, EdgeDropout(p=0.3, seed=0), rule="reference").mean().backward()
    assert torch.equal(nodes.detach(), NODES) and nodes.grad is not None and bool(nodes.grad.isfinite().all())


def test_same_keys_same_cuts_whatever_the_batch():
    dropout = EdgeDropout(p=0.3, seed=0)
    whole = transitions(NODES, 0.07, dropout, keys=[7, 8])[1]
    assert torch.equal(whole[1:], transitions(NODES[1:], 0.07, dropout, keys=[8])[1])


def test_what_is_refused():
    with pytest.raises(ad.AugDropError, match="two frames"):
        palindrome_losses(NODES[:, :1])
    with pytest.raises(ad.AugDropError, match="above 0"):
        palindrome_losses(NODES, tau=0)
