"""Labels: targets weighted by the pixels that each sample kept, in whatever form the loss wants them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.kernels import backend, ops, soft_labels


class Shares(Protocol):
    """The part of a plan that labels need: `augdrop.Plan` has it, and so have the plans of a composition."""

    @property
    def lam(self) -> Tensor:
        """Own share, float64 ``[B]``."""
        ...

    @property
    def partner(self) -> Tensor | None:
        """Position of the partner, int64 ``[B]``."""
        ...


def mix(
    target: Tensor,
    plan: Shares,
    *,
    num_classes: int | None = None,
    smoothing: float = 0.0,
    multi_label: bool = False,
    form: Literal["soft", "pairs"] = "soft",
    other: Tensor | None = None,
) -> Any:
    """The targets of a mixed batch: own share × own target + the rest × the partner's target.

    The own share is ``plan.lam``: counted pixels, after clipping and overlaps, never the number that was drawn. A
    sample without a partner, or that is not hit, has weight 1.

    Args:
        target: class indices ``[B]``, any integer dtype; one-hot, soft or multi-label targets ``[B, K]``, any dtype.
        plan: the plan (or the plans of a composition) for these B samples.
        num_classes: K, needed for class indices.
        smoothing: label smoothing in [0, 1), as in timm: off ``s / K``, on ``1 - s + s / K``.
        multi_label: K yes-or-no targets a sample: smoothing goes towards 1/2 rather than 1 / K.
        form: ``"soft"``, or ``"pairs"`` for losses that take both targets and a weight.
        other: the partners' targets if partners are not of this batch; ``plan.partner`` then counts in ``other``.

    Returns:
        Soft targets ``[B, K]``, float64 for float64 targets and float32 for all others, whatever the image's dtype.
        With ``form="pairs"`` a tuple ``(target, the partners' targets, own share float32 [B])``, targets as they came.

    Example:
        >>> from augdrop import Plan, fills, regions
        >>> box = regions.Boxes((4, 4), torch.tensor([[[0, 0, 2, 2]], [[0, 0, 4, 4]]]))
        >>> ids = torch.arange(2)
        >>> plan = Plan("CutMix", box, fills.Partner(), torch.tensor([True, False]), ids, ids, ids, ids.flip(0))
        >>> mix(torch.tensor([0, 2]), plan, num_classes=3)
        tensor([[0.7500, 0.0000, 0.2500],
                [0.0000, 0.0000, 1.0000]])
    """
    if form not in ("soft", "pairs"):
        raise fail("labels: form", got=repr(form), expected="'soft' or 'pairs'", fix="The default is soft.")
    if not 0 <= smoothing < 1:
        raise fail("labels: smoothing", got=smoothing, expected="a number in [0, 1)", fix="timm's recipes use 0.1.")
    own, partner = plan.lam, plan.partner
    _check_size(target, len(own), other, partner)
    if partner is None:
        own = torch.ones_like(own)  # what is erased has no partner to give its share to
    others = target if other is None else other.to(target.device)
    if form == "pairs":
        if smoothing:
            raise fail("labels: smoothing", got="form='pairs' as well", expected="0", fix="Smooth in the loss.")
        own, partner = _beside(target, own, partner)
        return target, target if partner is None else others[partner], own.float()
    classes = _check_classes(target, num_classes)
    if other is not None:
        _check_classes(other, num_classes)
    off, on = smoothing / (2 if multi_label else classes), 1 - smoothing
    if others.dtype == target.dtype and _takes(target, others):
        own, partner = _beside(target, own, partner)
        return ops.soft_labels(target, others, partner, own, classes, on, off)
    if target.ndim == 1 and target.is_cpu:
        own, partner = _beside(target, own, partner)
        return soft_labels.mixed(target, others, partner, own, classes, on, off)
    if target.ndim == 1:
        # Rounded once from float64, and where the plan is: a column for the partner's class, one for the own.
        values = torch.stack([off + (1 - own) * on, off + own * on], 1).float()
        values, partner = _beside(target, values.view(torch.int64), partner)
        theirs = target if partner is None else others[partner]
        return _from_indices(target.long(), theirs.long(), values.view(torch.float32), classes, off, off + on)
    own, partner = _beside(target, own, partner)
    theirs = target if partner is None else others[partner]
    soft, theirs = target.double(), theirs.double()
    # Where nothing was pasted, the partner's target must not matter, even if it is NaN.
    weight = own[:, None]
    mixed = torch.where(weight == 1, soft, weight * soft + (1 - weight) * theirs)
    if smoothing:
        mixed = mixed * on + off
    return mixed.to(torch.float64 if target.dtype == torch.float64 else torch.float32)


class Told(NamedTuple):
    """`Shares` without the plan that they are of."""

    lam: Tensor
    partner: Tensor | None


def over_frames(plan: Shares, frames: int) -> Told:
    """Of a plan of B × ``frames`` frames with regions of their own, the shares of B videos: means over the frames."""
    partner = plan.partner
    return Told(plan.lam.view(-1, frames).mean(1), None if partner is None else partner[::frames] // frames)


def _from_indices(target: Tensor, theirs: Tensor, values: Tensor, classes: int, off: float, whole: float) -> Tensor:
    """Soft targets of class indices: two values a row, ``values [B, 2]``, and ``whole`` where they fall into one."""
    values = values.masked_fill((target == theirs)[:, None], whole)
    out = torch.full((len(target), classes), off, dtype=torch.float32, device=target.device)
    return out.scatter_(1, torch.stack([theirs, target], 1), values)


def _takes(target: Tensor, others: Tensor) -> bool:
    """Whether the GPU's kernel mixes these; it has no gradient, which targets of a teacher may want."""
    learns = torch.is_grad_enabled() and (target.requires_grad or others.requires_grad)
    return not learns and not target.is_complex() and backend.takes(target)


def _beside(target: Tensor, numbers: Tensor, partner: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Numbers (of 8 bytes, ``[B]`` or ``[B, 1]``) and partners on the device of the targets: one copy, and no wait."""
    device = target.device
    if partner is None or numbers.device == device or device.type != "cuda":
        return numbers.to(device), None if partner is None else partner.to(device)
    packed = torch.empty((2, len(partner)), dtype=torch.int64, pin_memory=True)
    there = torch.stack([numbers.view(torch.int64).view(-1), partner], out=packed).to(device, non_blocking=True)
    return there[0].view(numbers.dtype).view(numbers.shape), there[1]


def _check_size(target: Tensor, size: int, other: Tensor | None, partner: Tensor | None) -> None:
    if not isinstance(target, Tensor) or target.ndim == 0 or len(target) != size:
        got = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
        raise fail(
            "labels",
            got=got,
            expected=f"a tensor with one target for each of {size} samples",
            fix="Check the batch axis.",
        )
    if other is None:
        return
    if other.shape[1:] != target.shape[1:]:
        raise fail(
            "labels of the partners",
            got=tuple(other.shape),
            expected=f"targets like {tuple(target.shape)}",
            fix="Give both in one form.",
        )
    if partner is not None and partner.device.type == "cpu" and size and int(partner.max()) >= len(other):
        raise fail(
            "labels of the partners",
            got=f"{len(other)} targets",
            expected=f"one for partner {int(partner.max())}",
            fix="Give the targets of everything that partners come from.",
        )


def _check_classes(target: Tensor, num_classes: int | None) -> int:
    """How many classes there are."""
    if target.ndim == 2:
        if num_classes not in (None, target.shape[1]):
            raise fail(
                "labels",
                got=f"targets {tuple(target.shape)}",
                expected=f"{num_classes} classes in the last axis",
                fix="Leave num_classes out, or make it agree.",
            )
        return target.shape[1]
    if target.ndim != 1 or target.dtype.is_floating_point or target.dtype == torch.bool:
        raise fail(
            "labels",
            got=f"{target.dtype} {tuple(target.shape)}",
            expected="integer class indices [B], or targets [B, K]",
            fix="Pass target.long() for indices.",
        )
    if num_classes is None:
        raise fail(
            "labels", got="class indices without num_classes", expected="num_classes", fix="Pass num_classes=1000, say."
        )
    # Reading values back from a device would make the host wait for it.
    if target.device.type == "cpu":
        wrong = soft_labels.first_outside(soft_labels.indices(target), num_classes)
        if wrong >= 0:
            raise fail(
                "labels",
                got=f"class {target[wrong].item()} at position {wrong}",
                expected=f"classes from 0 to {num_classes - 1}",
                fix="Check num_classes, or map what is to be ignored to a class.",
            )
    return num_classes
