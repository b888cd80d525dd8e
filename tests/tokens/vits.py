"""Small vision transformers with random weights, one of each kind that `tokens.attach` knows."""

from __future__ import annotations

import dataclasses
from functools import cache

import timm
import torch
import torchvision
import transformers
from timm.models.eva import Eva

from augdrop import tokens

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


@dataclasses.dataclass(frozen=True)
class Fixed(tokens.Selector):
    """Keeps what it is told, in eval mode too."""

    kept: tuple[tuple[int, ...], ...] = ()
    training_only = False

    def select(self, draws, total, **given):
        mask = torch.zeros(len(draws), total, dtype=torch.bool)
        for row, ids in zip(mask, self.kept, strict=True):
            row[list(ids)] = True
        keep, padded = tokens.from_mask(mask)
        return tokens.Selection(keep, total, padded=padded)


EQUAL = Fixed(kept=((0, 5, 6, 15), (1, 2, 3, 4), (7, 8, 9, 10)))
UNEQUAL = Fixed(kept=((0, 5, 6, 15), (1, 2), (7, 8, 9, 10, 11, 12)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weigh(tokens.Reducer):
    """Says that the last token stands for three."""

    layers: tuple[int, ...] | None = (0,)
    proportional = True

    def reduce(self, x, seen):
        sizes = torch.ones(x.shape[:2])
        sizes[:, -1] = 3
        return tokens.Reduced(x, torch.arange(x.shape[1]).expand(len(x), -1), sizes)
