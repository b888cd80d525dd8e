"""Perturbation: attention logits are changed by key in training, and no token is removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from augdrop.checks import plain_fields, seed_of
from augdrop.citation import Citation
from augdrop.errors import AugDropError, fail
from augdrop.keys import Ids, resolve
from augdrop.regions.mask import bernoulli_map
from augdrop.rng import Draws, stream_key
from augdrop.tokens.actions import hide


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Base of the methods that perturb attention: ``method(logits, keys=None, epoch=None) -> logits``.

    Args:
        seed: any integer; None takes one from torch's generator when the method is made.
    """

    seed: int | None = None
    citation: ClassVar[Citation | None] = None

    def __post_init__(self) -> None:
        plain_fields(self)
        object.__setattr__(self, "seed", seed_of(f"{type(self).__name__}: seed", self.seed))

    def __call__(
        self, logits: Tensor, *, keys: Ids | None = None, epoch: Ids | None = None, prefix: int = 0, layer: int = 0
    ) -> Tensor:
        """What softmax is to be taken of, a new tensor.

        Args:
            logits: ``[B, H, Tq, Tk]`` or ``[B, Tq, Tk]``, scaled, before masks are added.
            keys, epoch: see `augdrop.keys`.
            prefix: class, distillation and register tokens at the head of the keys.
            layer: each layer of a model draws from a stream of its own.
        """
        return self.perturb(logits, self.draws(len(logits), keys, epoch, layer), prefix)

    def draws(self, batch: int, keys: Ids | None, epoch: Ids | None, layer: int = 0) -> Draws:
        """The random numbers of a batch at a layer."""
        name = f"{layer}/{type(self).__name__}" if layer else type(self).__name__
        return Draws(stream_key(self.seed or 0, name), *resolve(keys, epoch, batch, 0))

    def perturb(self, logits: Tensor, draws: Draws, prefix: int) -> Tensor:
        """The perturbed logits of a batch."""
        raise NotImplementedError


def coins(draws: Draws, p: float, shape: tuple[int, ...] | torch.Size, device: torch.device | str = "cpu") -> Tensor:
    """bool ``[B, *shape]``, each True with probability ``p``; tossed on the host, by key."""
    width = shape[-1]
    height = torch.Size(shape[:-1]).numel()
    tossed = bernoulli_map(*draws, np.full(len(draws), float(p)), height, width)
    return torch.from_numpy(tossed).view(torch.bool).view(len(draws), *shape).to(device)


@contextmanager
def perturbed_attention(
    model: nn.Module, method: Perturbation, *, keys: Ids | None = None, epoch: Ids | None = None, prefix: int = 0
) -> Iterator[None]:
    """In this block, what ``model`` computes is computed with perturbed attention; nothing is, of a model in eval mode.

    It catches the calls of ``torch.nn.functional.scaled_dot_product_attention``, each of which is a layer with a stream
    of its own: so open a new block for each forward. That is what timm's fused attention and Transformers'
    ``attn_implementation="sdpa"`` call; ``nn.MultiheadAttention`` (torchvision) cannot be reached this way. Attention
    masks are added after the perturbation, so what they hide stays hidden. A compiled model leaves its graph for them.

    Args:
        model: looked at for its mode only.
        method: `HardMasking`, `BlurredSmoothing`, `DropKey` ...
        prefix: see `Perturbation`.
    """
    if not model.training:
        yield
        return
    if any(getattr(m, "grad_checkpointing", getattr(m, "gradient_checkpointing", False)) for m in model.modules()):
        raise fail(
            "perturbed_attention",
            got=f"{type(model).__name__} with gradient checkpointing",
            expected="attention that is computed once: again, it would be perturbed otherwise",
            fix="Switch checkpointing off.",
        )
    with _Attention(type(model).__name__, method, keys, epoch, prefix) as seen:
        yield
    if not seen.layers:
        raise fail(
            "perturbed_attention",
            got=f"{type(model).__name__} without a call of scaled_dot_product_attention",
            expected="a model whose attention is fused, run inside the block",
            fix="timm: timm.layers.set_fused_attn(True); Transformers: attn_implementation='sdpa'.",
        )


class _Attention(TorchFunctionMode):
    def __init__(self, model: str, method: Perturbation, keys: Ids | None, epoch: Ids | None, prefix: int) -> None:
        super().__init__()
        self.model = model
        self.method, self.keys, self.epoch, self.prefix, self.layers = method, keys, epoch, prefix, 0
        # Coins are tossed on the host, at each call anew: they are no part of a graph.
        self._outside: Any = torch.compiler.disable(self.attend)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._outside(*args, **(kwargs or {}))

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if torch.compiler.is_exporting() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            raise fail(
                "perturbed_attention",
                got="an export or a trace, which would perturb every batch alike",
                expected="a model that is run, or compiled",
                fix="Export it outside of the block.",
            )
        self.layers += 1
        if enable_gqa:
            k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
        logits = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
        try:
            logits = self.method(logits, keys=self.keys, epoch=self.epoch, prefix=self.prefix, layer=self.layers - 1)
        except AugDropError as error:
            where = f"{self.model} with {k.shape[-2]} keys, {self.prefix} of a prefix"
            raise AugDropError(f"perturbed_attention: {where}: {error}") from error
        if is_causal:
            logits = hide(logits, torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1))
        if attn_mask is not None:
            logits = hide(logits, ~attn_mask) if attn_mask.dtype == torch.bool else logits + attn_mask
        return functional.dropout(logits.softmax(-1), dropout_p) @ v
