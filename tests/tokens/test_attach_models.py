"""Attach, over all families of models: what is kept is the stock model's own, and nothing is left behind."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.tokens import MAE, RandomKeep, Reduced, Reducer, Selector, Span, attach
from tests.tokens.vits import FAMILIES, MODELS, ROTARY, build, images, logits, trunk

every_model = pytest.mark.parametrize("name", MODELS)
every_family = pytest.mark.parametrize("name", FAMILIES)


@dataclasses.dataclass(frozen=True)
class Fixed(Selector):
    """Keeps what it is told, in eval mode too."""

    kept: tuple[tuple[int, ...], ...] = ()
    training_only = False

    def select(self, draws, total, **given):
        mask = torch.zeros(len(draws), total, dtype=torch.bool)
        for row, ids in zip(mask, self.kept, strict=True):
            row[list(ids)] = True
        keep, padded = tokens.from_mask(mask)
        return tokens.Selection(keep, total, padded=padded)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeepAll(Reducer):
    """Leaves the sequence as it is, having seen attention and sizes."""

    needs = "attention"
    proportional = True

    def reduce(self, x, seen):
        rows = seen.attention.sum(-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))
        return Reduced(x, torch.arange(x.shape[1]).expand(len(x), -1))


EQUAL = Fixed(kept=((0, 5, 6, 15), (1, 2, 3, 4), (7, 8, 9, 10)))
UNEQUAL = Fixed(kept=((0, 5, 6, 15), (1, 2), (7, 8, 9, 10, 11, 12)))


def state(model):
    """All hooks and instance attributes of all modules."""
    return {
        name: (
            {key: value for key, value in vars(module).items() if not key.startswith("_")},
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            dict(module._modules),
        )
        for name, module in model.named_modules()
    }


def record(module, pre=False):
    """The list to which a module's outputs (or inputs) go."""
    seen = []
    if pre:
        module.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    else:
        module.register_forward_hook(lambda m, args, out: seen.append(out))
    return seen


@every_model
@pytest.mark.parametrize("training", [False, True])
def test_all_kept_is_the_stock_model(name, training):
    model, x = build(name).train(training), images()
    torch.manual_seed(3)  # for stochastic depth
    with torch.set_grad_enabled(training):
        want = logits(model, x)
        everything = (Fixed(kept=(tuple(range(16)),) * 3), RandomKeep(1.0), Span(RandomKeep(1.0)), KeepAll())
        for method in everything:
            with attach(model, method, keys=[1, 2, 3]):
                torch.manual_seed(3)
                assert torch.equal(logits(model, x), want), method


@every_model
def test_kept_tokens_are_those_of_the_full_model(name):
    model, x = build(name), images()
    inner, blocks, family = trunk(model)
    first = record(blocks[0], pre=True)
    with torch.no_grad():
        logits(model, x)
        with attach(model, EQUAL) as log:
            logits(model, x)
    full, kept = first
    assert log.selection.prefix == family.prefix
    assert log.selection.grid == (4, 4)
    assert kept.shape[1] == family.prefix + 4
    assert torch.equal(kept, log.selection.gather(full))
    assert torch.equal(kept[:, : family.prefix], full[:, : family.prefix])


@every_model
def test_padding_changes_nothing(name):
    model, x = build(name), images()
    with torch.no_grad():
        with attach(model, UNEQUAL) as log:
            together = logits(model, x)
        assert log.selection.padded
        for i in range(3):
            with attach(model, Fixed(kept=UNEQUAL.kept[i : i + 1])):
                torch.testing.assert_close(together[i : i + 1], logits(model, x[i : i + 1]), atol=2e-5, rtol=1e-4)


@every_family
def test_span_gathers_and_brings_back(name):
    model, x = build(name), images()
    inner, blocks, family = trunk(model)
    inputs = [record(block, pre=True) for block in blocks]
    outputs = [record(block) for block in blocks]
    with torch.no_grad(), attach(model, Span(EQUAL, 1, 2)) as log:
        logits(model, x)
    (before,), (inside,) = inputs[1], outputs[0]
    assert torch.equal(before, inside)
    removed = torch.cat([torch.zeros(3, family.prefix, dtype=torch.bool), log.selection.mask("removed")], 1)
    (behind,) = inputs[2]
    assert torch.equal(behind[removed], before[removed])
    assert not torch.isclose(behind[~removed], before[~removed]).all(-1).any()
    assert log.source() is None


@every_model
def test_span_over_all_blocks_is_a_drop(name):
    model, x = build(name), images()
    for method in (EQUAL, UNEQUAL):
        inner, blocks, family = trunk(model)
        with torch.no_grad():
            seen = record(blocks[-1].mlp)
            with attach(model, method) as log:
                logits(model, x)
            dropped = seen.pop()
            with attach(model, Span(method)):
                logits(model, x)
            inside = seen.pop()
        real = log.selection.attention_mask()
        torch.testing.assert_close(inside[real], dropped[real], atol=2e-5, rtol=1e-4)


@every_family
def test_nothing_is_left_behind(name):
    model, x = build(name), images()
    logits(model, x)  # Transformers installs hooks of its own at first
    before = state(model)
    for method in (RandomKeep(0.5), Span(RandomKeep(0.5), 1, 2), KeepAll()):
        with attach(model, method):
            logits(model, x)
        assert state(model) == before
        with pytest.raises(RuntimeError, match="in the middle"), attach(model, method):
            raise RuntimeError("in the middle")
        assert state(model) == before


@every_family
def test_keys_decide(name):
    model, x = build(name).train(), images()
    method = RandomKeep(0.5, seed=7)
    with attach(model, method, keys=[4, 5, 6], epoch=2) as log:
        logits(model, x)
        given = log.selection
    with attach(model, method) as log, ad.keys([4, 5, 6], epoch=2):
        logits(model, x)
        assert log.selection == given
    with attach(model, method) as log:
        log.keys, log.epoch = [5, 4], 2
        logits(model, x[:2])
        assert torch.equal(log.selection.keep, given.keep[[1, 0]])
    prefix = given.prefix
    expected = RandomKeep(0.5, seed=7, prefix=prefix, grid=(4, 4))(torch.empty(3, prefix + 16), keys=[4, 5, 6], epoch=2)
    assert given == expected


@every_family
def test_eval_mode_keeps_all_but_for_methods_that_say_otherwise(name):
    model, x = build(name), images()
    want = logits(model, x)
    for method in (RandomKeep(0.5), Span(RandomKeep(0.5))):
        with attach(model, method) as log:
            assert torch.equal(logits(model, x), want)
            assert log.selection is None
    with attach(model, MAE()) as log:
        assert not torch.allclose(logits(model, x), want)
        assert log.selection.counts.tolist() == [4, 4, 4]


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weigh(Reducer):
    """Says that the last token stands for three."""

    layers: tuple[int, ...] | None = (0,)
    proportional = True

    def reduce(self, x, seen):
        sizes = torch.ones(x.shape[:2])
        sizes[:, -1] = 3
        return Reduced(x, torch.arange(x.shape[1]).expand(len(x), -1), sizes)


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


@every_family
def test_half_precision(name):
    model, x = build(name), images()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for method in (UNEQUAL, Span(UNEQUAL, 1), Weigh()):
            with attach(model, method):
                assert logits(model, x).isfinite().all()
    model, x = model.bfloat16(), x.bfloat16()
    with torch.no_grad():
        for method in (UNEQUAL, Span(UNEQUAL, 1), Weigh()):
            with attach(model, method):
                assert logits(model, x).isfinite().all()
