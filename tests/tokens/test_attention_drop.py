"""AttentionDrop's variants on plain logits, and in real models; DropKey."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.tokens.attention_drop import BlurredSmoothing, HardMasking, consistency_loss, divergence, gaussian
from augdrop.tokens.edge_dropout import DropKey
from augdrop.tokens.perturb import perturbed_attention
from tests.tokens import vits


def logits(b=3, h=2, q=7, k=10, seed=0):
    return torch.randn(b, h, q, k, generator=torch.Generator().manual_seed(seed)) * 3


METHODS = {
    "zero_logit": HardMasking(p=0.5, top=0.3, seed=1),
    "neg_inf": HardMasking(p=0.5, top=0.3, mode="neg_inf", seed=1),
    "blur": BlurredSmoothing(sigma=2.0, seed=1),
    "mixed": BlurredSmoothing(sigma=2.0, of="probabilities", seed=1),
    "drop key": DropKey(p=0.3, seed=1),
}


@pytest.mark.parametrize(
    "method",
    [
        HardMasking(p=0, seed=0),
        BlurredSmoothing(sigma=0, seed=0),
        BlurredSmoothing(sigma=0, edge="zero", seed=0),
        BlurredSmoothing(sigma=1.0, of="probabilities", mix=0, seed=0),
        DropKey(p=0, seed=0),
    ],
)
def test_at_zero_strength_attention_is_plain(method):
    x = logits()
    torch.testing.assert_close(method(x, keys=range(3)).softmax(-1), x.softmax(-1))


@pytest.mark.parametrize("name", METHODS)
def test_keys_decide_and_the_batch_does_not(name):
    method, x = METHODS[name], logits()
    whole = method(x, keys=[4, 5, 6], epoch=1)
    alone = torch.cat([method(x[i : i + 1], keys=[4 + i], epoch=1) for i in range(3)])
    torch.testing.assert_close(whole, alone)
    assert not torch.equal(whole, x)
    assert not torch.equal(whole, method(x, keys=[4, 5, 6], epoch=2))
    assert not torch.equal(whole, method(x, keys=[4, 5, 6], epoch=1, layer=1))


@pytest.mark.parametrize("prefix", [0, 2])
def test_all_of_the_top_hidden(prefix):
    x = logits()
    p = HardMasking(p=1, top=0.3, mode="neg_inf", seed=0)(x, prefix=prefix).softmax(-1)
    count = round(0.3 * (10 - prefix))
    ids = (x[..., prefix:].topk(count).indices + prefix).numpy()
    assert float(np.take_along_axis(p.numpy(), ids, -1).max()) == 0
    torch.testing.assert_close(p.sum(-1), torch.ones(3, 2, 7))
    assert int((p == 0).sum()) == 3 * 2 * 7 * count


def test_all_of_the_top_at_logit_zero():
    x = logits()
    p = HardMasking(p=1, top=0.2, seed=0)(x).softmax(-1)
    ids = x.topk(2).indices
    z = x.exp().scatter(-1, ids, 1.0).sum(-1, keepdim=True)
    torch.testing.assert_close(p.gather(-1, ids), (1 / z).expand(-1, -1, -1, 2))


def test_the_share_that_is_masked():
    x = logits(8, 4, 64, 50)
    masked = HardMasking(p=0.3, top=0.2, mode="neg_inf", seed=0)(x, keys=range(8)) != x
    n = 8 * 4 * 64 * 10
    assert int((masked.sum(-1) > 10).sum()) == 0
    assert abs(int(masked.sum()) - 0.3 * n) < 5 * (n * 0.3 * 0.7) ** 0.5


@pytest.mark.parametrize("width", [1, 3, 9])
def test_kernels_sum_to_one(width):
    taps = gaussian(torch.tensor([[0.0], [0.3], [5.0]]), width)
    torch.testing.assert_close(taps.sum(-1), torch.ones(3))
    assert torch.equal(taps, taps.flip(-1)) and taps[0, width // 2] == 1


@pytest.mark.parametrize("edge", ["zero", "replicate"])
def test_the_blur_against_numpy(edge):
    x = logits()
    method = BlurredSmoothing(width=5, sigma=2.0, edge=edge, seed=3)
    y = method(x, keys=[1, 2, 3], prefix=1)
    sigmas = method.draws(3, [1, 2, 3], None).uniforms(1) * 2
    assert torch.equal(y[..., :1], x[..., :1])
    for b in range(3):
        taps = np.exp(-0.5 * (np.arange(-2, 3) / sigmas[b]) ** 2)
        row = x[b, 1, 4, 1:].numpy()
        padded = np.pad(row, 2, mode="edge" if edge == "replicate" else "constant")
        np.testing.assert_allclose(
            y[b, 1, 4, 1:], np.convolve(padded, taps / taps.sum(), "valid"), rtol=1e-4, atol=1e-5
        )


def test_a_deviation_for_the_batch_or_for_each_sample():
    x = logits(1).expand(3, -1, -1, -1)
    alike = BlurredSmoothing(sigma=2.0, per="batch", seed=0)(x, keys=[1, 2, 3])
    assert torch.equal(alike[0], alike[1]) and torch.equal(alike[0], alike[2])
    own = BlurredSmoothing(sigma=2.0, seed=0)(x, keys=[1, 2, 3])
    assert not torch.equal(own[0], own[1])


def test_on_a_grid_rows_do_not_run_into_each_other():
    x = torch.zeros(1, 1, 1, 13)
    x[..., 1 + 3] = 1.0  # the last cell of the first row of 3×4
    line = BlurredSmoothing(sigma=1.0, edge="zero", seed=0)(x, keys=[3], prefix=1)
    plane = BlurredSmoothing(sigma=1.0, edge="zero", grid=(3, 4), seed=0)(x, keys=[3], prefix=1)
    assert line[..., 1 + 4] > 0 and plane[..., 1 + 4] == 0 and plane[..., 1 + 7] > 0


def test_mixed_probabilities_are_the_mix():
    x = logits()
    method = BlurredSmoothing(sigma=2.0, of="probabilities", mix=0.4, seed=1)
    p, mixed = x.softmax(-1), method(x, keys=range(3)).softmax(-1)
    blurred = method.blur(p, gaussian(torch.from_numpy(method.draws(3, range(3), None).uniforms(1)).float() * 2, 3))
    torch.testing.assert_close(mixed, 0.6 * p + 0.4 * blurred)


def test_consistency():
    a, b, target = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 1, 2, 3])
    assert float(divergence(a, a)) == 0
    p, q = a.softmax(-1), b.softmax(-1)
    kl = float((p * (p / q).log()).sum(-1).mean())
    assert float(divergence(a, b)) == pytest.approx(kl, rel=1e-4)
    back = float((q * (q / p).log()).sum(-1).mean())
    assert float(divergence(a, b, "symmetric")) == pytest.approx((kl + back) / 2, rel=1e-4)
    ce = [float(torch.nn.functional.cross_entropy(t, target)) for t in (a, b)]
    assert float(consistency_loss(a, b, target, 2.0)) == pytest.approx(sum(ce) / 2 + 2 * kl, rel=1e-4)
    assert float(consistency_loss(a, b, target, 2.0, task="first")) == pytest.approx(ce[0] + 2 * kl, rel=1e-4)


in_models = pytest.mark.parametrize("name", ["timm plain", "transformers ViT"])


@in_models
def test_in_a_model(name):
    model, images = vits.build(name).train(), vits.images()
    plain = vits.logits(model, images)
    with perturbed_attention(model, HardMasking(p=0, seed=0), keys=range(3), prefix=1):
        torch.testing.assert_close(vits.logits(model, images), plain)
    outs = []
    for _ in range(2):
        with perturbed_attention(model, DropKey(p=0.5, seed=0), keys=range(3), prefix=1):
            outs.append(vits.logits(model, images))
    assert torch.equal(outs[0], outs[1]) and not torch.allclose(outs[0], plain, atol=1e-3)
    with perturbed_attention(model, DropKey(p=0.5, seed=0), keys=[2], prefix=1):
        torch.testing.assert_close(vits.logits(model, images[2:]), outs[0][2:])
    outs[0].sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    model.eval()
    with perturbed_attention(model, DropKey(p=0.5, seed=0), keys=range(3), prefix=1):
        torch.testing.assert_close(vits.logits(model, images), plain)


def test_compiled_before_the_block_or_in_it():
    """Its coins are tossed at each call anew, and no graph holds those of one batch."""
    model, images = vits.build("timm plain").train(), vits.images()
    torch._dynamo.reset()
    fast, method = torch.compile(model, backend="eager"), DropKey(p=0.5, seed=0)
    torch.testing.assert_close(fast(images), model(images))
    for keys in ([1, 2, 3], [4, 5, 6]):
        outs = []
        for either in (model, fast):
            with perturbed_attention(model, method, keys=keys, prefix=1):
                outs.append(either(images))
        torch.testing.assert_close(*outs)
    torch.testing.assert_close(fast(images), model(images))


@in_models
def test_what_would_be_perturbed_otherwise_or_always_alike(name):
    model, images, method = vits.build(name).train(), vits.images(), DropKey(p=0.5, seed=0)
    with pytest.raises(ad.AugDropError, match=r"an export.*outside"), perturbed_attention(model, method):
        torch.export.export(model, (images,))
    for module in model.modules():
        for switch in ("set_grad_checkpointing", "gradient_checkpointing_enable"):
            getattr(module, switch, lambda: None)()
    with pytest.raises(ad.AugDropError, match="gradient checkpointing"), perturbed_attention(model, method):
        model(images)


def test_masks_hold_and_causality_too():
    from torch.nn.functional import scaled_dot_product_attention as attend

    q, k, v = (torch.randn(2, 4, 6, 8) for _ in range(3))
    few = (torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 8))
    mask, model = torch.rand(2, 1, 6, 6) > 0.3, torch.nn.Identity()
    mask[..., 0] = True
    additive = torch.zeros(2, 1, 6, 6).masked_fill(~mask, -torch.inf)
    calls = [
        lambda: attend(q, k, v, attn_mask=mask),
        lambda: attend(q, k, v, attn_mask=additive),
        lambda: attend(q, k, v, is_causal=True, scale=0.1),
        lambda: attend(q, *few, enable_gqa=True),
    ]
    for call in calls:
        with perturbed_attention(model, HardMasking(p=0, seed=0)):
            inside = call()
        torch.testing.assert_close(inside, call())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HardMasking(p=1.5), "probability"),
        (lambda: HardMasking(mode="zero"), "neg_inf"),  # type: ignore[arg-type]
        (lambda: BlurredSmoothing(width=4), "odd"),
        (lambda: BlurredSmoothing(grid=(3, 3), seed=0)(logits()), "multiply to 10"),
        (lambda: DropKey(p=-1), "DropKey: p"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()


def test_a_model_without_fused_attention_is_refused():
    model = torch.nn.Linear(2, 2)
    with (
        pytest.raises(ad.AugDropError, match="set_fused_attn"),
        perturbed_attention(model, DropKey(seed=0)),
    ):
        model(torch.zeros(1, 2))
