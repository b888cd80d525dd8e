"""Attach, over all families of models: what is kept is the stock model's own, and nothing is left behind."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

import augdrop as ad
from augdrop.tokens import MAE, RandomKeep, Reduced, Reducer, Span, attach
from tests.tokens.vits import (
    EQUAL,
    FAMILIES,
    MODELS,
    UNEQUAL,
    Fixed,
    Weigh,
    build,
    images,
    logits,
    record,
    state,
    trunk,
)

every_model = pytest.mark.parametrize("name", MODELS)
every_family = pytest.mark.parametrize("name", FAMILIES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeepAll(Reducer):
    """Leaves the sequence as it is, having seen attention and sizes."""

    needs = "attention"
    proportional = True

    def reduce(self, x, seen):
        rows = seen.attention.sum(-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))
        return Reduced(x, torch.arange(x.shape[1]).expand(len(x), -1))


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


def test_other_tools_come_and_go_too():
    """Accelerate's forwards below stay as they were, and those on top stay where they are, with the drop gone."""
    model, x, calls = build("timm plain").train(), images(), []

    class Count(ModelHook):
        def pre_forward(self, module, *args, **kwargs):
            calls.append(module)
            return args, kwargs

    want = model(x)
    add_hook_to_module(model.blocks[0], Count())
    below = model.blocks[0].forward
    handle = attach(model, [Span(RandomKeep(0.5), 0, 1), Span(RandomKeep(0.5), 2, 3)])
    changed = [module for module in model.modules() if "forward" in vars(module) and module is not model.blocks[0]]
    for module in changed:
        add_hook_to_module(module, Count())
    assert not torch.allclose(model(x), want)
    handle.detach()
    assert model.blocks[0].forward is below
    calls.clear()
    assert torch.equal(model(x), want)
    assert {*calls} == {model.blocks[0], *changed}
    for module in (model.blocks[0], *changed):
        remove_hook_from_module(module)
    assert torch.equal(model(x), want)


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
