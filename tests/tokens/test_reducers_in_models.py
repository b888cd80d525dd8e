"""EViT, ToMe, DynamicViT's policy and random-LTD in real vision transformers, by `tokens.attach`."""

from __future__ import annotations

import pytest
import torch

from augdrop import tokens
from augdrop.tokens import EVAD, DynamicViT, EViT, Predictor, Reduced, Reducer, TokenGrid, ToMe, attach, random_ltd
from augdrop.tokens.reducer import Seen
from augdrop.tokens.tome import match, merge
from tests.tokens.vits import WIDTH, build, images, logits, trunk

PLAIN = [
    "timm plain",
    "timm layer scale, average",
    "timm qk-norm, drop path",
    "timm DeiT distilled",
    "torchvision",
    "transformers ViT",
    "transformers DINOv2",
]
LAYERS = (1, 2)


def policy(keep):
    torch.manual_seed(0)
    return DynamicViT(predictors=[Predictor(WIDTH) for _ in LAYERS], layers=LAYERS, total=16, keep=keep)


def evad(keep):
    return EVAD(grid=TokenGrid(4, 2, 2), layers=LAYERS, keep=keep)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    "method",
    [EViT(layers=LAYERS, keep=1.0), ToMe(r=0), policy(1.0), evad(1.0)],
    ids=["evit", "tome", "dynamic", "evad"],
)
def test_keeping_all_is_the_stock_model(name, method):
    model, x = build(name), images()
    stock = logits(model, x)
    with attach(model, method):
        assert torch.equal(logits(model, x), stock)
    assert torch.equal(logits(model, x), stock)


SCORES = {
    "norm": (None, lambda x, seen: tokens.scores.norm(x[:, seen.prefix :])),
    "class attention": ("attention", lambda x, seen: tokens.scores.cls_attention(seen.attention, seen.prefix)),
}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("budget", [tokens.Ratio(0.5), tokens.Count(5)])
def test_an_own_one_of_a_score_a_budget_and_an_action(score, budget):
    model, x = build("torchvision"), images()
    asked, scored = SCORES[score]

    class Own(Reducer):
        needs = asked

        def reduce(self, x, seen):
            selection = tokens.choose(scored(x, seen), budget, prefix=seen.prefix)
            chosen.append(selection)
            return Reduced(tokens.drop(x, selection), tokens.places(selection))

    chosen = []
    with torch.no_grad(), attach(model, Own(layers=(1,))) as log:
        logits(model, x)
    assert log.counts == {1: 1 + chosen[0].keep.shape[1]}
    source = log.source()
    assert source is not None and torch.equal(source[:, 1:] >= 0, chosen[0].mask("kept"))


@pytest.mark.parametrize("name", PLAIN)
def test_counts_behind_each_block(name):
    model, x = build(name), images()
    prefix = trunk(model)[2].prefix
    for method, expected in (
        (EViT(layers=LAYERS, keep=0.5), {1: 8 + 1, 2: 5 + 1}),
        (ToMe(r=3), {0: 13, 1: 10, 2: 7}),
        (policy(0.5), {1: 8, 2: 4}),
        (evad(0.75), {1: 12, 2: 9}),
    ):
        with attach(model, method) as log:
            out = logits(model, x)
        assert log.counts == {layer: prefix + count for layer, count in expected.items()}
        assert out.shape == (3, 5) and bool(out.isfinite().all())


def by_hand(model, x, tokens):
    """A plain timm ViT, block by block; ``tokens(i, stream, keys, attention) -> stream`` behind the attention."""
    h = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x))))
    for i, block in enumerate(model.blocks):
        sizes = getattr(tokens, "sizes", None)
        attn, n = block.attn, block.norm1(h)
        q, k, v = attn.qkv(n).reshape(*n.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        weights = q @ k.mT * k.shape[-1] ** -0.5
        if sizes is not None:
            weights = weights + sizes.log()[:, None, None]
        weights = weights.softmax(-1)
        h = h + attn.proj((weights @ v).transpose(1, 2).flatten(2))
        h = tokens(i, h, k, weights)
        h = h + block.mlp(block.norm2(h))
    return model.forward_head(model.norm(h))


def test_evit_against_a_forward_by_hand():
    model, x, method = build("timm plain"), images(), EViT(layers=LAYERS, keep=0.6)

    def tokens(i, h, keys, attention):
        if i not in LAYERS:
            return h
        scores = attention.mean(1)[:, 0, 1:]
        out = []
        for sample, s in zip(h, scores, strict=True):
            count = -(-len(s) * 6 // 10)
            best = s.topk(count).indices
            rest = [j for j in range(len(s)) if j not in best.tolist()]
            fused = (s[rest, None] * sample[1:][rest]).sum(0, keepdim=True)
            out.append(torch.cat([sample[:1], sample[1:][best], fused]))
        return torch.stack(out)

    with attach(model, method):
        torch.testing.assert_close(model(x), by_hand(model, x, tokens), rtol=1e-4, atol=1e-5)


def test_tome_against_a_forward_by_hand():
    model, x = build("timm plain"), images()

    def tokens(i, h, keys, attention):
        source = match(keys.mean(1), 3, 1)
        merged = merge(h, source, h.shape[1] - 3, getattr(tokens, "sizes", None))
        tokens.sizes = merged.sizes
        return merged.x

    with attach(model, ToMe(r=3)):
        torch.testing.assert_close(model(x), by_hand(model, x, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["timm plain", "transformers ViT"])
def test_the_policy_decides_at_the_input_of_its_blocks(name):
    model, x, method = build(name), images(), policy(0.5)
    block, seen = trunk(model)[1][1], []
    with attach(model, method) as log:
        handle = block.register_forward_hook(lambda module, args, out: seen.extend((args[0], out)))
        logits(model, x)
        handle.remove()
    assert seen[0].shape[1] == 17 and log.counts == {1: 9, 2: 5}
    # What a stock block makes of the kept tokens alone, its attention included.
    torch.testing.assert_close(seen[1], block(method.reduce(seen[0], Seen(1, 1)).x), rtol=1e-4, atol=1e-5)


def test_merged_tokens_come_back_to_the_grid():
    model, x = build("timm plain"), images()
    with attach(model, ToMe(r=3)) as log:
        features = model.forward_features(x)
    back = log.restore(features)
    assert back.shape == (3, 17, WIDTH) and log.sizes is not None
    assert torch.equal(log.sizes.sum(1), torch.full((3,), 17.0))
    for b in range(3):
        assert {tuple(row.tolist()) for row in back[b]} == {tuple(row.tolist()) for row in features[b]}


@pytest.mark.parametrize(
    "method", [EViT(keep=0.5), ToMe(r=3), policy(0.5), evad(0.75)], ids=["evit", "tome", "dyn", "evad"]
)
def test_a_reducer_is_one_graph(method):
    x, keys = torch.randn(2, 17, WIDTH), torch.randn(2, 2, 17, 4)
    seen = Seen(1, 1, torch.randn(2, 2, 17, 17).softmax(-1), keys)
    compiled = torch.compile(lambda x: method.reduce(x, seen).x, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), method.reduce(x, seen).x)


def test_gradients_flow_through_all_of_them():
    model, x = build("timm plain"), images()
    for method in (EViT(layers=LAYERS, keep=0.5), ToMe(r=3), policy(0.5)):
        model.zero_grad()
        with attach(model, method):
            logits(model, x).square().sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("name", ["timm plain", "timm EVA rotary", "transformers DINOv2"])
def test_random_ltd(name):
    model, x = build(name), images()
    spans = random_ltd(len(trunk(model)[1]), keep=0.5, seed=0)
    stock = logits(model, x)
    with attach(model, spans, keys=[1, 2, 3]) as log:
        assert torch.equal(logits(model, x), stock)  # in eval mode all tokens stay
        model.train()
        assert logits(model, x).shape == stock.shape
    assert [s.keep.shape[1] for s in log.selections.values()] == [8]
