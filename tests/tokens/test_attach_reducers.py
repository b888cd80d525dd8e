"""Attach, reducers over all models: where they work, what they see, and what goes with the tokens that are left."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import augdrop as ad
from augdrop.tokens import Reduced, Reducer, Span, ToMe, attach
from tests.tokens.vits import MODELS, ROTARY, Fixed, Weigh, build, images, logits, record, state, trunk

every_model = pytest.mark.parametrize("name", MODELS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DropLast(Reducer):
    """Drops the last two tokens; shows what it has seen."""

    needs = "attention"
    seen: list = dataclasses.field(default_factory=list)

    def reduce(self, x, seen):
        self.seen.append(seen)
        source = torch.arange(x.shape[1]).expand(len(x), -1)
        return Reduced(x[:, :-2], source.masked_fill(source >= x.shape[1] - 2, -1))


@every_model
def test_reducer_shortens_between_attention_and_mlp(name):
    model, x = build(name), images()
    inner, blocks, family = trunk(model)
    inputs = [record(block, pre=True) for block in blocks]
    method = DropLast(layers=(0, 1))
    with torch.no_grad(), attach(model, method) as log:
        logits(model, x)
    full = family.prefix + 16
    assert [i[0].shape[1] for i in inputs] == [full, full - 2, full - 4]
    assert log.counts == {0: full - 2, 1: full - 4}
    kept = torch.arange(full).expand(3, -1)
    assert torch.equal(log.source(0), kept.masked_fill(kept >= full - 2, -1))
    assert torch.equal(log.source(), kept.masked_fill(kept >= full - 4, -1))
    last = inputs[2][0]
    back = log.restore(last, fill=-7.0, layer=1)
    assert torch.equal(back[:, : full - 4], last)
    assert (back[:, full - 4 :] == -7).all()
    assert torch.equal(log.restore(last[:, family.prefix :], fill=-7.0), back[:, family.prefix :])
    # Block 0 attends to all tokens, so what stays is, behind it, what the stock block makes of it.
    with torch.no_grad():
        logits(model, x)
    torch.testing.assert_close(inputs[1][0], inputs[1][1][:, :-2])


@every_model
def test_rotary_rows_go_with_their_tokens(name):
    """A reducer that drops behind block 0 equals a span of the rest that keeps the same."""
    model, x = build(name), images()
    inner, blocks, family = trunk(model)
    outputs = record(blocks[-1].mlp)
    with torch.no_grad():
        with attach(model, DropLast(layers=(0,))):
            logits(model, x)
        with attach(model, Span(Fixed(kept=(tuple(range(14)),) * 3), 1)):
            logits(model, x)
    reduced, span = outputs
    torch.testing.assert_close(reduced, span, atol=1e-5, rtol=1e-4)


@every_model
def test_proportional_attention_weighs_as_much_as_the_parts(name):
    model, x = build(name), images()
    inner, blocks, family = trunk(model)
    inputs, outputs = [], []
    blocks[1].register_forward_pre_hook(lambda m, args, kwargs: inputs.append((args, kwargs)), with_kwargs=True)
    blocks[1].register_forward_hook(lambda m, args, out: outputs.append(out))
    with torch.no_grad(), attach(model, Weigh()):
        logits(model, x)
    ((tokens_in, *rest), kwargs), weighed = inputs.pop(), outputs.pop()
    longer, rope = dict(kwargs), kwargs.get("rope")
    if rope is not None:
        longer["rope"] = torch.cat([rope, rope[..., -1:, :], rope[..., -1:, :]], -2)
    three = torch.cat([tokens_in, tokens_in[:, -1:], tokens_in[:, -1:]], 1)
    with torch.no_grad():
        repeated = blocks[1](three, *rest, **longer)
        unweighed = blocks[1](tokens_in, *rest, **kwargs)
    torch.testing.assert_close(weighed, repeated[:, :-2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(weighed, unweighed, atol=1e-4)


def test_an_empty_batch_is_merged():
    """Of models whose own attention takes one."""
    for name in ("timm plain", "torchvision"):
        with attach(build(name), ToMe(r=2)) as log:
            assert logits(log.family.model, torch.rand(0, 3, 64, 64)).shape == (0, 5)
        assert log.counts == {0: 15, 1: 13, 2: 11}


@pytest.mark.parametrize("name", ROTARY)
def test_merging_with_rotary_positions_is_refused(name):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Fuse(Reducer):
        def reduce(self, x, seen):
            source = torch.arange(x.shape[1]).clamp(max=x.shape[1] - 2).expand(len(x), -1)
            return Reduced(x[:, :-1], source)

    model = build(name)
    before = state(model)
    with pytest.raises(ad.AugDropError, match="rotary"), attach(model, Fuse()):
        logits(model, images())
    assert state(model) == before


def softmax_of(model, x):
    """Attention of all blocks as the stock model computes it, by its own unfused code."""
    inner, blocks, family = trunk(model)
    seen = []
    for block in blocks:
        attn = getattr(block, family.attention)
        if family.name.startswith("timm"):
            attn.fused_attn = False
            attn.attn_drop.register_forward_hook(lambda m, args, out: seen.append(args[0]))
        elif family.name.startswith("torchvision"):
            attn.register_forward_pre_hook(
                lambda m, args, kwargs: seen.append(m.__class__.forward(m, *args, average_attn_weights=False)[1]),
                with_kwargs=True,
            )
        else:
            attn.register_forward_hook(lambda m, args, out: seen.append(out[1]))
    if family.name.startswith("transformers"):
        model.set_attn_implementation("eager")
    logits(model, x)
    return seen


@every_model
def test_attention_and_keys_are_the_blocks_own(name):
    model, x = build(name), images()
    method = DropLast(layers=(1,))
    with torch.no_grad():
        with attach(model, method):
            logits(model, x)
        (seen,) = method.seen
        want = softmax_of(model, x)[1]
    assert seen.layer == 1
    torch.testing.assert_close(seen.attention, want, atol=1e-5, rtol=1e-4)
