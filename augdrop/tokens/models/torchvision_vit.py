"""torchvision's VisionTransformer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from augdrop.tokens.models.family import Family, intercept


class TorchvisionViT(Family):
    """``encoder.dropout`` is what comes behind the positions; masks go to `torch.nn.MultiheadAttention` by key."""

    name = "torchvision VisionTransformer"
    attention = "self_attention"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        encoder = self.model.encoder
        self.prefix, self.blocks, self.stem = 1, encoder.layers, self.model.conv_proj
        self.embedded, self.final = encoder.dropout, encoder.ln

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        y = block.ln_1(x)
        y, _ = block.self_attention(y, y, y, need_weights=False)
        return block.dropout(y) + x

    def feed(self, block: Any, x: Tensor) -> Tensor:
        return x + block.mlp(block.ln_2(x))

    def known(self, block: nn.Module) -> bool:
        return type(block).forward is EncoderBlock.forward

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        width, part = attn.embed_dim, "qk".index(which)
        rows = slice(part * width, (part + 1) * width)

        def project(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            # The projection is no module of its own, so it is computed again.
            y = F.linear(args[0], attn.in_proj_weight[rows], attn.in_proj_bias[rows])
            put(y.unflatten(2, (attn.num_heads, -1)).transpose(1, 2))
            return args, kwargs

        intercept(attn, stack, before=project)

    def masked(self, args: tuple[Any, ...], kwargs: dict[str, Any], bias: Tensor) -> tuple[tuple[Any, ...], dict]:
        # Of an empty mask torch's attention cannot tell the shape; nor is there anything to mask.
        return args, kwargs | {"key_padding_mask": bias[:, 0, 0]} if len(bias) else kwargs
