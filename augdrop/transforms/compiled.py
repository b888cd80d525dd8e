"""Transforms inside ``torch.compile``: a transform is one operator, which the compiler does not look into.

The operator also returns what its gradient needs (the mask, partners and weights) and what labels do, so that both are
plain torch and the randomness is drawn once. What nobody needs is empty: images seldom have gradients. No two results
share memory, which torch refuses: partners, own shares and weights are the rows of one.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from augdrop import labels
from augdrop.errors import fail
from augdrop.plan import move
from augdrop.plans import Plans

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
    painted, _, numbers = torch.ops.augdrop.transform(x, transform._handle, keys, epoch, grad)
    if len(inputs) == 1:
        return painted
    y = inputs[1]
    options = transform.label_options()
    if options is None:
        return painted, y
    partner, lam = numbers[0], numbers[1].view(torch.float64)
    if len(lam) != len(y) and x.ndim == 5:
        lam, partner = labels.over_frames(labels.Told(lam, partner), x.shape[1])
    if options["form"] == "pairs":
        return painted, (y, y[partner], lam.to(torch.float32))
    return painted, torch.ops.augdrop.mix_labels(y, partner, lam, transform._handle)


# A captured plan would be replayed for ever: mode="reduce-overhead" leaves the operator out of its graphs (torch 2.9).
_OUTSIDE_GRAPHS = (torch.Tag.cudagraph_unsafe,) if hasattr(torch.Tag, "cudagraph_unsafe") else ()


@torch.library.custom_op(
    "augdrop::transform", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded, *_OUTSIDE_GRAPHS)
)
def _transform(
    x: Tensor, handle: int, keys: Tensor | None, epoch: Tensor | None, grad: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The images; the mask, bool ``[B, H, W]``; partner, own share and its weight, 8 bytes each, int64 ``[3, B]``."""
    transform = _live[handle]
    if x.is_cuda and not hasattr(transform, "transforms"):
        # One copy for pixels and labels.
        plan: Any = transform.decide(x, transform.draws(1 if x.ndim == 3 else len(x), keys, epoch))
        plan = plan.to(x.device)
        painted = transform.apply(x, plan)
    else:
        painted, plan = transform.with_plan(x, keys=keys, epoch=epoch)
    if grad and transform.mixes and _chains_within(plan):
        # One mask, one partner and one weight do not tell what two methods did to a sample.
        raise fail(
            f"{type(transform).__name__} under torch.compile",
            got="a gradient of the images through a chain within a choice",
            expected="methods side by side, or no gradient",
            fix="Call it outside the compiled function, or detach the images.",
        )
    mask = plan.mask() if grad else torch.empty(0, *x.shape[-2:], dtype=torch.bool)
    numbers = _numbers_of(transform, plan) if transform.mixes else torch.empty(3, 0, dtype=torch.int64)
    return painted, _there(mask, x), _there(numbers, x)


def _chains_within(plan: Any) -> bool:
    return isinstance(plan, Plans) and any(
        _chains_within(p) or (isinstance(p, Plans) and p.kind == "chain") for p in plan.plans
    )


def _numbers_of(transform: Transform, plan: Any) -> Tensor:
    own, partner = transform.label_shares(plan).lam, plan.partner
    if partner is None:
        partner = torch.arange(len(own), device=own.device)
    # The share of each sample's dropped pixels that its partner gives: none where nothing is mixed.
    weight = torch.zeros_like(own) if plan.partner is None else plan.opacity
    weight = torch.ones_like(own) if weight is None else weight
    return torch.stack([partner, own.view(torch.int64), weight.view(torch.int64)])


def _there(made: Tensor, x: Tensor) -> Tensor:
    return move([made], x.device, non_blocking=True)[1][0] if x.is_cuda and made.is_cpu else made


@_transform.register_fake
def _(x: Tensor, handle: int, keys: Tensor | None, epoch: Tensor | None, grad: bool) -> tuple[Tensor, Tensor, Tensor]:
    per_frame = any(getattr(t, "per_frame", False) for t in _live[handle].modules())
    frames = x.shape[1] if x.ndim == 5 and per_frame else 1
    n = 1 if x.ndim == 3 else x.shape[0] * frames
    mask = x.new_empty((n if grad else 0, *x.shape[-2:]), dtype=torch.bool)
    return torch.empty_like(x), mask, x.new_empty((3, n if _live[handle].mixes else 0), dtype=torch.int64)


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.shares_pixels = _live[inputs[1]].mixes


def _backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None, None, None, None]:
    mask, numbers = ctx.saved_tensors
    flat = grad.reshape(len(mask), -1, *mask.shape[1:])
    painted = mask[:, None]
    if not ctx.shares_pixels:
        return flat.masked_fill(painted, 0).reshape(grad.shape), None, None, None, None
    partner, weight = numbers[0], numbers[2].view(torch.float64)
    # An erased sample of a choice among methods is its own partner, and gives itself nothing.
    itself = partner == torch.arange(len(partner), device=partner.device)
    given = torch.where(itself, 0, weight).to(grad.dtype)[:, None, None, None] * painted
    kept = 1 - torch.where(itself, 1, weight).to(grad.dtype)[:, None, None, None] * painted
    result = (flat * kept).index_add(0, partner, flat * given)
    return result.reshape(grad.shape), None, None, None, None


_transform.register_autograd(_backward, setup_context=_save)


@torch.library.custom_op("augdrop::mix_labels", mutates_args=())
def _mix_labels(y: Tensor, partner: Tensor, lam: Tensor, handle: int) -> Tensor:
    options = _live[handle].label_options() or {}
    return labels.mix(y, labels.Told(lam, partner), **options)  # type: ignore[arg-type,return-value]


@_mix_labels.register_fake
def _(y: Tensor, partner: Tensor, lam: Tensor, handle: int) -> Tensor:
    dtype = torch.float64 if y.dtype == torch.float64 else torch.float32
    if y.ndim == 2:
        return torch.empty_like(y, dtype=dtype)
    classes = (_live[handle].label_options() or {})["num_classes"]
    return y.new_empty((y.shape[0], classes), dtype=dtype)
