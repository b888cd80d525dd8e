"""The models that `augdrop.tokens.attach` knows: one file a family."""

from __future__ import annotations

from collections.abc import Container
from importlib import import_module

from torch import nn

from augdrop.errors import fail
from augdrop.tokens.models.family import Family

FAMILIES = {
    "timm.models.vision_transformer.VisionTransformer": "timm_vit.TimmViT",
    "timm.models.eva.Eva": "timm_eva.TimmEva",
    "torchvision.models.vision_transformer.VisionTransformer": "torchvision_vit.TorchvisionViT",
    "transformers.models.vit.modeling_vit.ViTModel": "transformers_vit.TransformersViT",
    "transformers.models.dinov2.modeling_dinov2.Dinov2Model": "transformers_vit.Dinov2",
    "transformers.models.dinov2_with_registers.modeling_dinov2_with_registers.Dinov2WithRegistersModel": (
        "transformers_vit.Dinov2"
    ),
    "transformers.models.clip.modeling_clip.CLIPVisionModel": "transformers_vit.CLIPVision",
    "transformers.models.vit_mae.modeling_vit_mae.ViTMAEModel": "transformers_vitmae.ViTMAE",
    "transformers.models.videomae.modeling_videomae.VideoMAEModel": "transformers_videomae.VideoMAE",
}
"""A model's class (or one that it derives from), by name so that no library is imported before it is used, and the
file and class here that know it."""

FOLDING = {
    "transformers.models.vit.modeling_vit.ViTForMaskedImageModeling",
    "transformers.models.dinov2.modeling_dinov2.Dinov2Backbone",
    "transformers.models.dinov2_with_registers.modeling_dinov2_with_registers.Dinov2WithRegistersBackbone",
}
"""Models that fold whatever tokens there are into a grid, which would scramble those that are kept."""


def family_of(model: nn.Module) -> Family:
    """What there is to know of ``model``, or of the one known model inside it (a classifier's trunk, a wrapped one)."""
    inside = {name: found for name, module in model.named_modules() if (found := _entry(module, FAMILIES))}
    folding = next((module for module in model.modules() if _entry(module, FOLDING)), None)
    if folding is not None:
        raise fail(
            "attach: model",
            got=type(folding).__name__,
            expected="a model that does not fold its tokens into a grid",
            fix="Attach to the plain model, and bring its features back by log.restore(features).",
        )
    if "" in inside:
        inside = {"": inside[""]}
    if len(inside) != 1:
        raise fail(
            "attach: model",
            got=f"{type(model).__name__}" + (f", in which there are {', '.join(inside)}" if inside else ""),
            expected="one of "
            + ", ".join(sorted({f"{name.split('.')[0]} {name.split('.')[-1]}" for name in FAMILIES})),
            fix="Name one of them." if inside else "Use its parts: selection = method(x), then selection.gather(x).",
        )
    (name, entry), *_ = inside.items()
    file, cls = FAMILIES[entry].split(".")
    return getattr(import_module(f"{__name__}.{file}"), cls)(model.get_submodule(name))


def _entry(module: nn.Module, table: Container[str]) -> str | None:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__)
    return next((name for name in names if name in table), None)
