"""Small vision transformers with random weights, one of each kind that `tokens.attach` knows."""

from __future__ import annotations

from functools import cache

import timm
import torch
import torchvision
import transformers
from timm.models.eva import Eva

SIDE, PATCH, WIDTH, DEPTH, HEADS = 64, 16, 32, 3, 2
VIT = dict(img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=5)
EVA = VIT | dict(head_init_scale=1.0, mlp_ratio=2)
HF = dict(image_size=SIDE, patch_size=PATCH, hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS)
HF = HF | dict(intermediate_size=64, num_labels=5)

MODELS = {
    "timm plain": lambda: timm.models.VisionTransformer(**VIT),
    "timm layer scale, average": lambda: timm.models.VisionTransformer(**VIT, init_values=0.1, global_pool="avg"),
    "timm qk-norm, drop path": lambda: timm.models.VisionTransformer(**VIT, qk_norm=True, drop_path_rate=0.3),
    "timm registers": lambda: timm.models.VisionTransformer(**VIT, reg_tokens=4, no_embed_class=True, pre_norm=True),
    "timm post-norm": lambda: timm.models.VisionTransformer(
        **VIT, block_fn=timm.models.vision_transformer.ResPostBlock, init_values=0.1
    ),
    "timm any size": lambda: timm.models.VisionTransformer(
        **VIT, dynamic_img_size=True, class_token=False, global_pool="avg"
    ),
    "timm DeiT distilled": lambda: timm.models.deit.VisionTransformerDistilled(**VIT),
    "timm EVA rotary": lambda: Eva(**EVA, use_rot_pos_emb=True, swiglu_mlp=True, scale_mlp=True),
    "timm EVA mixed rotary": lambda: Eva(**EVA, use_rot_pos_emb=True, rope_type="mixed", init_values=0.1),
    "timm EVA rotary, grouped": lambda: Eva(
        **EVA,
        use_rot_pos_emb=True,
        rope_type="dinov3",
        attn_type="rope",
        qkv_fused=False,
        num_kv_heads=1,
        qk_norm=True,
        num_reg_tokens=4,
        use_abs_pos_emb=False,
        rope_rotate_half=True,
        init_values=0.1,
    ),
    "timm EVA absolute": lambda: Eva(**EVA, use_post_norm=True),
    "torchvision": lambda: torchvision.models.VisionTransformer(SIDE, PATCH, DEPTH, HEADS, WIDTH, 64, num_classes=5),
    "transformers ViT": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**HF)),
    "transformers DINOv2": lambda: transformers.Dinov2ForImageClassification(
        transformers.Dinov2Config(**HF, layerscale_value=0.3, drop_path_rate=0.2)
    ),
    "transformers DINOv2 registers": lambda: transformers.Dinov2WithRegistersForImageClassification(
        transformers.Dinov2WithRegistersConfig(**HF, num_register_tokens=4)
    ),
    "transformers CLIP vision": lambda: transformers.CLIPForImageClassification(
        transformers.CLIPConfig(vision_config=HF, text_config=HF | dict(vocab_size=9), num_labels=5)
    ),
}
FAMILIES = ["timm plain", "timm EVA mixed rotary", *(name for name in MODELS if not name.startswith("timm"))]
ROTARY = [name for name in MODELS if "rotary" in name]


def build(name):
    """A model in eval mode, none of whose weights is 0 or 1 by its initialisation."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@cache
def images(batch=3, side=SIDE):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def logits(model, x):
    out = model(x)
    return out if isinstance(out, torch.Tensor) else out.logits


def trunk(model):
    """The module that attach finds, and its blocks."""
    from augdrop.tokens.models import family_of

    family = family_of(model)
    return family.model, family.blocks, family
