"""Plan: what was decided for one batch. Small, on the host, serialisable, replayable."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augdrop import fills, regions
from augdrop.errors import AugDropError, fail
from augdrop.fills import Fill
from augdrop.lazy import Lazy
from augdrop.pairing import ends, write_order
from augdrop.regions.base import Region
from augdrop.serialize import decode, encode

VERSION = 1


def _nothing() -> None:
    """A default that leaves the class itself without a value, which would hide one that is yet to be made."""


def _check_kinds(plan: Plan) -> None:
    """Raise for a file's plan whose values are not what `Plan` says: they would fail, or do nothing, when applied."""
    if not isinstance(plan.fill, Fill):
        raise TypeError(f"fill is {plan.fill!r}")
    whole = torch.int64
    wanted = {"hit": torch.bool, "keys": whole, "epochs": whole, "noise": whole, "partner": whole}
    for name, dtype in (wanted | {"opacity": torch.float64}).items():
        value = getattr(plan, name)
        kind = (value.dtype, value.shape) if isinstance(value, Tensor) else value
        none = name in ("partner", "opacity") and kind is None
        if not none and kind != (dtype, plan.hit.shape[:1]):
            raise TypeError(f"{name} is {value!r}")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Plan(Lazy):
    """The drop of B samples: where, what with, from whom, and which samples are hit at all.

    Args:
        method: name of the transform that decided.
        region: where, for all B samples (also those that are not hit).
        fill: what with.
        hit: bool ``[B]``; samples that are not hit stay as they are.
        keys, epochs: int64 ``[B]``, what the draws were keyed by.
        noise: int64 ``[B]``, the key of each sample's noise.
        partner: int64 ``[B]``, the batch position of each sample's partner, or None where nothing is mixed.
        opacity: float64 ``[B]``, the partner's weight inside the region; None is 1.
    """

    method: str
    region: Region
    fill: Fill
    hit: Tensor
    keys: Tensor
    epochs: Tensor
    noise: Tensor
    partner: Tensor | None = dataclasses.field(default_factory=_nothing)
    opacity: Tensor | None = dataclasses.field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.hit)

    @property
    def size(self) -> tuple[int, int]:
        """The canvas, (H, W)."""
        return self.region.size

    @property
    def device(self) -> torch.device:
        return self.hit.device

    def area(self) -> Tensor:
        """Pixels dropped or replaced, int64 ``[B]``; exact, after clipping and overlaps."""
        return self.region.area() * self.hit

    def mask(self) -> Tensor:
        """bool ``[B, H, W]``, True where dropped or replaced."""
        return self.region.mask() & self.hit[:, None, None]

    @property
    def lam(self) -> Tensor:
        """Each sample's own share of its image, float64 ``[B]``: 1 minus the (weighted) share of replaced pixels."""
        if "_lam" in vars(self):
            return vars(self)["_lam"]
        (h, w), hit = self.size, self.arrays("hit")
        if hit is None or self.opacity is not None:
            share = self.area().double() / max(1, h * w)
            return 1 - (share if self.opacity is None else share * self.opacity)
        # In NumPy: operations of torch would take three times as long.
        return torch.from_numpy(1 - self.region.area().numpy() * hit[0] / max(1, h * w))

    def tokens(self, patch: int | tuple[int, int], min_share: float = 0.5) -> Tensor:
        """bool ``[B, N]``, True for each patch of which at least ``min_share`` is dropped; see `Region.tokens`."""
        return self.region.tokens(patch, min_share) & self.hit[:, None]

    def rescale(self, height: int, width: int) -> Plan:
        """The same drop on another canvas, a feature map say; see `Region.rescale`."""
        return dataclasses.replace(self, region=self.region.rescale(height, width))

    def take(self, index: Tensor) -> Plan:
        """The plan of some samples. Partners keep their positions in the whole batch."""
        tensors = {name: t[index] for name, t in self._tensors().items()}
        return dataclasses.replace(self, region=self.region.take(index), **tensors)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Plan:
        """The plan on another device: everything goes over as one packed copy."""
        target, here = torch.device(device), self.device
        if target == here or (target.index is None and target.type == here.type):
            return self
        if target.type == "cuda" and capturing():
            raise fail(
                f"{self.method}: apply",
                got="a plan on the host, while a CUDA graph is captured",
                expected="a plan that stays where it is",
                fix="Capture apply(x, buffer.plan) with buffer = augdrop.PlanBuffer(plan), and fill it before replays.",
            )
        return self._placed(target, non_blocking)

    def _placed(self, device: torch.device, non_blocking: bool) -> Plan:
        """A plan of its own on a device, in one packed copy."""
        parts = self._parts(device)
        packed, tensors = move([t for part in parts for t in part.values()], device, non_blocking)
        moved = iter(tensors)
        own, region, more = ({name: next(moved) for name in part} for part in parts)
        order, own_share = more.get("order"), more.get("lam")
        plan = dataclasses.replace(self, region=self.region.replace(**region).holding(more.get("params")), **own)
        # No fields: a plan is the same plan wherever it is.
        vars(plan).update(_bytes=packed, _order=order, _reach=self.reach)
        if own_share is not None:
            vars(plan)["_lam"] = own_share
        return plan

    def _parts(self, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """What goes to a device: the plan's tensors, the region's, and what only the host can make of them."""
        more = {}
        if device.type != "cpu":
            more = self.region.packing()
            if self.partner is not None:
                more |= {"order": self._order_for_writing(), "lam": self.lam}
        return self._tensors(), self.region.tensors(), more

    @property
    def order(self) -> Tensor | None:
        """In which order samples are written in place, see `augdrop.pairing.write_order`; a plan on a device has it."""
        return vars(self).get("_order")

    @property
    def reach(self) -> tuple[int, int] | None:
        """First and last partner; None without any. A part of a plan on a device waits for it, once."""
        partner = self.partner
        if partner is None or not len(partner):
            return None
        if partner.is_cpu:
            return ends(partner.numpy())
        if partner.is_cuda and "_reach" not in vars(self):
            vars(self)["_reach"] = ends(partner.cpu().numpy())
        return vars(self).get("_reach")

    def _order_for_writing(self) -> Tensor:
        """`order`; all zeros where partners lie in another batch, which nobody overwrites."""
        reach = self.reach
        if self.partner is None or reach is None or reach[0] < 0 or reach[1] >= len(self):
            return torch.zeros(len(self), 3, dtype=torch.int64)
        return torch.from_numpy(write_order(self.partner.cpu().numpy(), self.hit.cpu().numpy()))

    def _tensors(self) -> dict[str, Tensor]:
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: v for name, v in values if isinstance(v, Tensor)}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_dict` reads it back, equal."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {"format": "augdrop-plan", "version": VERSION} | {name: encode(v) for name, v in values}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plan:
        """Read what `to_dict` wrote."""
        if not isinstance(data, dict) or data.get("format") != "augdrop-plan":
            raise fail("Plan", got=str(data)[:60], expected="a saved plan", fix="Save one with plan.save(path).")
        if data.get("version") != VERSION:
            raise fail(
                "Plan: version", got=data.get("version"), expected=str(VERSION), fix="Upgrade augdrop to read it."
            )
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            plan = cls(**{name: decode(value, KINDS) for name, value in data.items() if name in names})
            _check_kinds(plan)
            plan.region.check(len(plan))
        except AugDropError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise fail(
                "Plan", got=f"{type(error).__name__}: {error}", expected="a whole plan", fix="Save it again."
            ) from None
        return plan

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan that `save` wrote; equal to it."""
        return cls.from_dict(saved(path))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        mine, theirs = self._tensors(), other._tensors()
        if (self.method, self.fill, self.region) != (
            other.method,
            other.fill,
            other.region,
        ) or mine.keys() != theirs.keys():
            return False
        return all(
            a.shape == b.shape and torch.equal(a.cpu(), b.cpu())
            for a, b in zip(mine.values(), theirs.values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        (h, w), n = self.size, len(self)
        share = (1 - self.lam).mean().item() if n else 0.0
        partners = "" if self.partner is None else ", with partners"
        return (
            f"Plan({self.method}: {n} of {h}×{w}, {int(self.hit.sum())} hit, {type(self.region).__name__} × {self.fill}"
            f"{partners}, {share:.1%} dropped)"
        )


def saved(path: str | Path) -> Any:
    """The JSON of a plan's file."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:  # no JSON, or no text
        raise AugDropError(f"Plan.load: {path} is not JSON ({error}). Save a plan with plan.save(path).") from None


def capturing() -> bool:
    """Is a CUDA graph being captured on the current stream? Asks no driver where nobody has used one yet."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


KINDS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(regions.Boxes, regions.Grid, regions.Cells, regions.Blocks, regions.Mask),
        *(fills.Constant, fills.PerChannel, fills.Noise, fills.ImageMean, fills.Blur, fills.Partner),
    )
}
"""The classes that a saved plan may name; nothing else is ever built from a file."""


def move(tensors: list[Tensor], device: torch.device, non_blocking: bool) -> tuple[Tensor, list[Tensor]]:
    """Copy tensors to a device in one transfer: its bytes there, and the tensors that they are."""
    there = pack(tensors, pinned=device.type == "cuda").to(device, non_blocking=non_blocking)
    # One view a dtype, and one a tensor: they cost more than the bytes do.
    views = {dtype: there.view(dtype) for dtype in {t.dtype for t in tensors}}
    moved, start = [], 0
    for t in tensors:
        size = t.element_size()
        strides = t.stride() if t.is_contiguous() else torch.empty(t.shape, device="meta").stride()
        moved.append(views[t.dtype].as_strided(t.shape, strides, start // size))
        start += _room(t.numel() * size)
    return there, moved


def pack(tensors: list[Tensor], pinned: bool = False, out: Tensor | None = None) -> Tensor:
    """The bytes of tensors in one buffer, each at a multiple of 16: uint8, ``out`` or new."""
    parts = []
    for t in tensors:
        parts.append(t.cpu().contiguous().view(-1).view(torch.uint8))
        if gap := -t.numel() * t.element_size() % 16:
            parts.append(_ZEROS[:gap])
    if out is None:
        out = torch.empty(sum(map(len, parts)), dtype=torch.uint8, pin_memory=pinned)
    return torch.cat(parts, out=out)


def _room(size: int) -> int:
    return -(-size // 16) * 16


_ZEROS = torch.zeros(16, dtype=torch.uint8)
