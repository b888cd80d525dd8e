"""What attach refuses: models, methods, what a model cannot do; and errors name the tokens and the model."""

from __future__ import annotations

import pytest
import timm
import torch
import transformers
from timm.models.eva import Eva

import augdrop as ad
from augdrop import tokens
from augdrop.tokens import MAE, RandomKeep, Reduced, Reducer, Span, attach
from tests.tokens.vits import EVA, HF, VIT, build, images


@pytest.fixture
def model():
    return build("timm plain")


class Two(Reducer):
    def reduce(self, x, seen):
        return Reduced(x, torch.arange(x.shape[1]).expand(len(x), -1))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (torch.nn.Linear(2, 2), "Linear.*timm VisionTransformer.*gather"),
        (timm.create_model("resnet10t"), "ResNet"),
        (torch.nn.ModuleList([build("timm plain"), build("torchvision")]), "in which there are 0, 1"),
        (transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**HF)), "grid"),
        (transformers.Dinov2Backbone(transformers.Dinov2Config(**HF)), "grid"),
        (timm.models.VisionTransformer(**VIT, patch_drop_rate=0.5), "patch_drop_rate"),
        (Eva(**EVA, patch_drop_rate=0.5), "patch_drop_rate"),
    ],
)
def test_models_that_are_refused(wrong, match):
    with pytest.raises(ad.AugDropError, match=match):
        attach(wrong, MAE())


@pytest.mark.parametrize(
    ("method", "given", "match"),
    [
        (
            RandomKeep(tokens.Count(40)),
            {},
            "timm VisionTransformer with 16 tokens and 1 of a prefix.*got 40.*Keep fewer",
        ),
        (MAE(), {"noise": torch.full((3, 16), torch.nan)}, "timm VisionTransformer with 16 tokens.*NaN"),
        (RandomKeep(0.5), {"keys": [1, 2]}, "timm VisionTransformer.*one for each of 3"),
        (RandomKeep(0.5), {"noise": torch.rand(3, 16)}, r"\['noise'\].*besides"),
        (Span(MAE()), {"nois": torch.rand(3, 16)}, r"\['nois'\]"),
        (ad.Cutout(8).tokens(8), {}, r"8×8 pixels for a timm.*16×16.*tokens\(patch=16\)"),
        (Span(ad.Cutout(8).tokens(32)), {}, r"32×32 pixels"),
        (RandomKeep(0.5, grid=(3, 3)), {}, r"timm VisionTransformer: grid: got \(3, 3\).*own, \(4, 4\)\. Leave"),
        (Span(RandomKeep(0.5, prefix=5)), {}, r"timm VisionTransformer: prefix: got 5.*own, 1\. Leave"),
    ],
)
def test_errors_name_tokens_and_model(model, method, given, match):
    with pytest.raises(ad.AugDropError, match=match), attach(model.train(), method, **given):
        model(images())
    attach(model, MAE()).detach()


CLIP4 = tokens.TokenGrid(2, 4, 4)


@pytest.mark.parametrize(
    ("method", "match"),
    [
        (
            tokens.EVAD(grid=CLIP4, layers=(1,)),
            r"EVAD: grid: got 16 tokens at block 1; expected 32.*Pass the model's grid",
        ),
        (tokens.EVAD(grid=tokens.TokenGrid(4, 2, 2), layers=(1,), keep=0.2), r"EVAD: keep: got 0\.2 of 16.*Keep more"),
        (
            tokens.DynamicViT(predictors=[tokens.Predictor(32)], layers=(1,)),
            r"DynamicViT: got 16 tokens at stage 0; expected 196.*Pass total=",
        ),
        (tokens.ToMe(r=2), r"ToMe: keys: got NaN.*Look for the layer"),
        (tokens.EViT(layers=(1,)), r"tokens: scores: got NaN.*Look for the layer"),
    ],
)
def test_errors_of_reducers_name_tokens_and_model(model, method, match):
    if "NaN" in match:
        with torch.no_grad():
            model.blocks[0].attn.qkv.weight.fill_(torch.nan)
    where = "attach: timm VisionTransformer with 16 tokens and 1 of a prefix: "
    with pytest.raises(ad.AugDropError, match=where + match), attach(model, method):
        model(images())
    assert not any("forward" in vars(module) for module in model.modules())


def test_errors_of_reducers_under_compile_name_them_too(model):
    method = tokens.EVAD(grid=CLIP4, layers=(1,))
    fast = torch.compile(model, backend="eager")
    with pytest.raises(ad.AugDropError, match=r"timm VisionTransformer.*16 tokens at block 1"), attach(model, method):
        fast(images())


def test_errors_of_perturbations_name_keys_and_model(model):
    blur = tokens.BlurredSmoothing(grid=(3, 3), seed=0)
    with (
        pytest.raises(
            ad.AugDropError, match=r"VisionTransformer with 17 keys, 1 of a prefix: .*grid: got \(3, 3\).*16"
        ),
        tokens.perturbed_attention(model.train(), blur, prefix=1),
    ):
        model(images())


def test_errors_of_the_log_name_the_model(model):
    with attach(model.train(), RandomKeep(0.5, seed=0)) as log:
        model(images())
    with pytest.raises(ad.AugDropError, match=r"timm VisionTransformer: restore: got features \(3, 4, 2\)"):
        log.restore(torch.rand(3, 4, 2))


@pytest.mark.parametrize(
    ("method", "match"),
    [
        (ad.Cutout(4), "Cutout.*a Selector, a Reducer, a Span.*tokens"),
        ([], "list"),
        ([MAE()], "list"),
        ([Span(MAE(), 0, 2), Span(MAE(), 1)], "overlap"),
        (Span(MAE(), 3), "3 blocks|the model's 3"),
        (Two(layers=(1, 3)), r"\(1, 3\).*3"),
    ],
)
def test_methods_that_are_refused(model, method, match):
    with pytest.raises(ad.AugDropError, match=match) as error:
        attach(model, method)
    assert "timm VisionTransformer" in str(error.value)
    assert not any("forward" in vars(module) for module in model.modules())
    attach(model, MAE()).detach()


def test_reducer_in_blocks_that_are_not_known():
    parallel = timm.models.VisionTransformer(**VIT, block_fn=timm.models.vision_transformer.ParallelScalingBlock)
    with pytest.raises(ad.AugDropError, match="ParallelScalingBlock"):
        attach(parallel, Two())
    with attach(parallel, MAE()):
        assert parallel(images()).shape == (3, 5)
    half = ad.Cutout(30, seed=0).tokens(16, min_share=0.1)
    with pytest.raises(ad.AugDropError, match="different numbers"), attach(parallel.train(), half, keys=[1, 2, 3]):
        parallel(images())


def test_differing_counts_and_attention_pooling():
    pooled = timm.models.VisionTransformer(**VIT, global_pool="map").train()
    with attach(pooled, RandomKeep(0.5)):
        pooled(images())
    uneven = ad.Cutout(30, seed=0).tokens(16, min_share=0.1)
    with pytest.raises(ad.AugDropError, match="this pooling"), attach(pooled, uneven, keys=[1, 2, 3]):
        pooled(images())


def test_checkpointing(model):
    model.train().set_grad_checkpointing()
    with attach(model, RandomKeep(0.5)):
        model(images()).sum().backward()
    uneven = ad.Cutout(30, seed=0).tokens(16, min_share=0.1)
    for method in (Two(), Span(RandomKeep(0.5)), uneven):
        with pytest.raises(ad.AugDropError, match="checkpointing"), attach(model, method, keys=[1, 2, 3]):
            model(images())
    with attach(model.eval(), Two()), torch.no_grad():
        model(images())


@pytest.mark.parametrize("method", [RandomKeep(0.5, seed=0), Span(RandomKeep(0.5, seed=0)), Two()])
def test_a_model_that_a_backward_pass_runs_again(model, method):
    """Whole, and not by blocks: its keys may be gone by then, and its gradients would be of other tokens."""
    with attach(model.train(), method):
        with ad.keys([1, 2, 3]):
            loss = torch.utils.checkpoint.checkpoint(model, images(), use_reentrant=False).sum()
        with pytest.raises(ad.AugDropError, match=r"timm.*again, by gradient checkpointing.*not the whole model"):
            loss.backward()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
def test_an_export_does_not_keep_the_tokens_of_one_batch(model):
    with attach(model.train(), RandomKeep(0.5, seed=0), keys=[1, 2, 3]):
        for made in (torch.export.export, torch.jit.trace):
            with pytest.raises(ad.AugDropError, match=r"timm.*an export or a trace.*model\.eval"):
                made(model, (images(),))
        program = torch.export.export(model.eval(), (images(),))
        torch.testing.assert_close(program.module()(images()), model(images()))
