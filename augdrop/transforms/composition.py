"""Compositions: one method after the other, or one of several for each sample."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from augdrop import labels
from augdrop.annotations import Policies
from augdrop.errors import fail
from augdrop.keys import Ids
from augdrop.plan import Plan
from augdrop.plans import Plans, restrict
from augdrop.rng import Draws
from augdrop.samples import unpack
from augdrop.samples.edge import is_plain
from augdrop.transforms.base import Transform
from augdrop.transforms.shapes import unseen


class _Composition(Transform):
    """Members with a place each: the same method at two places draws from two streams."""

    kind: ClassVar[Literal["chain", "choice"]]

    def __init__(self, transforms: Sequence[Transform], seed: int | None = None) -> None:
        super().__init__(seed=seed)
        name = type(self).__name__
        listed = isinstance(transforms, Iterable)
        transforms = list(transforms) if listed else [transforms]
        if not (listed and transforms) or not all(isinstance(t, Transform) for t in transforms):
            raise fail(
                name,
                got=[type(t).__name__ for t in transforms] if listed else type(transforms[0]).__name__,
                expected="a list of one or more AugDrop transforms",
                fix="Other transforms go around it, in torchvision's v2.Compose.",
            )
        # Copies, so that a transform keeps its own stream when it is also used alone or at another place.
        self.transforms = torch.nn.ModuleList(copy.deepcopy(t) for t in transforms)
        self.mixes = any(t.mixes for t in transforms)
        self.uses_pixels = any(t.uses_pixels for t in transforms)
        self.uses_boxes = any(t.uses_boxes for t in transforms)
        self._bind(self.seed, "")

    @property
    def members(self) -> list[Transform]:
        return list(self.transforms)  # type: ignore[arg-type]

    def _bind(self, seed: int, place: str) -> None:
        super()._bind(seed, place)
        for i, t in enumerate(self.members if hasattr(self, "transforms") else []):
            # A member keeps a seed it was given; the others follow the composition's.
            t._bind(t.seed if t._seed_given else seed, f"{place}{type(self).__name__}/{i}/")

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        for t in self.members:
            t.set_epoch(epoch)

    def _makes(self, plan: Any) -> bool:
        return (
            isinstance(plan, Plans)
            and plan.kind == self.kind
            and len(plan.plans) == len(self.members)
            and all(t._makes(p) for t, p in zip(self.members, plan.plans, strict=True))
        )

    def label_options(self) -> dict[str, Any] | None:
        return next((o for t in self.members if (o := t.label_options()) is not None), None)

    def policy(self) -> Policies:
        return tuple(t.policy() for t in self.members)

    def _draws_of(self, member: Transform, draws: Draws) -> Draws:
        return Draws(member._stream, draws.keys, draws.epochs)

    def extra_repr(self) -> str:
        return ""


def _meant_for(member: Transform, given: dict[str, Any]) -> dict[str, Any]:
    """What a composition was given that this member can use: object boxes, score maps, partners."""
    wanted = {"boxes": member.uses_boxes, "scores": member.uses_pixels, "partners": member.mixes}
    return {name: value for name, value in given.items() if wanted.get(name, True)}


class Compose(_Composition):
    """Methods one after the other.

    torchvision's ``v2.Compose`` works too, but cannot tell two equal methods with one seed apart; this one can.

    Args:
        transforms: AugDrop transforms.
        seed: for the members that were given none.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.Compose([ad.Cutout(4), ad.Cutout(4)], seed=0)
        >>> t(torch.ones(2, 3, 16, 16), keys=[5, 6]).shape
        torch.Size([2, 3, 16, 16])
    """

    kind = "chain"

    def decide(self, x: Tensor, draws: Draws, **given: Any) -> Plans:
        """The members' plans; members that look at pixels see the output of those before them."""
        plans = []
        for i, t in enumerate(self.members):
            mine = _meant_for(t, given)
            plan = t.decide(x, self._draws_of(t, draws), **mine)
            plans.append(plan)
            if isinstance(x, Tensor) and any(later.uses_pixels for later in self.members[i + 1 :]):
                x = t.apply(x, plan, source=mine.get("partners"))
        return Plans("chain", tuple(plans))

    def plan(self, shape: tuple[int, ...], *, keys: Any = None, epoch: Any = None, **given: Any) -> Plans:
        """Decide for images of ``shape`` without seeing them; see `RegionalDropout.plan`."""
        images, batch = unseen(shape)
        return self.decide(images, self.draws(batch, keys, epoch), **given)

    def apply(
        self, x: Tensor, plan: Plans, *, inplace: bool = False, out: Tensor | None = None, source: Tensor | None = None
    ) -> Tensor:
        self._check_plan(plan)
        if inplace and out is not None:
            raise fail("Compose", got="inplace=True and out=", expected="one of them", fix="Drop one.")
        for i, (t, p) in enumerate(zip(self.members, plan.plans, strict=True)):
            fresh = i == 0 or (torch.is_grad_enabled() and x.requires_grad)
            place: dict[str, Any] = {"inplace": inplace, "out": out if i == 0 else None} if fresh else {"inplace": True}
            x = t.apply(x, p, source=source if t.mixes else None, **place)
        return x if out is None or x is out else out.copy_(x)

    def mix_labels(self, target: Tensor, plan: Plans, x: Tensor, other: Tensor | None = None) -> Any:
        """The targets, mixed by one member after the other."""
        for t, p in zip(self.members, plan.plans, strict=True):
            target = t.mix_labels(target, p, x, other)
        return target

    def forward(
        self, *inputs: Any, keys: Ids | None = None, epoch: Ids | None = None, plan: Any = None, **call: Any
    ) -> Any:
        if not self._forward_hooks and torch.compiler.is_compiling() and plan is None:
            for t in self.members:
                out = t(*inputs, keys=keys, epoch=epoch, **call)
                inputs = out if isinstance(out, tuple) else (out,)
            return inputs if len(inputs) > 1 else inputs[0]  # pyright: ignore[reportGeneralTypeIssues]
        if len(inputs) == 1 and is_plain(inputs[0]):
            return super().forward(*inputs, keys=keys, epoch=epoch, plan=plan, **call)
        return self._step_by_step(inputs, keys, epoch, plan, **call)

    def _step_by_step(self, inputs: tuple[Any, ...], keys: Any, epoch: Any, plan: Any, **call: Any) -> Any:
        """Structured samples go through each member whole, with the keys of the first call."""
        if plan is not None:
            self._check_plan(plan)
        if keys is None and plan is None:
            batch = unpack(inputs)
            draws = self.draws(batch.size, None, epoch, batch.keys)
            keys, epoch = draws.keys, draws.epochs
        for t, p in zip(self.members, [None] * len(self.members) if plan is None else plan.plans, strict=True):
            result = t(*inputs, keys=keys, epoch=epoch, plan=p, **_meant_for(t, call))
            inputs = result if len(inputs) > 1 else (result,)
            if call.get("out") is not None:  # which is what the others go on with
                call |= {"out": None, "inplace": True}
        return inputs if len(inputs) > 1 else inputs[0]  # pyright: ignore[reportGeneralTypeIssues]


def _labels_getters(t: Transform) -> list[Any]:
    """Where the methods that mix labels find them."""
    if isinstance(t, _Composition):
        return [getter for member in t.members for getter in _labels_getters(member)]
    return [] if t.label_options() is None else [t.__dict__.get("labels_getter", "default")]


def _gets_labels(t: Transform, plan: Any) -> Tensor | None:
    """bool ``[B]``: is the sample hit by a method that mixes labels? None where there is no such method."""
    if not isinstance(t, _Composition):
        return None if t.label_options() is None else plan.hit
    parts = [_gets_labels(member, part) for member, part in zip(t.members, plan.plans, strict=True)]
    found = [plan.spread(hit) for hit in parts if hit is not None]
    return torch.stack(found).any(0) if found else None


class OneOf(_Composition):
    """One of several methods for each sample, by weight.

    Every member sees the batch as it came: partners are taken from the original images. A sample's boxes, masks and
    keypoints go by the `Policy` of the member that was drawn for it.

    Args:
        transforms: AugDrop transforms; `Identity` leaves a sample as it is.
        weights: chances of the members, not negative, in any unit; equal by default.
        seed: for the choice, and for the members that were given none.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.OneOf([ad.CutMix(num_classes=10), ad.GridMask(), ad.Identity()], weights=[4, 4, 2], seed=0)
        >>> x, y = t(torch.rand(8, 3, 32, 32), torch.arange(8), keys=range(8))
        >>> y.shape, y.sum(1).allclose(torch.ones(8))
        (torch.Size([8, 10]), True)
    """

    def __init__(
        self, transforms: Sequence[Transform], weights: Sequence[float] | None = None, seed: int | None = None
    ) -> None:
        super().__init__(transforms, seed)
        n = len(self.transforms)
        given = [1.0] * n if weights is None else list(weights) if isinstance(weights, Iterable) else []
        chances = [w for w in given if isinstance(w, Real) and w >= 0]
        if not len(chances) == len(given) == n or not 0 < sum(chances) < float("inf"):
            raise fail(
                "OneOf: weights",
                got=weights,
                expected=f"a list of {n} numbers, none negative, not all 0",
                fix="Give one a transform.",
            )
        forms = [o for t in self.members if (o := t.label_options()) is not None]
        if other := next((form for form in forms if form != forms[0]), None):
            raise fail(
                "OneOf",
                got=f"mixes with {forms[0]} and with {other}",
                expected="one form of labels",
                fix="Give each the same num_classes, label_smoothing, multi_label and targets.",
            )
        getters = [getter for t in self.members for getter in _labels_getters(t)]
        if any(getter != getters[0] for getter in getters):
            raise fail(
                "OneOf",
                got="mixes that find labels in different places",
                expected="one labels_getter",
                fix="Give each the same.",
            )
        self.labels_getter = getters[0] if getters else "default"
        self.weights = given
        self._bounds = np.cumsum(np.asarray(given, np.float64) / sum(given))

    kind = "choice"

    def decide(self, x: Tensor, draws: Draws, **given: Any) -> Plans:
        choice = np.searchsorted(self._bounds, draws.uniforms(1)[:, 0], side="right").clip(max=len(self.weights) - 1)
        plans = []
        for i, t in enumerate(self.members):
            plan = t.decide(x, self._draws_of(t, draws), **_meant_for(t, given))
            plans.append(restrict(plan, torch.from_numpy(choice == i)))
        return Plans("choice", tuple(plans))

    plan = Compose.plan

    def label_shares(self, plan: Plans) -> labels.Shares:
        """The plan, but what is erased, or pasted by a member that keeps labels, costs a sample no share."""
        mixed = _gets_labels(self, plan)
        return plan if mixed is None else labels.Told(torch.where(mixed, plan.lam, 1.0), plan.partner)

    def apply(
        self, x: Tensor, plan: Plans, *, inplace: bool = False, out: Tensor | None = None, source: Tensor | None = None
    ) -> Tensor:
        self._check_plan(plan)
        chosen = [(t, p) for t, p in zip(self.members, plan.plans, strict=True) if bool(p.hit.any())]
        simple = [(t, p) for t, p in chosen if isinstance(p, Plan)]
        nested = [(t, p) for t, p in chosen if isinstance(p, Plans)]
        # A single mix can run in place if it runs first; otherwise the batch as it came is kept for those who need it.
        simple.sort(key=lambda part: not part[0].mixes)
        needed = bool(nested) or (source is None and sum(t.mixes for t, _ in simple) > 1)
        original = x.clone() if inplace and needed else x
        pasted = original if source is None else source
        grad = torch.is_grad_enabled() and x.requires_grad
        result = x
        for i, (t, p) in enumerate(simple):
            partners = pasted if t.mixes and pasted is not result else None
            result = t.apply(result, p, inplace=not grad if i else inplace, out=None if i else out, source=partners)
        if not simple and not inplace:
            result = x.clone() if out is None else out.copy_(x)
        for t, p in nested:
            hit = p.hit.to(x.device)
            hit = hit.view(len(x), -1, *[1] * (x.ndim - 2))[:, :1] if x.ndim > 3 else hit  # frames share a choice
            spliced = torch.where(hit, t.apply(original, p, source=source if t.mixes else None), result)
            result = spliced if grad else result.copy_(spliced)
        return result
