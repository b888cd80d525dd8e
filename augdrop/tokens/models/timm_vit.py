"""timm's VisionTransformer: plain, with LayerScale, qk-norm or registers, and DeiT with its distillation token."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, ResPostBlock
from torch import Tensor, nn

from augdrop.tokens.models.family import Family, intercept


class TimmViT(Family):
    """Positions are added in ``_pos_embed``; ``patch_drop``, an identity unless the model drops by itself, is next."""

    name = "timm VisionTransformer"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.prefix, self.blocks = self.model.num_prefix_tokens, self.model.blocks
        self.stem, self.final = self.model.patch_embed.proj, self.model.norm
        self.embedded = self.model.patch_drop
        if not isinstance(self.embedded, nn.Identity | None):
            raise self.cannot("patch_drop_rate, so that it drops patches itself", "model.patch_drop = nn.Identity()")

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(block, ResPostBlock):
            return x + block.drop_path1(block.norm1(block.attn(x, *args, **kwargs)))
        return x + block.drop_path1(block.ls1(block.attn(block.norm1(x), *args, **kwargs)))

    def feed(self, block: Any, x: Tensor) -> Tensor:
        if isinstance(block, ResPostBlock):
            return x + block.drop_path2(block.norm2(block.mlp(x)))
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))

    def known(self, block: nn.Module) -> bool:
        return type(block).forward in (Block.forward, ResPostBlock.forward)

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        if type(attn).forward is not Attention.forward:
            raise self.cannot(f"the attention or keys of {type(attn).__name__}", "Reduce by something else.")

        # An identity without qk-norm: called in any case, with the heads apart.
        def look(out: Tensor) -> Tensor:
            put(out)
            return out

        intercept(attn.q_norm if which == "q" else attn.k_norm, stack, after=look)

    def check_padded(self) -> None:
        super().check_padded()
        if self.model.attn_pool is not None or getattr(self.model, "pool_include_prefix", False):
            raise self.cannot("samples that keep different numbers of tokens, and this pooling", "Keep equal numbers.")

    @property
    def checkpointing(self) -> bool:
        return self.model.grad_checkpointing
