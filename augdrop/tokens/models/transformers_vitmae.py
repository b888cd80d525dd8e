"""Transformers' ViTMAE: it masks by ``noise=``, so a selection becomes noise that keeps the selected patches."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from augdrop.tokens.models.family import Select, intercept
from augdrop.tokens.models.transformers_vit import TransformersViT


class ViTMAE(TransformersViT):
    """The model itself drops, and its decoder needs what its encoder has kept: it takes selectors only.

    The class token comes after the masking, so a selection is of patches alone. How many stay is the model's
    ``config.mask_ratio``, of which a selector has to keep just as many. Where a selector does nothing (one for
    training, in eval mode) the model masks by its own random numbers, as it does without. Of the encoder's features
    ``log.restore`` takes the patches: ``log.restore(hidden[:, 1:])``.
    """

    name = "transformers ViTMAE"
    selectors_only = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.prefix = 0

    def place(self, select: Select, stack: ExitStack) -> None:
        def noise(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            pixels = args[0] if args else kwargs["pixel_values"]
            if kwargs.get("noise") is not None:
                raise self.cannot("noise as well as a selector", "Pass one of them.")
            (h, w), (ph, pw) = pixels.shape[-2:], self.embedded.patch_embeddings.patch_size
            grid = (h // ph, w // pw)
            selection = select(pixels.new_empty(len(pixels), grid[0] * grid[1]), grid)
            if selection is None:
                return args, kwargs
            count, ratio = selection.keep.shape[1], self.model.config.mask_ratio
            if selection.padded or count != int(selection.total * (1 - ratio)):
                fitting = 1 - (count + 0.5) / selection.total
                raise self.cannot(
                    f"{selection!r}, where config.mask_ratio={ratio} keeps {int(selection.total * (1 - ratio))}",
                    f"Keep as many of each sample, or set model.config.mask_ratio = {max(0.0, fitting):.4g}.",
                )
            # Low noise stays: kept tokens in their order, then the others.
            return args, kwargs | {"noise": selection.restore.to(torch.float32)}

        intercept(self.embedded, stack, before=noise)
