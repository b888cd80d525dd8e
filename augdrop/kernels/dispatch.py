"""The one way from a plan to pixels: checks, a place for the result, and the backend that does the work."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.kernels import cpu, cuda, reference
from augdrop.kernels.allocate import empty_like
from augdrop.kernels.backend import backends as backends
from augdrop.kernels.backend import forced as forced
from augdrop.kernels.backend import on_gpu
from augdrop.kernels.backend import use_backend as use_backend
from augdrop.kernels.paint import prepare
from augdrop.plan import Plan

DTYPES = (
    *(torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


def apply(
    x: Tensor, plan: Plan, *, out: Tensor | None = None, inplace: bool = False, source: Tensor | None = None
) -> Tensor:
    """Paint a plan into images.

    Args:
        x: ``[C, H, W]``, ``[B, C, H, W]`` or video ``[B, T, C, H, W]`` (a sample's frames share its region), of any
            dtype in `DTYPES`, with any strides.
        plan: a plan for these B samples and this canvas.
        out: where to write the result; same shape, dtype and device as ``x``. May not overlap ``x``.
        inplace: write into ``x``.
        source: other images to take partners from, shaped like ``x``; by default ``x`` itself.

    Returns:
        The result: ``x`` if ``inplace``, ``out`` if given, else a new tensor with the memory format of ``x``.
    """
    if x.dtype not in DTYPES:
        raise fail(
            f"{plan.method}: apply",
            got=f"images of {x.dtype}",
            expected=", ".join(str(d).removeprefix("torch.") for d in DTYPES),
            fix="Convert them with images.to(dtype).",
        )
    batch = _as_batch(x)
    if batch.ndim != 5 or batch.shape[0] != len(plan.hit) or batch.shape[-2:] != plan.size:
        raise fail(
            f"{plan.method}: apply",
            got=f"images {tuple(x.shape)}",
            expected=f"{len(plan)} samples of {plan.size[0]}×{plan.size[1]}, as the plan was made for",
            fix="Plan for these images, or rescale the plan.",
        )
    if source is x:
        source = None
    target = _target(x, out, inplace, plan.method)
    if plan.partner is not None:
        source = _source(x, target, source, plan)
    plan = _beside(plan, x)
    if torch.is_grad_enabled() and (x.requires_grad or (source is not None and source.requires_grad)):
        painted = _Differentiable.apply(x, source, plan, target)
        if target is not None and target is not x:
            return target.copy_(painted)
        return painted
    result = empty_like(x) if target is None else target
    if target is not None:
        # The kernels write past autograd's eyes: whoever has saved these values for a backward pass is to know.
        torch.autograd.graph.increment_version(target)
    _paint(batch, batch if result is x else _as_batch(result), plan, None if source is None else _as_batch(source))
    return result


def _as_batch(x: Tensor) -> Tensor:
    """A view ``[B, T, C, H, W]``."""
    if x.ndim == 4:
        return x.unsqueeze(1)
    return x if x.ndim == 5 else x.view(1, 1, *x.shape)


def _beside(plan: Plan, x: Tensor) -> Plan:
    """The plan on the device of ``x``: from the host it is one copy."""
    if plan.device == x.device:
        return plan
    if plan.device.type == x.device.type == "cuda":
        raise fail(
            f"{plan.method}: apply",
            got=f"images on {x.device}, a plan on {plan.device}",
            expected="one device",
            fix="Move the plan with plan.to(images.device), or leave it on the host.",
        )
    return plan.to(x.device)


def _target(x: Tensor, out: Tensor | None, inplace: bool, method: str) -> Tensor | None:
    if inplace and out is None:
        if _expanded(x):
            raise fail(
                f"{method}: inplace", got="an expanded tensor", expected="memory of its own", fix="Pass x.contiguous()."
            )
        if x.requires_grad and x.is_leaf and torch.is_grad_enabled():
            raise fail(
                f"{method}: inplace",
                got="a leaf that requires grad",
                expected="a tensor to overwrite",
                fix="Pass out=.",
            )
        return x
    if out is None:
        return None
    if not isinstance(out, Tensor):
        got = type(out).__name__
        raise fail(f"{method}: out", got=got, expected="a tensor", fix="Make it with torch.empty_like(x).")
    if inplace or out.shape != x.shape or out.dtype != x.dtype or out.device != x.device:
        raise fail(
            f"{method}: out",
            got="inplace=True as well" if inplace else f"{tuple(out.shape)} {out.dtype} on {out.device}",
            expected=f"{tuple(x.shape)} {x.dtype} on {x.device}",
            fix="Make it with torch.empty_like(x), and give one of inplace and out.",
        )
    if _expanded(out):
        raise fail(
            f"{method}: out", got="an expanded tensor", expected="memory of its own", fix="Pass out.contiguous()."
        )
    if x.numel() and torch._C._overlaps(x, out):
        raise fail(
            f"{method}: out", got="memory of x", expected="memory of its own", fix="Pass inplace=True to overwrite x."
        )
    return out


def _expanded(x: Tensor) -> bool:
    """Whether several elements share one place in memory."""
    return 0 in x.stride() and any(s == 0 and n > 1 for n, s in zip(x.shape, x.stride(), strict=True))


def _source(x: Tensor, target: Tensor | None, source: Tensor | None, plan: Plan) -> Tensor | None:
    """Check whom the partners come from."""
    if source is not None and (source.shape[1:], source.dtype, source.device) != (x.shape[1:], x.dtype, x.device):
        raise fail(
            f"{plan.method}: source",
            got=f"{tuple(source.shape)} {source.dtype} on {source.device}",
            expected=f"images like {tuple(x.shape)} {x.dtype} on {x.device}",
            fix="Partners are pasted as they are.",
        )
    reach, count = plan.reach, 1 if x.ndim == 3 else len(x if source is None else source)
    if reach is not None and (reach[0] < 0 or reach[1] >= count):
        raise fail(
            f"{plan.method}: partner",
            got=f"positions {reach[0]} to {reach[1]}",
            expected=f"positions in a batch of {count}",
            fix="Apply the plan to the batch that it was made for, or give source=.",
        )
    if source is not None and target is not None and source.numel() and torch._C._overlaps(source, target):
        return source.clone()
    return source


def _paint(x: Tensor, out: Tensor, plan: Plan, source: Tensor | None) -> None:
    """Paint ``x [B, T, C, H, W]`` into ``out``, which may be ``x``, with the backend for the device."""
    if not x.numel():
        return
    paint = prepare(plan.fill, x, plan)
    if source is not None and paint.source is x:
        paint = dataclasses.replace(paint, source=source)
    if on_gpu(x):
        done = cuda.apply(x, out, plan.region, plan.hit, paint)
    else:
        compiled = forced() in (None, "cpu") and plan.hit.is_cpu and cpu.supports(x)
        done = compiled and cpu.apply(x, out, plan.region, plan.hit, paint)
    if not done:
        reference.apply(x, out, plan.region, plan.hit, paint)


class _Differentiable(torch.autograd.Function):
    """Gradients flow to kept pixels and to a partner's pasted pixels, and nowhere else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor | None, plan: Plan, target: Tensor | None) -> Tensor:
        ctx.plan, ctx.own_source = plan, source is None
        result = x if target is x else empty_like(x)
        batch = _as_batch(x)
        _paint(batch, batch if result is x else _as_batch(result), plan, None if source is None else _as_batch(source))
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        plan: Plan = ctx.plan
        grad = _as_batch(grads[0])
        painted = plan.mask().to(grad.device)[:, None, None]
        if plan.partner is None:
            return grad.masked_fill(painted, 0).view(grads[0].shape), None, None, None
        share = painted.to(grad.dtype)
        if plan.opacity is not None:
            share = share * plan.opacity.to(grad)[:, None, None, None, None]
        pasted = torch.zeros_like(grad).index_add_(0, plan.partner.to(grad.device), grad * share)
        own = grad * (1 - share)
        if ctx.own_source:
            return (own + pasted).view(grads[0].shape), None, None, None
        return own.view(grads[0].shape), pasted.view(grads[0].shape), None, None
