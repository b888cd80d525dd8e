"""VideoMAE of Transformers, with random weights: EVAD, tubes and spans in a video model."""

from __future__ import annotations

import pytest
import torch
import transformers

import augdrop as ad
from augdrop.tokens import EVAD, DropPos, EViT, RandomKeep, Span, TokenGrid, ToMe, Tube, attach
from augdrop.tokens.evad import kept_ids
from augdrop.tokens.reducer import Seen

GRID = TokenGrid(4, 3, 3)
KEY = slice(18, 27)
EVERY = EVAD(grid=GRID, layers=(1, 2), keep=0.7)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(
        image_size=48,
        num_frames=8,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=5,
    )
    model = transformers.VideoMAEForVideoClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def clips(batch=2):
    return torch.rand(batch, 8, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_all_kept_is_the_stock_model(model, kind):
    model.set_attn_implementation(kind)
    x = clips()
    stock = model(x).logits
    for method in (EVAD(grid=GRID, layers=(1, 2), keep=1.0), RandomKeep(1.0), Span(RandomKeep(1.0))):
        with attach(model.train(), method):
            assert torch.equal(model(x).logits, stock)
    assert torch.equal(model(x).logits, stock)


def by_hand(model, x, method):
    """The model's layers one by one, with the whole attention matrix."""
    inner = model.videomae
    h = inner.embeddings(x, None)
    for i, layer in enumerate(inner.encoder.layer):
        attn, normed = layer.attention.attention, layer.layernorm_before(h)
        q, k = (p(normed).unflatten(2, (2, 16)).transpose(1, 2) for p in (attn.query, attn.key))
        h = layer.attention(normed) + h
        if i in method.layers:
            h = method.reduce(h, Seen(i, 0, (q @ k.mT / 4).softmax(-1))).x
        h = layer.output(layer.intermediate(layer.layernorm_after(h)), h)
    return h


@pytest.mark.parametrize("ordered", [True, False])
def test_evad_against_the_layers_by_hand(model, ordered):
    x, method = clips(), EVAD(grid=GRID, layers=(1, 2), keep=0.7, weight=4.0, ordered=ordered)
    with torch.no_grad(), attach(model.videomae, method) as log:
        out = model.videomae(x).last_hidden_state
    with torch.no_grad():
        torch.testing.assert_close(out, by_hand(model, x, method), rtol=1e-4, atol=1e-5)
    # ceil(.7 * 36) = 26, ceil(.7 * 26) = 19, the keyframe's 9 among them.
    assert log.counts == {1: 26, 2: 19} and out.shape[1] == 19
    restored = log.restore(out, fill=9.0)
    assert restored.shape == (2, 36, 32)
    assert torch.equal(restored[:, KEY], out[:, :9])
    ids = kept_ids(log.source(), GRID)
    for b in range(2):
        others = torch.cat([torch.arange(18), torch.arange(27, 36)])[ids[b]]
        assert torch.equal(restored[b, others], out[b, 9:])
    assert int((restored == 9).all(-1).sum()) == 2 * (36 - 19)
    early = model.videomae(x, output_hidden_states=True).hidden_states
    assert [h.shape[1] for h in early] == [36] * 5  # taken out again


def test_evad_trains(model):
    with attach(model.train(), EVERY):
        model(clips(), labels=torch.tensor([1, 2])).loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_tubes_and_spans(model):
    x, inner = clips(), model.videomae
    seen = []
    handle = inner.encoder.layer[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        inner(x)
        with attach(model.train(), Tube(0.6, seed=0), keys=[5, 6]) as log:
            hidden = inner(x).last_hidden_state
        handle.remove()
        full, kept = seen
        assert log.selection.grid == (4, 3, 3) and hidden.shape[1] == 16
        assert torch.equal(kept, log.selection.gather(full))
        masked = log.selection.mask("removed")
        assert torch.equal(inner(x, bool_masked_pos=masked).last_hidden_state, hidden)
        with attach(model, Span(RandomKeep(0.5, seed=0), 1, 3), keys=[5, 6]):
            assert inner(x).last_hidden_state.shape[1] == 36


def test_compiles(model):
    x = clips()
    with torch.no_grad(), attach(model, EVERY):
        want = model(x).logits
        torch.testing.assert_close(torch.compile(model, backend="eager")(x).logits, want)


def test_what_is_refused(model):
    x, masked = clips(), torch.zeros(2, 36, dtype=torch.bool)
    for method, message in (
        (EVAD(grid=TokenGrid(4, 4, 4), layers=(1,)), "64, a clip of 4 × 4 × 4"),
        (EViT(layers=(1,)), "a class token"),
        (ToMe(r=2), "VideoMAE.*merged"),
        (ad.HideAndSeek(seed=0).tokens(16), "grid"),
    ):
        with pytest.raises(ad.AugDropError, match=message), attach(model.train(), method):
            model(x)
    with attach(model, DropPos(0.5)), pytest.raises(ad.AugDropError, match="bool_masked_pos"):
        model.videomae(x, bool_masked_pos=masked)
    masked[:, ::2] = True
    with attach(model, EVERY), pytest.raises(ad.AugDropError, match="18 tokens at block 1"):
        model.videomae(x, bool_masked_pos=masked)
