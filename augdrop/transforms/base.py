"""What every transform shares: keys to draws, a plan, and pixels, labels and annotations that follow it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from augdrop import labels
from augdrop.annotations import ERASING, MIXING, Policies
from augdrop.checks import plain, plain_arguments, seed_of
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import EPOCHS, Ids, resolve
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.presets import Presets
from augdrop.rng import Draws, stream_key
from augdrop.samples import unpack
from augdrop.samples.edge import is_plain
from augdrop.transforms import compiled
from augdrop.transforms.shapes import batch_size


class Transform(Presets, v2.Transform):
    """Base of all transforms; a torchvision v2 transform that is called with whole batches as well as single samples.

    ``t(x, *targets, keys=None, epoch=None, plan=None, inplace=False, out=None)``: ``x`` is an image ``[C, H, W]``, a
    batch ``[B, C, H, W]`` or a video ``[B, T, C, H, W]``, or a sample of any structure (see `augdrop.samples`). With
    ``plan``, one that was made before is carried out again, on pixels, labels and annotations, and nothing is drawn.
    With ``partners=(images, labels)`` a mix takes the partners from there, position by position.
    """

    citation: ClassVar[Citation | None] = None
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Options whose default is not that of `OPTIONS`."""
    mixes: bool = False
    uses_pixels: bool = False
    """Does the plan depend on the images (by a score map)?"""
    uses_boxes: bool = False
    """Does the plan depend on the samples' object boxes?"""

    _arguments: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = plain_arguments(cls.__init__)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        if args or kwargs:  # a copy or a pickle comes without, and brings its own
            try:
                bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
            except TypeError as error:
                raise fail(cls.__name__, got=str(error), expected=f"{_parameters(cls)}", fix="") from None
            given = dict(bound.arguments)
            given.pop(next(iter(given)))
            object.__setattr__(self, "_arguments", plain(given | given.pop("options", {})))
        return self

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__()
        self._seed_given = seed is not None
        self.seed = seed_of(f"{type(self).__name__}: seed", seed)
        self._place = ""
        # In shared memory: persistent DataLoader workers see the epoch that the main process sets.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._now = self._epoch.numpy()  # the same number, read in a quarter of the time
        self._bind(self.seed, "")
        compiled.register(self)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the transform was made with: ``type(t)(**t.arguments)`` makes it again (add ``seed=t.seed``)."""
        return dict(self.__dict__.get("_arguments", {}))

    def _bind(self, seed: int, place: str) -> None:
        """Take a place in a composition: the same method at two places draws from two streams."""
        self.seed, self._place = seed, place
        self._stream = stream_key(seed, place + type(self).__name__)
        self._signed = int(self._stream.astype(np.int64))  # the same bits, as compiled code takes them soonest

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of calls that bring none, also in DataLoader workers that already run."""
        if not isinstance(epoch, Integral) or not 0 <= epoch < EPOCHS:
            expected = "an integer from 0 to 2**32 - 1"
            raise fail(f"{type(self).__name__}.set_epoch", got=repr(epoch), expected=expected, fix="Count from 0.")
        self._epoch[0] = epoch

    def draws(
        self, batch: int, keys: Ids | None = None, epoch: Ids | None = None, carried: Tensor | None = None
    ) -> Draws:
        """The random numbers of a batch under this transform's stream."""
        ids, epochs = resolve(keys, epoch, batch, self._now.item(), carried)
        return Draws(self._stream, ids, epochs)

    def decide(self, x: Tensor, draws: Draws, **given: Any) -> Plan | Plans:
        """The plan for images ``x`` (their shape is all that counts, unless ``uses_pixels``)."""
        raise NotImplementedError

    def apply(
        self, x: Tensor, plan: Any, *, inplace: bool = False, out: Tensor | None = None, source: Tensor | None = None
    ) -> Tensor:
        """Paint a plan into images; see `augdrop.kernels.dispatch.apply`."""
        raise NotImplementedError

    def with_plan(
        self, x: Tensor, *, keys: Ids | None = None, epoch: Ids | None = None, **given: Any
    ) -> tuple[Tensor, Any]:
        """The transformed images and the plan behind them; ``t.apply(x, plan)`` gives the same images again."""
        plan = self.decide(x, self.draws(batch_size(x), keys, epoch), **given)
        return self.apply(x, plan, source=given.get("partners")), plan

    def tokens(self, patch: int = 16, min_share: float = 0.5, **options: Any) -> Any:
        """The same regions as token drops: see `augdrop.tokens.RegionKeep`, which takes the ``options``."""
        from augdrop.tokens.region_keep import RegionKeep

        return RegionKeep(transform=self, patch=patch, min_share=min_share, **options)

    def label_options(self) -> dict[str, Any] | None:
        """Keyword arguments for `augdrop.labels.mix`, or None where labels stay as they are."""
        return None

    def mix_labels(self, target: Tensor, plan: Plan | Plans, x: Tensor, other: Tensor | None = None) -> Any:
        """The targets of a mixed batch ``x``, as they are where labels are kept; see `augdrop.labels.mix`."""
        options = self.label_options()
        if options is None:
            return target
        shares = self.label_shares(plan)
        if len(plan.hit) != batch_size(x):
            shares = labels.over_frames(shares, x.shape[1])
        return labels.mix(target, shares, other=other, **options)

    def label_shares(self, plan: Any) -> labels.Shares:
        """What labels are mixed by: the plan, unless a member of a composition pastes and leaves labels alone."""
        return plan

    def policy(self) -> Policies:
        """What happens to annotations; of a composition, what each member does to them."""
        return MIXING if self.mixes else ERASING

    def forward(
        self,
        *inputs: Any,
        keys: Ids | None = None,
        epoch: Ids | None = None,
        plan: Plan | Plans | None = None,
        inplace: bool = False,
        out: Tensor | None = None,
        partners: Any = None,
        **given: Any,
    ) -> Any:
        if not inputs:
            raise fail(type(self).__name__, got="no input", expected="images, or a sample", fix="Pass them first.")
        if torch.compiler.is_compiling():
            extras = inplace or any(v is not None for v in (out, plan, partners)) or bool(given)
            return compiled.call(self, inputs, keys, epoch, extras)
        if plan is not None:
            self._check_plan(plan)
        source = others = None
        if partners is not None:
            source, others = _apart(self, inputs, partners)
            given["partners"] = source
        if source is not None or (
            is_plain(inputs[0]) and inputs[0].ndim >= 3 and (len(inputs) == 1 or _is_labels(inputs))
        ):
            x = inputs[0]
            if plan is None:
                plan = self.decide(x, self.draws(batch_size(x), keys, epoch), **given)
            target = inputs[1:]
            # Labels first: if they are wrong, nothing has been painted yet.
            if target and self.mixes:
                if isinstance(plan, Plan) and x.is_cuda and target[0].device == x.device and len(plan) == len(x):
                    plan = plan.to(x.device)  # one copy for labels and pixels
                target = (self.mix_labels(target[0], plan, x, others),)
            x = self.apply(x, plan, inplace=inplace, out=out, source=source)
            return (x, *target) if target else x
        batch = unpack(inputs, labels_getter=self.__dict__.get("labels_getter", "default"))
        if self.mixes and len(batch.groups) > 1:
            raise fail(
                f"{type(self).__name__}",
                got=f"images of {len(batch.groups)} sizes or dtypes",
                expected="one for all samples, for they are mixed",
                fix="Resize or crop before mixing.",
            )
        if out is not None and not (len(batch.groups) == 1 and not batch.groups[0].extra):
            raise fail(
                f"{type(self).__name__}: out", got="several images", expected="one", fix="Leave out= to tensors."
            )
        plans = [] if plan is None else [plan]
        if plan is not None and (len(batch.groups) != 1 or len(plan) % max(1, batch.size)):
            raise fail(
                f"{type(self).__name__}: plan",
                got=f"{len(plan)} samples planned",
                expected=f"a plan for these {batch.size}, all of one size",
                fix="Replay batch by batch, as the plans were made.",
            )
        if plan is None:
            draws = self.draws(batch.size, keys, epoch, batch.keys)
            for group in batch.groups:
                at = group.positions
                part = Draws(draws.stream, draws.keys[at], draws.epochs[at])
                seen = {"boxes": batch.boxes(group)} if self.uses_boxes else {}
                plans.append(self.decide(group.images, part, **given, **seen))

        def paint(images: Tensor, plan: Plan | Plans, ours: bool) -> Tensor:
            return self.apply(images, plan, inplace=inplace or (ours and out is None), out=out)

        options = self.label_options()
        return batch.finish(
            paint,
            plans,
            mixes=self.mixes,
            mix_labels=None if options is None else self.mix_labels,
            num_classes=(options or {}).get("num_classes"),
            policies=self.policy(),
        )

    def _makes(self, plan: Any) -> bool:
        """Is it the kind of plan that the transform makes?"""
        return isinstance(plan, Plan)

    def _check_plan(self, plan: Any) -> None:
        if not self._makes(plan):
            raise fail(
                f"{type(self).__name__}: plan",
                got=type(plan).__name__,
                expected="a plan that such a transform made",
                fix="Replay by the transform that decided; of a composition, with the same members.",
            )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_now"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._now = self._epoch.share_memory_().numpy()
        compiled.register(self)


def _apart(transform: Transform, inputs: tuple[Any, ...], partners: Any) -> tuple[Tensor, Tensor | None]:
    """The images of ``partners``, and their labels, if there are any."""
    given = partners if isinstance(partners, tuple) else (partners,)
    if not (
        transform.mixes and len(inputs) <= len(given) <= 2 and all(isinstance(v, Tensor) for v in (*inputs, *given))
    ):
        raise fail(
            f"{type(transform).__name__}: partners",
            got=f"{[type(v).__name__ for v in given]} for {[type(v).__name__ for v in inputs]}",
            expected="(images, labels) as tensors, for a method that mixes images and labels",
            fix="Pass t(x, y, partners=(images, labels)), or t(x, partners=images).",
        )
    return given[0], given[1] if len(given) == 2 else None


def _is_labels(inputs: tuple[Any, ...]) -> bool:
    return len(inputs) == 2 and is_plain(inputs[1]) and inputs[1].ndim <= 2 and inputs[0].ndim > 3


def _parameters(cls: type) -> str:
    names = [n for n in inspect.signature(cls.__init__).parameters if n not in ("self", "options")]  # type: ignore[misc]
    return ", ".join(names)
