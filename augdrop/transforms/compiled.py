"""Transforms inside ``torch.compile``: a transform is one operator, which the compiler does not look into.

The operator also returns what its gradient needs (the mask, partners and weights) and what labels do, so that both are
plain torch and the randomness is drawn once. What nobody needs is empty: images seldom have gradients.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from augdrop import labels
from augdrop.errors import fail
from augdrop.plan import move

if TYPE_CHECKING:
    from augdrop.transforms.base import Transform

_live: weakref.WeakValueDictionary[int, Transform] = weakref.WeakValueDictionary()
_numbers = itertools.count()


def register(transform: Transform) -> None:
    """Give a transform the number by which the operator finds it."""
    transform.__dict__["_handle"] = number = next(_numbers)
    _live[number] = transform


def call(transform: Transform, inputs: tuple[Any, ...], keys: Any, epoch: Any, unsupported: bool) -> Any:
    """What `Transform.forward` does while the compiler traces it."""
    if unsupported or not 1 <= len(inputs) <= 2 or not all(isinstance(v, Tensor) for v in inputs):
        raise fail(
            f"{type(transform).__name__} under torch.compile",
            got="inplace, out, a plan, extra inputs or a nested sample",
            expected="images, or images and labels, as tensors",
            fix="Call it outside the compiled function.",
        )
    keys = torch.as_tensor(keys) if keys is not None else None
    epoch = torch.as_tensor(epoch) if epoch is not None else None
    x = inputs[0]
    grad = x.requires_grad and torch.is_grad_enabled()
    painted, _, partner, _, lam = torch.ops.augdrop.transform(x, transform._handle, keys, epoch, grad)
    if len(inputs) == 1:
        return painted
    y, lam = inputs[1], lam.detach()
    if not transform.mixes:
        return painted, y
    if len(lam) != len(y) and x.ndim == 5:
        lam, partner = labels.OverFrames.of(_Shares(partner, lam), x.shape[1])
    if transform.label_options()["form"] == "pairs":  # type: ignore[index]
        return painted, (y, y[partner], lam.to(torch.float32))
    return painted, torch.ops.augdrop.mix_labels(y, partner, lam, transform._handle)


# A captured plan would be replayed for ever: mode="reduce-overhead" leaves the operator out of its graphs (torch 2.9).
_OUTSIDE_GRAPHS = (torch.Tag.cudagraph_unsafe,) if hasattr(torch.Tag, "cudagraph_unsafe") else ()


@torch.library.custom_op(
    "augdrop::transform", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded, *_OUTSIDE_GRAPHS)
)
def _transform(
    x: Tensor, handle: int, keys: Tensor | None, epoch: Tensor | None, grad: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    transform = _live[handle]
    painted, plan = transform.with_plan(x, keys=keys, epoch=epoch)
    n = len(plan) if grad or transform.mixes else 0
    # The share of each sample's dropped pixels that its partner gives: none where nothing is mixed.
    weight = torch.zeros(n, dtype=torch.float64)
    if n and plan.partner is not None:
        weight = torch.ones(n, dtype=torch.float64) if plan.opacity is None else plan.opacity.clone()
    partner = torch.arange(n) if plan.partner is None or not n else plan.partner.clone()
    lam = plan.lam if n else torch.empty(0, dtype=torch.float64)
    mask = plan.mask() if grad else torch.empty(0, *x.shape[-2:], dtype=torch.bool)
    rest = [mask, partner, weight, lam]
    if x.is_cuda and n:
        rest = move(rest, x.device, non_blocking=True)[1]
    return painted, *(v.to(x.device) for v in rest)  # type: ignore[return-value]


@_transform.register_fake
def _(
    x: Tensor, handle: int, keys: Tensor | None, epoch: Tensor | None, grad: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n = 0
    if grad or _live[handle].mixes:
        frames = x.shape[1] if x.ndim == 5 and getattr(_live[handle], "per_frame", False) else 1
        n = 1 if x.ndim == 3 else x.shape[0] * frames
    mask = x.new_empty((n if grad else 0, *x.shape[-2:]), dtype=torch.bool)
    numbers = [x.new_empty(n, dtype=dtype) for dtype in (torch.int64, torch.float64, torch.float64)]
    return torch.empty_like(x), mask, *numbers  # type: ignore[return-value]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*output[1:4])
    ctx.shares_pixels = _live[inputs[1]].mixes


def _backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None, None, None, None]:
    mask, partner, weight = ctx.saved_tensors
    flat = grad.reshape(len(mask), -1, *mask.shape[1:])
    painted = mask[:, None]
    if not ctx.shares_pixels:
        return flat.masked_fill(painted, 0).reshape(grad.shape), None, None, None, None
    # An erased sample of a choice among methods is its own partner, and gives itself nothing.
    itself = partner == torch.arange(len(partner), device=partner.device)
    given = torch.where(itself, 0, weight).to(grad.dtype)[:, None, None, None] * painted
    kept = 1 - torch.where(itself, 1, weight).to(grad.dtype)[:, None, None, None] * painted
    result = (flat * kept).index_add(0, partner, flat * given)
    return result.reshape(grad.shape), None, None, None, None


_transform.register_autograd(_backward, setup_context=_save)


class _Shares(NamedTuple):
    """The part of a plan that labels need."""

    partner: Tensor
    lam: Tensor


@torch.library.custom_op("augdrop::mix_labels", mutates_args=())
def _mix_labels(y: Tensor, partner: Tensor, lam: Tensor, handle: int) -> Tensor:
    options = _live[handle].label_options() or {}
    return labels.mix(y, _Shares(partner, lam), **options)  # type: ignore[arg-type,return-value]


@_mix_labels.register_fake
def _(y: Tensor, partner: Tensor, lam: Tensor, handle: int) -> Tensor:
    dtype = torch.float64 if y.dtype == torch.float64 else torch.float32
    if y.ndim == 2:
        return torch.empty_like(y, dtype=dtype)
    classes = (_live[handle].label_options() or {})["num_classes"]
    return y.new_empty((y.shape[0], classes), dtype=dtype)
