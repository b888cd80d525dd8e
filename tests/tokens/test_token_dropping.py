"""Token dropping for BERT: the table, the selection, the layers, ScTD's loss; and random-LTD."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens import Ratio
from augdrop.tokens.random_ltd import GrowingLength, random_ltd
from augdrop.tokens.token_dropping import ImportanceTable, TokenDropping, aligns, drop_middle, sctd_loss

IDS = torch.tensor([[101, 7, 8, 9, 102, 0], [101, 5, 6, 7, 8, 102]])


def table():
    t = ImportanceTable(200)
    t.update(torch.tensor([5, 6, 7, 8, 9]), torch.tensor([50.0, 40.0, 30.0, 20.0, 10.0]))
    return t


def test_the_running_mean():
    t = table()
    assert t.table[[5, 9, 11]].tolist() == pytest.approx([0.995 * 10 + 0.005 * 50, 10, 10])
    t.update(torch.tensor([5, 5, 6]), torch.tensor([1.0, 3.0, 7.0]), torch.tensor([True, True, False]))
    assert float(t.table[5]) == pytest.approx(0.995 * 10.2 + 0.005 * 2)
    assert float(t.table[6]) == pytest.approx(0.995 * 10 + 0.005 * 40)


def test_special_tokens_and_padding_stay_put():
    t = ImportanceTable(200, beta=0.5)
    for _ in range(5):
        t.update(torch.tensor([[0, 101, 7]]), torch.zeros(1, 3))
    assert t.table[[100, 101, 102, 103]].tolist() == [1e4] * 4 and float(t.table[0]) == -1e4
    assert float(t.table[7]) == pytest.approx(10 / 32)
    copy = ImportanceTable(200)
    copy.load_state_dict(t.state_dict())
    assert torch.equal(copy.table, t.table)


def test_the_selection_of_a_table():
    scores, x = table()(IDS), torch.randn(2, 6, 4)
    ascending = TokenDropping(4, seed=0)(x, scores=scores)
    assert ascending.keep.tolist() == [[0, 1, 2, 4], [0, 1, 2, 5]]
    assert ascending.removed().keep.tolist() == [[3, 5], [3, 4]]
    ranked = TokenDropping.preset("reference", keep=4, seed=0)(x, scores=scores)
    assert ranked.ids.tolist() == [[0, 4, 1, 2], [0, 5, 1, 2]]
    assert ranked.restore.tolist() == [[0, 2, 3, 4, 1, 5], [0, 2, 3, 4, 5, 1]]
    sctd = TokenDropping.preset("sctd", seed=0)
    assert [sctd(torch.zeros(1, n, 1), scores=torch.rand(1, n)).keep.shape[1] for n in (6, 7)] == [3, 4]  # T - int(T/2)


@pytest.mark.parametrize("name", ["paper", "reference"])
def test_with_identities_in_the_middle_only_full_layers_count(name):
    x = torch.randn(2, 6, 4)
    s = TokenDropping.preset(name, keep=4, seed=0)(x, scores=table()(IDS))
    lengths = []

    def layer(add):
        def run(t):
            lengths.append(t.shape[1])
            return t + add

        return run

    # 12 layers: 0 to 4 on all; 5 on all, kept for selected ones; 6 to 10 on selected ones; 11 on all.
    y = drop_middle([layer(10.0**-i) for i in range(12)], x, s)
    assert lengths == [6] * 6 + [4] * 5 + [6]
    full = sum(10.0**-i for i in range(5)) + 10.0**-11
    middle = sum(10.0**-i for i in range(5, 11))
    expected = x + full + s.mask("kept")[..., None] * middle
    torch.testing.assert_close(y, expected)


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=6, num_attention_heads=2, intermediate_size=32
    )
    return BertModel(config).eval()


def run(model, selection, mask):
    def call(layer):
        def out(t, mask):
            bias = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None, None]
            y = layer(t, bias)
            return y[0] if isinstance(y, tuple) else y

        return out

    return drop_middle([call(layer) for layer in model.encoder.layer], model.embeddings(IDS), selection, mask)


def test_keeping_all_is_plain_bert():
    model, mask = bert(), IDS != 0
    with torch.no_grad():
        plain = model(IDS, attention_mask=mask.long()).last_hidden_state
        every = TokenDropping(6, seed=0)(torch.zeros(2, 6, 1), scores=table()(IDS))
        torch.testing.assert_close(run(model, every, mask)[mask], plain[mask])
        torch.testing.assert_close(run(model, None, mask)[mask], plain[mask])


def test_in_bert_kept_tokens_do_not_depend_on_dropped_ones_in_the_middle():
    model, mask = bert(), IDS != 0
    s = TokenDropping(4, seed=0)(torch.zeros(2, 6, 1), scores=table()(IDS))
    y = run(model, s, mask)
    assert y.shape == (2, 6, 16)
    y.square().sum().backward()
    assert all(p.grad is not None for p in model.encoder.layer[3].parameters())


def test_the_loss_of_sctd():
    a, b, c, d = (torch.randn(3, 8) for _ in range(4))
    kl = lambda p, q: float((p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum())  # noqa: E731
    drop, full = torch.tensor(2.0), torch.tensor(1.0)
    expected = 1.5 + 0.05 * (kl(c, a) + kl(d, b))
    assert float(sctd_loss(drop, full, [a, b], [c, d])) == pytest.approx(expected, rel=1e-4)
    assert float(sctd_loss(drop, full, [a, b], [c, d], rule="reference")) == pytest.approx(expected + 0.5, rel=1e-4)
    assert float(sctd_loss(drop, full, [a, b], [a, b])) == pytest.approx(1.5)
    assert [step for step in range(30) if aligns(step)] == [9, 19, 29]


def test_random_ltd_has_a_draw_of_its_own_in_each_layer():
    spans = random_ltd(6, keep=0.5, seed=3)
    x = torch.zeros(4, 17, 1)
    drawn = [span.selector(x[:, 1:], keys=range(4)).keep for span in spans]
    assert [span.blocks(6) for span in spans] == [range(i, i + 1) for i in range(1, 5)]
    assert all(d.shape == (4, 8) for d in drawn)
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    again = random_ltd(6, keep=0.5, seed=3)
    assert all(
        torch.equal(span.selector(x[:, 1:], keys=range(4)).keep, d) for span, d in zip(again, drawn, strict=True)
    )


def test_the_kept_length_grows_in_multiples():
    length = GrowingLength(128, 512, 1000, 16)
    lengths = np.array([length(step) for step in range(1200)])
    expected = np.minimum(512, 128 + 384 * np.arange(1200) / 1000) // 16 * 16
    np.testing.assert_array_equal(lengths, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ImportanceTable(50), "ids below 50"),
        (lambda: TokenDropping(4, seed=0)(torch.zeros(1, 6, 1)), "table"),
        (lambda: TokenDropping(4, seed=0)(torch.zeros(1, 6, 1), scores=torch.zeros(1, 5)), "each token"),
        (lambda: TokenDropping(7, seed=0)(torch.zeros(1, 6, 1), scores=torch.zeros(1, 6)), "at most 6"),
        (lambda: TokenDropping(Ratio(1.5), seed=0)(torch.zeros(1, 6, 1), scores=torch.zeros(1, 6)), "share in"),
        (lambda: drop_middle([torch.nn.Identity()] * 3, torch.zeros(1, 2, 2), None), ">= 4"),
        (lambda: random_ltd(2), ">= 3"),
        (lambda: GrowingLength(100, 50, 10), ">= 100"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
