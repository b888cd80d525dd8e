"""timm's Eva: EVA, EVA-02, DINOv3, Perception Encoder and other models with rotary positions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import torch
from timm.layers.attention import AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor, nn

from augdrop.tokens.models.family import Select, drops, intercept
from augdrop.tokens.models.timm_vit import TimmViT


class Keep(nn.Module):
    """What the model takes for its patch dropout: kept tokens, and which they are, by which it gathers its table."""

    def __init__(self, select: Select) -> None:
        super().__init__()
        self.select = select

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        selection = self.select(x)
        return (selection.gather(x), selection.ids.clamp(min=0).to(x.device)) if drops(selection) else (x, None)


class TimmEva(TimmViT):
    """Each token has its row in the rotary table: ``patch_drop`` is assigned, and the model gathers the rows itself."""

    name = "timm Eva"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.rotary = self.model.rope is not None

    def place(self, select: Select, stack: ExitStack) -> None:
        self.model.patch_drop = Keep(select)

        def back() -> None:
            del self.model.patch_drop
            self.model.patch_drop = self.embedded

        stack.callback(back)

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(block, EvaBlockPostNorm):
            return x + block.drop_path1(block.norm1(block.attn(x, *args, **kwargs)))
        y = block.attn(block.norm1(x), *args, **kwargs)
        return x + block.drop_path1(y if block.gamma_1 is None else block.gamma_1 * y)

    def feed(self, block: Any, x: Tensor) -> Tensor:
        if isinstance(block, EvaBlockPostNorm):
            return x + block.drop_path2(block.norm2(block.mlp(x)))
        y = block.mlp(block.norm2(x))
        return x + block.drop_path2(y if block.gamma_2 is None else block.gamma_2 * y)

    def known(self, block: nn.Module) -> bool:
        return type(block).forward in (EvaBlock.forward, EvaBlockPostNorm.forward)

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        if type(attn).forward not in (EvaAttention.forward, AttentionRope.forward):
            raise self.cannot(f"the attention or keys of {type(attn).__name__}", "Reduce by something else.")
        table: list[Tensor | None] = [None]

        def remember(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            table[0] = kwargs.get("rope")
            return args, kwargs

        def rotate(out: Tensor) -> Tensor:
            heads, rope, prefix = out, table[0], attn.num_prefix_tokens
            if rope is not None:
                turned = apply_rot_embed_cat(out[:, :, prefix:], rope, half=attn.rotate_half)
                heads = torch.cat([out[:, :, :prefix], turned], 2).type_as(out)
            groups = attn.num_heads // heads.shape[1]
            put(heads.repeat_interleave(groups, 1) if groups > 1 else heads)
            return out

        intercept(attn, stack, before=remember)
        intercept(attn.q_norm if which == "q" else attn.k_norm, stack, after=rotate)

    def rotated(self, kwargs: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        rope = kwargs.get("rope")
        if rope is None:
            return kwargs
        # One table [N, d] for all heads, or [H, N, d]; with a batch of its own it is [B, 1 or H, K, d].
        own = rope[rows].unsqueeze(1) if rope.ndim == 2 else rope[:, rows].transpose(0, 1)
        return kwargs | {"rope": own}
