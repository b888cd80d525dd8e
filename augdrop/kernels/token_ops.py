"""Gather, scatter and merge of tokens on a GPU: one operator, and one launch, each.

`augdrop.tokens` has the same in plain torch, which is the definition; the operators are for what `takes` accepts.
Their gradients are each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.kernels import backend
from augdrop.plan import capturing

_library = torch.library.Library("augdrop", "FRAGMENT")
_library.define("token_gather(Tensor x, Tensor keep, Tensor? order, int prefix) -> Tensor")
_library.define(
    "token_scatter(Tensor x, Tensor keep, Tensor? order, int prefix, int total, Scalar fill, Tensor? tokens) -> Tensor"
)
_library.define("token_merge(Tensor x, Tensor source, Tensor? sizes, int length) -> (Tensor, Tensor)")
_library.define("token_spread(Tensor x, Tensor source, Tensor? sizes, Tensor total) -> Tensor")


def takes(x: Tensor) -> bool:
    """Whether the operators are for ``x``."""
    return not x.is_complex() and backend.takes(x)


def merges(x: Tensor, sizes: Tensor | None) -> bool:
    """Whether `merge` is for ``x`` and ``sizes``; sizes have no gradient there."""
    return takes(x) and x.is_floating_point() and (sizes is None or not sizes.requires_grad)


def gather(x: Tensor, keep: Tensor, order: Tensor | None, prefix: int) -> Tensor:
    """`Selection.gather` of ``x [B, prefix + N, ...]``; ``keep`` and ``order`` as a selection has them."""
    keep, order = _moved(x.device, keep, order)
    out = torch.ops.augdrop.token_gather(_rows(x), keep, order, prefix)
    return out.view(*out.shape[:2], *x.shape[2:])


def scatter(y: Tensor, keep: Tensor, order: Tensor | None, prefix: int, total: int, fill: Tensor | float) -> Tensor:
    """`Selection.scatter` of ``y [B, prefix + K, ...]``."""
    keep, order = _moved(y.device, keep, order)
    if isinstance(fill, (int, float)):
        out = torch.ops.augdrop.token_scatter(_rows(y), keep, order, prefix, total, fill, None)
        return out.view(*out.shape[:2], *y.shape[2:])
    given: Tensor = fill.to(y)
    length = total if given.ndim == y.ndim and given.shape[1] == total else prefix + total
    shape = torch.broadcast_shapes((len(y), length, *y.shape[2:]), given.shape)
    tokens = given.expand(shape)[:, length - total :]
    y = y.expand(*y.shape[:2], *shape[2:])
    out = torch.ops.augdrop.token_scatter(_rows(y), keep, order, prefix, total, 0, _rows(tokens))
    return out.view(*out.shape[:2], *shape[2:])


def merge(x: Tensor, source: Tensor, length: int, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Means and sizes of `augdrop.tokens.tome.merge` of ``x [B, T, D]``."""
    return torch.ops.augdrop.token_merge(x, source, None if sizes is None else sizes.float(), length)


def _rows(x: Tensor) -> Tensor:
    """``[B, T, D]`` of ``[B, T, ...]``."""
    return x.unsqueeze(2) if x.ndim == 2 else x.flatten(2)


def _moved(device: torch.device, keep: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A selection's tensors on the device, by one copy that does not wait."""
    given = (keep,) if order is None else (keep, order)
    if torch.compiler.is_compiling() or any(not t.is_cpu for t in given) or device.type == "cpu":
        return keep.to(device), None if order is None else order.to(device)
    if capturing():
        raise fail(
            "Selection",
            got="a selection on the host, while a CUDA graph is captured",
            expected="one on the device",
            fix="Move it before the capture: selection.to(x.device).",
        )
    packed = torch.empty((len(given), *keep.shape), dtype=torch.int64, pin_memory=True)
    there = torch.stack(given, out=packed).to(device, non_blocking=True)
    return there[0], None if order is None else there[1]


def _launches(name: str) -> Any:
    """An operator's work: the launch of the same name, imported when there is something to launch."""

    def run(*args: Any) -> Any:
        from augdrop.kernels.gpu import token_launch

        return getattr(token_launch, name)(*args)

    return run


for _name in ("gather", "scatter", "merge", "spread"):
    for _key in ("CUDA", "CPU"):  # on the CPU: Triton's interpreter
        _library.impl(f"token_{_name}", _launches(_name), _key)


@torch.library.register_fake("augdrop::token_gather", lib=_library)
def _(x: Tensor, keep: Tensor, order: Tensor | None, prefix: int) -> Tensor:
    return x.new_empty(x.shape[0], prefix + keep.shape[1], x.shape[2])


@torch.library.register_fake("augdrop::token_scatter", lib=_library)
def _(
    x: Tensor, keep: Tensor, order: Tensor | None, prefix: int, total: int, fill: float, tokens: Tensor | None
) -> Tensor:
    return x.new_empty(x.shape[0], prefix + total, x.shape[2])


@torch.library.register_fake("augdrop::token_merge", lib=_library)
def _(x: Tensor, source: Tensor, sizes: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], length, x.shape[2]), x.new_empty(x.shape[0], length, dtype=torch.float32)


@torch.library.register_fake("augdrop::token_spread", lib=_library)
def _(x: Tensor, source: Tensor, sizes: Tensor | None, total: Tensor) -> Tensor:
    return x.new_empty(*source.shape, x.shape[2])


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, keep, order, ctx.prefix = inputs
    ctx.total = x.shape[1] - ctx.prefix
    ctx.save_for_backward(keep, order)


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    keep, order = ctx.saved_tensors
    return torch.ops.augdrop.token_scatter(grad, keep, order, ctx.prefix, ctx.total, 0, None), None, None, None


def _save_scatter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, keep, order, ctx.prefix, ctx.total, _, _ = inputs
    ctx.save_for_backward(keep, order)


def _scatter_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    keep, order = ctx.saved_tensors
    own = others = None
    if ctx.needs_input_grad[0]:
        own = torch.ops.augdrop.token_gather(grad, keep, order, ctx.prefix)
    if ctx.needs_input_grad[6]:
        nothing = grad.new_zeros(()).expand(len(grad), keep.shape[1], grad.shape[2])
        others = torch.ops.augdrop.token_scatter(nothing, keep, order, 0, ctx.total, 0, grad[:, ctx.prefix :])
    return own, None, None, None, None, None, others


def _save_merge(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, source, sizes, _ = inputs
    ctx.save_for_backward(source, sizes, output[1])
    ctx.mark_non_differentiable(output[1])


def _merge_backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    source, sizes, total = ctx.saved_tensors
    return torch.ops.augdrop.token_spread(grad, source, sizes, total), None, None, None


def _save_spread(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, source, sizes, _ = inputs
    ctx.length = x.shape[1]
    ctx.save_for_backward(source, sizes)


def _spread_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    source, sizes = ctx.saved_tensors
    return torch.ops.augdrop.token_merge(grad, source, sizes, ctx.length)[0], None, None, None


for _name, _save, _backward in (
    ("gather", _save_gather, _gather_backward),
    ("scatter", _save_scatter, _scatter_backward),
    ("merge", _save_merge, _merge_backward),
    ("spread", _save_spread, _spread_backward),
):
    torch.library.register_autograd(f"augdrop::token_{_name}", _backward, setup_context=_save, lib=_library)
