"""Attach: its interface, logs, errors, and token drops in training."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
import transformers
from timm.models._features import FeatureGetterNet

import augdrop as ad
from augdrop import tokens
from augdrop.tokens import MAE, RandomKeep, Span, attach
from tests.tokens.vits import HF, build, images, logits


@pytest.fixture
def model():
    return build("timm plain")


def test_handle_until_detached(model):
    x = images()
    want = model(x)
    handle = attach(model, MAE(seed=0), keys=[1, 2, 3])
    assert model.forward_features(x).shape == (3, 5, 32)
    assert "MAE" in repr(handle)
    assert "timm VisionTransformer" in repr(handle)
    handle.detach()
    assert torch.equal(model(x), want)
    assert handle.selection.counts.tolist() == [4, 4, 4]
    handle.detach()  # a second time does nothing


@pytest.mark.parametrize("name", ["timm plain", "timm EVA rotary", "transformers ViT"])
def test_second_attach_is_an_error(name):
    model = build(name)
    first = attach(model, MAE())
    for again in (model, torch.nn.Sequential(model)):
        with pytest.raises(ad.AugDropError, match=r"has one already: .*MAE.*Detach"):
            attach(again, RandomKeep(0.5))
    first.detach()
    with attach(model, RandomKeep(0.5)):
        pass
    attach(model, MAE()).detach()


def test_an_attached_model_can_be_forgotten():
    model = build("timm plain")
    gone = weakref.ref(model)
    attach(model, MAE(), keys=[1, 2, 3])
    model(images())
    del model
    gc.collect()
    assert gone() is None


def test_what_a_selector_takes_besides(model):
    noise = torch.rand(3, 16)
    with attach(model, MAE(), noise=noise) as log:
        model(images())
    assert torch.equal(log.selection.keep, noise.argsort(1)[:, :4].sort(1).values)
    with pytest.raises(ad.AugDropError, match="noise"), attach(model, MAE(), noise=noise[:, :9]):
        model(images())


def test_state_dict_and_copies_made_before(model):
    before, twin = list(model.state_dict()), copy.deepcopy(model)
    with attach(model, MAE()):
        assert list(model.state_dict()) == before
        for whole in (model, torch.nn.Sequential(torch.nn.Linear(1, 1), model)):
            for made in (copy.deepcopy, pickle.dumps):
                with pytest.raises(ad.AugDropError, match=r"a copy of a model that has .*MAE.*state dict"):
                    made(whole)
    copy.deepcopy(model)
    pickle.dumps(model)
    with torch.no_grad():
        assert torch.equal(twin(images()), model(images()))


def test_what_is_inside_a_wrapper_is_found(model):
    for wrapped in (torch.nn.Sequential(model, torch.nn.Identity()), FeatureGetterNet(model, [0])):
        with attach(wrapped, MAE()) as log:
            wrapped(images())
        assert log.selection.prefix == 1


def test_a_mask_of_the_callers():
    model = build("timm plain").train()
    uneven = ad.Cutout(30, seed=0).tokens(16, min_share=0.1)
    x, keys = images(), [1, 2, 3]
    with attach(model, uneven, keys=keys) as log:
        want = model(x)
        count = 1 + log.selection.keep.shape[1]
        for mask in (torch.ones(count, count, dtype=torch.bool), torch.zeros(count, count)):
            torch.testing.assert_close(model(x, attn_mask=mask), want)
        with pytest.raises(ad.AugDropError, match="mask"):
            model(x, attn_mask=torch.ones(17, 17, dtype=torch.bool))
        with pytest.raises(ad.AugDropError, match="causal"):
            model(x, is_causal=True)


def test_other_image_sizes_have_other_grids():
    model = build("timm any size").train()
    with attach(model, RandomKeep(0.5, seed=0), keys=[1, 2]) as log:
        model(torch.rand(2, 3, 96, 48))
    assert log.selection.grid == (6, 3)


@pytest.mark.parametrize("name", ["timm plain", "timm registers", "timm EVA rotary"])
def test_intermediates_come_back_to_the_grid(name):
    model, x = build(name), images()
    with torch.no_grad(), attach(model, MAE(seed=0), keys=[1, 2, 3]) as log:
        kept = model.forward_features(x)
        final, maps = model.forward_intermediates(x, norm=True)
        assert [m.shape for m in maps] == [(3, 32, 4, 4)] * 3
        removed = log.selection.mask("removed").view(3, 1, 4, 4)
        assert (maps[-1].masked_select(removed) == 0).all()
        tokens_of = maps[-1].flatten(2).mT
        torch.testing.assert_close(log.selection.gather(tokens_of), kept[:, log.selection.prefix :])
        torch.testing.assert_close(final, kept)
        ((patches, prefix),) = model.forward_intermediates(
            x, [-1], True, norm=True, output_fmt="NLC", intermediates_only=True
        )
        torch.testing.assert_close(patches, tokens_of)
        torch.testing.assert_close(prefix, kept[:, : log.selection.prefix])


def test_intermediates_of_reducers_and_spans(model):
    x = images()
    want = model.forward_intermediates(x, intermediates_only=True)
    with attach(model, tokens.ToMe(r=3)) as log:
        maps = model.forward_intermediates(x, intermediates_only=True)
        assert log.counts == {0: 14, 1: 11, 2: 8}
        assert [m.shape for m in maps] == [(3, 32, 4, 4)] * 3
        assert len(maps[2][0].flatten(1).unique(dim=1).T) <= 8
    with attach(model, Span(MAE(seed=0), 1), keys=[1, 2, 3]) as log:
        maps = model.forward_intermediates(x, intermediates_only=True)
        assert torch.equal(maps[0], want[0])
        removed = log.selection.mask("removed").view(3, 1, 4, 4)
        assert (maps[1].masked_select(removed) == 0).all()
        assert (maps[2].masked_select(removed) == want[0].masked_select(removed)).all()
    assert torch.equal(model.forward_intermediates(x, intermediates_only=True)[2], want[2])


def test_restore_refuses_what_is_not_of_the_last_pass(model):
    with attach(model, MAE(seed=0)) as log:
        features = model.forward_features(images())
        assert log.restore(features).shape == (3, 17, 32)
        for wrong in (features[:2], features[:, :3], features[0]):
            with pytest.raises(ad.AugDropError, match="restore"):
                log.restore(wrong)


@pytest.mark.parametrize("name", ["timm plain", "timm layer scale, average", "torchvision", "transformers ViT"])
def test_merging_and_fusing_in_whole_models(name):
    model, x = build(name), images()
    for method, counts in (
        (tokens.ToMe(r=3), {0: 14, 1: 11, 2: 8}),
        (tokens.EViT(layers=(0, 2), keep=0.5), {0: 10, 2: 7}),
    ):
        with attach(model, method) as log:
            assert logits(model, x).isfinite().all()
        assert log.counts == counts
        if log.sizes is not None:
            assert log.sizes.sum(1).tolist() == [17, 17, 17]
        assert log.source().max() == counts[2] - 1


def test_random_layers_of_spans(model):
    model.train()
    spans = [Span(RandomKeep(0.5, seed=i), i, i + 1) for i in range(1, 3)]
    with attach(model, spans, keys=[1, 2, 3]) as log:
        features = model.forward_features(images())
    assert features.shape == (3, 17, 32)
    assert sorted(log.selections) == [1, 2]
    assert log.selections[1] != log.selections[2]


def test_gridmask_as_token_drop_trains_kept_patches_only():
    """A training step: what the pixels of dropped patches are is nothing to the loss, nor to the gradients."""
    model = build("timm plain").train()
    grid = ad.GridMask((28, 29), ratio=0.5, seed=0)
    x = images().clone().requires_grad_()
    keys = [11, 12, 13]
    with attach(model, grid.tokens(16), keys=keys) as log:
        loss = torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2]))
        loss.backward()
    dropped = grid.plan((3, 3, 64, 64), keys=keys).tokens(16).flatten(1)
    assert torch.equal(log.selection.mask("removed"), dropped)
    assert 0 < dropped.sum() < dropped.numel()
    gradient = x.grad.unfold(2, 16, 16).unfold(3, 16, 16).abs().sum((1, 4, 5)).flatten(1)
    assert torch.equal(gradient > 0, ~dropped)
    position = model.pos_embed.grad[0, 1:].abs().sum(1) > 0
    assert torch.equal(position, (~dropped).any(0))


@pytest.fixture
def mae():
    torch.manual_seed(0)
    config = transformers.ViTMAEConfig(
        **HF,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
    )
    return transformers.ViTMAEForPreTraining(config)


def test_vitmae_masks_what_a_selection_says(mae):
    x = images()
    with attach(mae, MAE(seed=0), keys=[1, 2, 3]) as log:
        out = mae(x)
        assert torch.equal(out.mask.bool(), log.selection.mask("removed"))
        assert log.selection == MAE(seed=0, grid=(4, 4))(torch.empty(3, 16), keys=[1, 2, 3])
        torch.testing.assert_close(out.loss, tokens.mae_loss(out.logits, x, log.selection, 16))
        hidden = mae.vit(x).last_hidden_state
        assert torch.equal(log.selection.gather(log.restore(hidden[:, 1:])), hidden[:, 1:])
        with pytest.raises(ad.AugDropError, match="noise"):
            mae(x, noise=torch.rand(3, 16))
    noise = log.selection.restore.float()
    assert torch.equal(mae(x, noise=noise).loss, out.loss)
    assert torch.equal(mae.vit(x, noise=noise).last_hidden_state, hidden)


def test_vitmae_keeps_all(mae):
    x = images()
    mae.config.mask_ratio = 0.0
    noise = torch.arange(16.0).expand(3, -1)
    want = mae.vit(x, noise=noise).last_hidden_state
    with attach(mae, RandomKeep(1.0)):
        assert torch.equal(mae.vit(x).last_hidden_state, want)


def test_vitmae_refuses_other_counts_and_methods(mae):
    with (
        pytest.raises(ad.AugDropError, match=r"mask_ratio=0.75 keeps 4.*mask_ratio = 0.468"),
        attach(mae, RandomKeep(0.5)),
    ):
        mae(images())
    mae.config.mask_ratio = 0.4688
    with attach(mae, RandomKeep(0.5)):
        mae(images())
    for method in (tokens.ToMe(), Span(MAE())):
        with pytest.raises(ad.AugDropError, match="ViTMAE"):
            attach(mae, method)


def test_transformers_with_another_attention(model):
    hf, x = build("transformers ViT"), images()
    uneven = ad.Cutout(30, seed=0).tokens(16, min_share=0.1)
    outs = []
    for kind in ("sdpa", "eager"):
        hf.set_attn_implementation(kind)
        with torch.no_grad(), attach(hf.train(), uneven, keys=[1, 2, 3]) as log:
            outs.append(logits(hf, x))
            assert log.selection.padded
    torch.testing.assert_close(*outs)
    with attach(hf, RandomKeep(0.5)):
        assert [h.shape[1] for h in hf(x, output_hidden_states=True).hidden_states] == [9] * 4
