"""Attach under torch.compile: methods that come and go are seen, counts hold, and what cannot be is an error."""

from __future__ import annotations

import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.tokens import MAE, RandomKeep, Span, attach
from tests.tokens.vits import build, images, logits

KINDS = ["timm plain", "timm EVA rotary", "torchvision", "transformers ViT"]


@pytest.fixture
def model():
    return build("timm plain")


def compiled(model, backend="eager", **how):
    torch._dynamo.reset()
    return torch.compile(model, backend=backend, **how)


SCHEDULED = RandomKeep(tokens.Ratio(lambda epoch: 0.75 if epoch == 0 else 0.5), seed=0)
"""Keeps a quarter in epoch 0, and half from then on."""


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_compiled_before_or_after(name):
    """A method that comes, goes and has another count is seen by code that was compiled without it."""
    model, x = build(name), images()
    fast = compiled(model)
    with torch.no_grad():
        want = logits(model, x)
        torch.testing.assert_close(logits(fast, x), want)
        for epoch, count, other in ((0, 4, 8), (1, 8, 4)):
            model.train()
            with attach(fast, SCHEDULED, keys=[1, 2, 3], epoch=epoch) as log:
                stock = logits(model, x)
                torch.testing.assert_close(logits(fast, x), stock)
                assert log.selection.keep.shape[1] == count
                log.epoch = 1 - epoch
                with pytest.raises(ad.AugDropError, match=rf"{other} of 16 tokens, in a .* compiled for {count};"):
                    logits(fast, x)
            model.eval()
            torch.testing.assert_close(logits(fast, x), want)
        if name == "timm plain":
            with attach(model, tokens.ToMe(r=2)) as log:
                stock = logits(model, x)
                torch.testing.assert_close(logits(fast, x), stock)
                assert log.counts[1] == 13
        with attach(model, Span(MAE(seed=0), 1), keys=[1, 2, 3]):
            torch.testing.assert_close(logits(fast, x), logits(model, x))
        torch.testing.assert_close(logits(fast, x), want)


def test_a_hook_would_be_ignored(model):
    """Why `attach` takes no hooks: this torch runs on without one that comes after the compilation. If this fails, it
    has come to look for them, and `intercept` may become a hook."""
    x, fast = images(), compiled(model)
    want = fast(x)
    hook = model.pos_drop.register_forward_hook(lambda module, args, out: out[:, :5])
    assert not torch.allclose(model(x), want)
    assert torch.equal(fast(x), want)
    hook.remove()
    with attach(model, MAE(seed=0), keys=[1, 2, 3]):
        torch.testing.assert_close(fast(x), model(x))
        assert not torch.allclose(fast(x), want)


def test_compiled_once_for_a_fixed_count(model):
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    fast = compiled(model.train(), counter)
    with attach(model, RandomKeep(0.5, seed=0)):
        with ad.keys([1, 2, 3]):
            fast(images()).sum().backward()
        first = counter.frame_count
        for step in range(3):
            with ad.keys([4 + step, 5, 6]):
                fast(images()).sum().backward()
        assert counter.frame_count == first
    for count in (4, 11, 3, 12):  # attached anew: compiled once more, for all of them
        with attach(model, RandomKeep(tokens.Count(count), seed=0), keys=[1, 2, 3]) as log:
            torch.testing.assert_close(fast(images()), model(images()))
            assert log.selection.keep.shape[1] == count
        assert counter.frame_count <= 2 * first


@pytest.mark.parametrize("place", [lambda method: method, lambda method: Span(method, 1)], ids=["embedding", "span"])
def test_a_second_count_is_refused(model, place):
    x, fast = images(), compiled(model.train(), "aot_eager")
    with attach(fast, place(SCHEDULED), keys=[1, 2, 3], epoch=0) as log:
        fast(x).sum().backward()
        log.epoch = 1
        with pytest.raises(ad.AugDropError, match=r"8 of 16 tokens, in a timm.* compiled for 4;.*Count\(4\).*anew"):
            fast(x)
        torch.testing.assert_close(fast.eval()(x), model(x))  # all tokens, which is no second count
        model.train()(x)  # what is not compiled may keep what it likes
        log.epoch = 0
        torch.testing.assert_close(fast(x), model(x))
        log.keys = [1, 2]  # nor is a batch of another size a second count
        torch.testing.assert_close(fast(x[:2]), model(x[:2]))


def test_another_image_size_has_a_count_of_its_own():
    model = build("timm any size").train()
    fast = compiled(model)
    with attach(fast, RandomKeep(0.5, seed=0), keys=[1, 2]) as log:
        for side in (64, 96, 64):
            fast(torch.rand(2, 3, side, side))
            assert log.selection.keep.shape[1] == (side // 16) ** 2 // 2


def test_samples_of_different_counts_are_padded_to_one(model):
    grid, fast = ad.GridMask((28, 29), ratio=0.5, seed=0), compiled(model.train())
    batches = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(3)]
    with attach(fast, grid.tokens(16, width=16)) as log:
        for log.keys in batches:
            torch.testing.assert_close(fast(images()), model(images()))
            assert log.selection.padded and log.selection.keep.shape[1] == 16
    with attach(fast, grid.tokens(16), keys=batches[0]) as log:
        fast(images())
        log.keys = batches[1]
        with pytest.raises(ad.AugDropError, match=r"of 16 tokens.*width=16"):
            fast(images())


def test_a_reducer_with_a_schedule_is_refused(model):
    keep = tokens.CosineKeep(0.5, warmup=0, steps=4)
    fast = compiled(model)
    with attach(fast, tokens.EViT(layers=(1,), keep=keep)):
        with pytest.raises(ad.AugDropError, match=r"EViT.*16 tokens.*torch\.compile.*fixed share"):
            fast(images())
        model(images())
    with attach(fast, tokens.EViT(layers=(1,), keep=0.5)) as log:
        torch.testing.assert_close(fast(images()), model(images()))
        assert log.counts == {1: 10}


def test_a_whole_graph_is_refused_with_the_reason(model):
    whole = compiled(model.train(), fullgraph=True)
    with attach(model, RandomKeep(0.5)), pytest.raises(Exception, match=r"augdrop.*without fullgraph"):
        whole(images())
