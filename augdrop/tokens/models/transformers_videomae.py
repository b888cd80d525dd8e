"""Transformers' VideoMAE: a video model, whose tokens lie in time slots, rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

from torch import Tensor, nn

from augdrop.errors import AugDropError
from augdrop.tokens.models.family import Family, Select, intercept
from augdrop.tokens.models.transformers_vit import TransformersViT


class VideoMAE(TransformersViT):
    """No class token; its attention takes no mask, so samples keep equal numbers of tokens, and none merge.

    A classifier of it pools the mean of all tokens (``use_mean_pooling``, as in every published checkpoint), and so of
    those that are left. Pre-training needs no plug-in: ``bool_masked_pos=selection.mask("removed")``.
    """

    name = "transformers VideoMAE"

    def __init__(self, model: nn.Module) -> None:
        Family.__init__(self, model)
        self.prefix, self.embedded = 0, self.model.embeddings
        self.stem, self.blocks = self.embedded.patch_embeddings.projection, self.model.encoder.layer
        self.final = self.blocks[-1] if self.model.layernorm is None else self.model.layernorm

    def place(self, select: Select, stack: ExitStack) -> None:
        def unmasked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if kwargs.get("bool_masked_pos") is not None or any(arg is not None for arg in args[1:]):
                raise self.cannot("bool_masked_pos as well as a selector", "Pass one of them.")
            return args, kwargs

        super().place(select, stack)
        intercept(self.embedded, stack, before=unmasked)

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return block.attention(block.layernorm_before(x), *args, **kwargs) + x

    def feed(self, block: Any, x: Tensor) -> Tensor:
        return block.output(block.intermediate(block.layernorm_after(x)), x)

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        inner = attn.attention

        def look(out: Tensor) -> Tensor:
            put(out.unflatten(2, (-1, inner.attention_head_size)).transpose(1, 2))
            return out

        intercept(inner.query if which == "q" else inner.key, stack, after=look)

    def masked(self, args: tuple[Any, ...], kwargs: dict[str, Any], bias: Tensor) -> tuple[tuple[Any, ...], dict]:
        raise self._maskless()

    def check_padded(self) -> None:
        raise self._maskless()

    def _maskless(self) -> AugDropError:
        return self.cannot(
            "samples of different counts, or merged tokens, which take a mask", "Keep equal numbers, and drop."
        )
