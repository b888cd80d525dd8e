"""Transformers' ViT, DINOv2 (with registers or without) and CLIP's vision tower."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from augdrop.tokens.models.family import Family, intercept


class TransformersViT(Family):
    """The ``embeddings`` module gives the tokens with their positions; blocks take masks of either kind."""

    name = "transformers ViT"
    attention = "attention"
    mask = "attention_mask"
    norms: ClassVar[tuple[str, str]] = ("layernorm_before", "layernorm_after")

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.prefix, self.embedded = 1, self.model.embeddings
        self.stem = self.embedded.patch_embeddings.projection
        self.blocks, self.final = self.model.layers, self.model.layernorm

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        y, _ = getattr(block, self.attention)(getattr(block, self.norms[0])(x), *args, **kwargs)
        return self.branch(block, y, 1) + x

    def feed(self, block: Any, x: Tensor) -> Tensor:
        return self.branch(block, block.mlp(getattr(block, self.norms[1])(x)), 2) + x

    def branch(self, block: Any, y: Tensor, half: int) -> Tensor:
        """What a block does to a half's output before it adds it."""
        return block.dropout(y)

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        def look(out: Tensor) -> Tensor:
            put(out.unflatten(2, (-1, attn.head_dim)).transpose(1, 2))
            return out

        intercept(attn.q_proj if which == "q" else attn.k_proj, stack, after=look)

    def masked(self, args: tuple[Any, ...], kwargs: dict[str, Any], bias: Tensor) -> tuple[tuple[Any, ...], dict]:
        kind = self.model.config._attn_implementation
        if kind not in ("sdpa", "eager"):
            raise self.cannot(f"a mask in {kind}", "model.set_attn_implementation('sdpa')")
        return super().masked(args, kwargs, bias)

    @property
    def checkpointing(self) -> bool:
        return self.model.training and any(getattr(block, "gradient_checkpointing", False) for block in self.blocks)


class Dinov2(TransformersViT):
    """LayerScale and stochastic depth; registers come behind the class token."""

    name = "transformers DINOv2"
    norms = ("norm1", "norm2")

    def __init__(self, model: nn.Module) -> None:
        Family.__init__(self, model)
        self.embedded = self.model.embeddings
        self.prefix = 1 + getattr(self.model.config, "num_register_tokens", 0)
        self.stem = self.embedded.patch_embeddings.projection
        self.blocks, self.final = self.model.encoder.layer, self.model.layernorm

    def branch(self, block: Any, y: Tensor, half: int) -> Tensor:
        return block.drop_path((block.layer_scale1 if half == 1 else block.layer_scale2)(y))


class CLIPVision(TransformersViT):
    """Its features are those of the last block, which no norm follows."""

    name = "transformers CLIP vision"
    attention = "self_attn"
    norms = ("layer_norm1", "layer_norm2")

    def __init__(self, model: nn.Module) -> None:
        Family.__init__(self, model)
        self.prefix, self.embedded = 1, self.model.embeddings
        self.stem, self.blocks = self.embedded.patch_embedding, self.model.encoder.layers
        self.final = self.blocks[-1]

    def branch(self, block: Any, y: Tensor, half: int) -> Tensor:
        return y
