"""RegionalDropout: where × fill × labels, the algebra that every regional method is a line of."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import NoneType
from typing import Any, Protocol, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from augdrop.annotations import Policy
from augdrop.checks import check_choice, check_probability, check_share, check_whole
from augdrop.errors import fail
from augdrop.fills import Fill, Partner, as_fill
from augdrop.kernels.dispatch import apply
from augdrop.keys import resolve_one
from augdrop.pairing import PER, dataset_partners, pair
from augdrop.plan import Plan
from augdrop.regions.base import Region
from augdrop.rng import Draws, stream_key
from augdrop.samples import edge
from augdrop.transforms import single
from augdrop.transforms.base import Transform
from augdrop.transforms.options import MIX_OPTIONS, OPTIONS, MixOptions, advice
from augdrop.transforms.shapes import batch_size, unseen


class Sampler(Protocol):
    """Draws the regions of a batch on one canvas; see `augdrop.regions` for the ones there are."""

    @property
    def sample(self) -> Callable[..., Region]:
        """``sample(draws, size)``: one region a sample; a method may hand on more, scores say."""
        ...


class RegionalDropout(Transform):
    """Drop a region of each sample: any sampler with any fill.

    Args:
        where: a sampler of regions, such as ``regions.RandomGrid()``.
        fill: a fill, a number, one number a channel, or a name (``"noise"``, ``"normal"``, ``"mean"``, ``"blur"``).
        labels: ``"keep"``, or ``"area"`` to weigh labels by pixels, which needs a partner fill; follows the fill.
        options: see `Options`, and `MixOptions` for partner fills.

    Example:
        >>> import augdrop as ad, torch
        >>> GridMix = ad.RegionalDropout(where=ad.regions.RandomGrid((8, 16)), fill=ad.Partner(), num_classes=2)
        >>> x, y = GridMix(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 0]))
        >>> x.shape, y.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        where: Sampler,
        fill: Fill | float | tuple[float, ...] | str = 0,
        labels: str | None = None,
        **options: Unpack[MixOptions],
    ) -> None:
        options = {**type(self).defaults, **options}  # type: ignore[typeddict-item,assignment]
        super().__init__(seed=options.get("seed"))
        name = type(self).__name__
        for option in options:
            if option not in OPTIONS | MIX_OPTIONS:
                raise fail(
                    f"{name}: option",
                    got=repr(option),
                    expected="a parameter",
                    fix=advice(type(self), option),
                )
        if not callable(getattr(where, "sample", None)):
            raise fail(
                f"{name}: where",
                got=repr(where),
                expected="a sampler with .sample(draws, size)",
                fix="See augdrop.regions.",
            )
        self.where, self.fill = where, as_fill(fill)
        self.mixes = isinstance(self.fill, Partner)
        if labels not in (None, "keep", "area") or (labels == "area" and not self.mixes):
            raise fail(
                f"{name}: labels",
                got=repr(labels),
                expected='"keep", or "area" with fill=Partner()',
                fix="Labels follow partners.",
            )
        self.labels = labels or ("area" if self.mixes else "keep")
        self.p = options.get("p", 1.0)
        if not callable(self.p):
            check_probability(f"{name}: p", self.p)
        self.per_frame = options.get("per_frame", False)
        self.annotations: Policy | None = options.get("annotations")
        if not isinstance(self.annotations, (Policy, NoneType)):
            got = repr(self.annotations)
            raise fail(f"{name}: annotations", got=got, expected="a Policy", fix="Pass ad.Policy(boxes='shrink'), say.")
        self.labels_getter = options.get("labels_getter", "default")
        self.per = options.get("per", "sample")
        check_choice(f"{name}: per", self.per, PER)
        self.num_classes = options.get("num_classes")
        if self.num_classes is not None:
            check_whole(f"{name}: num_classes", self.num_classes, 1)
        self.label_smoothing = options.get("label_smoothing", 0.0)
        self.multi_label = options.get("multi_label", False)
        self.targets = options.get("targets", "soft")
        check_choice(f"{name}: targets", self.targets, ("soft", "pairs"))
        check_share(f"{name}: label_smoothing", self.label_smoothing, below=True)
        self._lanes: single.Lanes = {}
        cls = type(self)
        changed = (cls.decide, cls.apply) != (RegionalDropout.decide, RegionalDropout.apply)
        self._alone = not (self.mixes or changed) and single.knows(self.fill)
        self._blind = cls.inputs is RegionalDropout.inputs

    def plan(self, shape: tuple[int, ...], *, keys: Any = None, epoch: Any = None, **given: Any) -> Plan:
        """Decide for images of ``shape`` (``[C, H, W]``, ``[B, C, H, W]`` or ``[B, T, C, H, W]``) without seeing them.

        Args:
            keys: int64 ``[B]`` (or one integer), the samples' names.
            epoch: one integer, or ``[B]``.
            given: inputs of the method, such as ``scores`` for Attentive CutMix.
        """
        images, batch = unseen(shape)
        return self.decide(images, self.draws(batch, keys, epoch), **given)

    def decide(self, x: Tensor, draws: Draws, *, partners: Tensor | None = None, **given: Any) -> Plan:
        shape, p = x.shape, self.p
        size = (shape[-2], shape[-1])
        if p == 1:  # nothing to draw: the keys of noise are for the few fills that ask
            hit, noise = _everyone(len(draws.keys)).copy(), draws.noise
        else:
            hit, noise = draws.header(self._chances(draws.epochs))
        partner = opacity = None
        if self.mixes:
            hit, draws, partner = self._paired(hit, draws, partners is not None)
        if self.per_frame and len(shape) == 5:
            draws, hit, partner = _each_frame(draws, shape[1], hit, partner)
            noise = draws.noise
        if self._blind and not given:
            region = self.where.sample(draws, size)
        else:
            seen, whose = (x, partner) if partners is None else (partners, None)
            region = self.where.sample(draws, size, **self.inputs(seen, whose, **given))
        if self.mixes:
            opacity = self.opacity(draws)
        _, keys, epochs = draws
        numbers = {"hit": hit, "keys": keys, "epochs": epochs, "noise": noise, "partner": partner, "opacity": opacity}
        return Plan.drawn(numbers, method=type(self).__name__, region=region, fill=self.fill)

    def _paired(self, hit: np.ndarray, draws: Draws, elsewhere: bool) -> tuple[np.ndarray, Draws, np.ndarray]:
        """Who is hit by whose draws, and each sample's partner: its own position if partners are ``elsewhere``."""
        n = len(hit)
        if n == 1:
            return hit if elsewhere else _NOBODY.copy(), draws, _FIRST.copy()
        partner, lead = pair(draws.order(), self.per)
        if self.per != "sample":
            hit, draws = hit[lead], Draws(draws.stream, draws.keys[lead], draws.epochs[lead])
        return hit, draws, np.arange(n) if elsewhere else partner

    def inputs(self, x: Tensor, partner: np.ndarray | None, **given: Any) -> dict[str, Any]:
        """What the sampler takes besides draws and canvas; a method with a score map says so here."""
        if given:
            raise fail(
                type(self).__name__, got=", ".join(given), expected="images, targets, keys, epoch", fix="Leave it out."
            )
        return {}

    def opacity(self, draws: Draws) -> np.ndarray | None:
        """The partner's weight, float64 ``[B]``; None for an opaque paste."""
        return None

    def apply(
        self, x: Tensor, plan: Plan, *, inplace: bool = False, out: Tensor | None = None, source: Tensor | None = None
    ) -> Tensor:
        self._check_plan(plan)
        if x.ndim == 5 and len(plan) == x.shape[0] * x.shape[1] and len(plan) != len(x):
            flat = [None if t is None else t.flatten(0, 1) for t in (x, source)]
            result = apply(flat[0], plan, source=flat[1]).view(x.shape)  # type: ignore[arg-type]
            target = x if inplace else out
            return result if target is None else target.copy_(result)
        return apply(x, plan, inplace=inplace, out=out, source=source)

    def partner_keys(self, keys: Any, length: int, epoch: Any = None) -> Tensor:
        """A partner for each key among the ``length`` items of a data set, whoever shares the batch; int64 ``[B]``."""
        n = 1 if np.ndim(keys) == 0 else len(keys)
        return torch.from_numpy(dataset_partners(self.draws(n, keys, epoch), length))

    def forward(
        self,
        *inputs: Any,
        keys: Any = None,
        epoch: Any = None,
        inplace: bool = False,
        **call: Any,
    ) -> Any:
        """See `Transform`."""
        if self._alone and len(inputs) == 1 and not call:
            image = single.image_of(inputs[0])
            if image is not None:
                return self._paint_alone(image, inputs[0], keys, epoch, inplace)
        return super().forward(*inputs, keys=keys, epoch=epoch, inplace=inplace, **call)

    def _paint_alone(self, x: Tensor, leaf: Any, keys: Any, epoch: Any, inplace: bool) -> Any:
        """One image, as a data set calls for it: the draws and pixels of `decide` and `apply`, without a plan."""
        ours = x is not leaf and edge.is_copy(x, leaf)
        out = x if inplace or ours else torch.empty_like(x)
        lane = single.lane(self._lanes, x, out, self.fill, self.where)
        if lane is not None and lane.alone is not None:
            key, now = resolve_one(keys, epoch, self._now.item())
            chance = self._chance_in(now) if callable(self.p) else float(self.p)
            at = x.data_ptr()
            images = at, at if out is x else out.data_ptr()
            hit = lane.alone(images, (self._signed, key, now, chance), lane.painter, lane.numbers)
        else:
            hit = self._paint_uncompiled(x, out, lane, self.draws(batch_size(x), keys, epoch))
        if not hit and out is not x:
            out.copy_(x)
        return leaf if out is x and not ours else edge.like_image(out, leaf)

    def _paint_uncompiled(self, x: Tensor, out: Tensor, lane: single.Lane | None, draws: Draws) -> bool:
        """`_paint_alone` for the first image of its kind, for large ones, and for samplers of one's own."""
        if lane is None:
            plan = self.decide(x, draws)
            self.apply(x, plan, inplace=out is x, out=None if out is x else out)
            single.remember(self._lanes, x, out, plan, self.where, self._blind)
            return True
        hit, noise = draws.header(self._chances(draws.epochs))
        if not hit[0]:
            return False
        single.paint(lane, x, out, self.where.sample(draws, (x.shape[1], x.shape[2]), **self.inputs(x, None)), noise)
        return True

    def _chances(self, epochs: np.ndarray) -> np.ndarray:
        """The chance of each sample, float64 ``[B]``, or ``[1]`` for all."""
        if not callable(self.p):
            return _chance(self.p)
        numbers = epochs.tolist()
        chances = {epoch: self._chance_in(epoch) for epoch in set(numbers)}
        return np.array([chances[epoch] for epoch in numbers])

    def _chance_in(self, epoch: int) -> float:
        chance = np.asarray(self.p(epoch), np.float64).item()  # type: ignore[operator]
        check_probability(f"{type(self).__name__}: p in epoch {epoch}", chance)
        return chance

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_lanes": {}}

    def label_options(self) -> dict[str, Any] | None:
        if self.labels == "keep":
            return None
        return {
            "num_classes": self.num_classes,
            "smoothing": self.label_smoothing,
            "multi_label": self.multi_label,
            "form": self.targets,
        }

    def policy(self) -> Policy:
        return cast(Policy, super().policy()) if self.annotations is None else self.annotations


@lru_cache(256)
def _chance(p: float) -> np.ndarray:
    return np.array([p], np.float64)


@lru_cache(64)
def _everyone(n: int) -> np.ndarray:
    return np.ones(n, np.bool_)


_NOBODY, _FIRST = np.zeros(1, np.bool_), np.zeros(1, np.int64)
"""A sample alone has no partner."""

_FRAMES = stream_key(0, "frames")


def _each_frame(
    draws: Draws, frames: int, hit: np.ndarray, partner: np.ndarray | None
) -> tuple[Draws, np.ndarray, np.ndarray | None]:
    """From samples to frames: each frame has a key of its own, and its sample's chance and partner."""
    number = np.tile(np.arange(frames), len(draws))
    keys = Draws(_FRAMES, draws.keys.repeat(frames), number).words()[:, 0].view(np.int64)
    each = Draws(draws.stream, keys, draws.epochs.repeat(frames))
    if partner is not None:
        partner = partner.repeat(frames) * frames + number
    return each, hit.repeat(frames), partner
