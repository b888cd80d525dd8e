"""Plans: what a composition decided; a chain of plans, or a choice among them for each sample."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.plan import VERSION, Plan, saved


@dataclasses.dataclass(frozen=True)
class Plans:
    """The plans of a composition's members, in order.

    Of a video some members may have a plan for each sample and others (``per_frame``) one for each frame: all that is
    asked of `Plans` is then for each frame.

    Args:
        kind: ``"chain"`` (one after the other) or ``"choice"`` (no sample is hit by more than one).
        plans: one for each member.
    """

    kind: Literal["chain", "choice"]
    plans: tuple[Plan | Plans, ...]

    def __len__(self) -> int:
        return max(len(p) for p in self.plans)

    def spread(self, values: Tensor) -> Tensor:
        """A member's values for each sample, for as many frames as other members have plans for."""
        return values if len(values) == len(self) else values.repeat_interleave(len(self) // len(values), 0)

    @property
    def hit(self) -> Tensor:
        """bool ``[B]``: is the sample hit by any member?"""
        return torch.stack([self.spread(p.hit) for p in self.plans]).any(0)

    @property
    def size(self) -> tuple[int, int]:
        return self.plans[0].size

    def mask(self) -> Tensor:
        """bool ``[B, H, W]``, True where any member drops or replaces."""
        return torch.stack([self.spread(p.mask()) for p in self.plans]).any(0)

    def area(self) -> Tensor:
        """Pixels dropped or replaced by any member, int64 ``[B]``."""
        return self.mask().flatten(1).sum(1)

    @property
    def lam(self) -> Tensor:
        """Each sample's own share, float64 ``[B]``: of a choice that of the chosen member, of a chain the product."""
        return torch.stack([self.spread(p.lam) for p in self._told()]).prod(0)

    @property
    def partner(self) -> Tensor | None:
        """int64 ``[B]``, of a choice: the partner under the chosen member; the sample itself where nothing is mixed."""
        mixing = [] if self.kind == "chain" else [p for p in self._told() if p.partner is not None]
        if not mixing:
            return None
        partner = torch.arange(len(self))
        for p in mixing:
            frames = len(self) // max(1, len(p))
            theirs = self.spread(p.partner * frames) + torch.arange(len(self)) % max(1, frames)  # type: ignore[operator]
            partner = torch.where(self.spread(p.hit), theirs, partner)
        return partner

    @property
    def opacity(self) -> Tensor | None:
        """float64 ``[B]``, of a choice: the partner's weight under the chosen member; None if nothing is mixed."""
        if self.partner is None:
            return None
        opacity = torch.ones(len(self), dtype=torch.float64)
        for p in self._told():
            if p.opacity is not None:
                opacity = torch.where(self.spread(p.hit), self.spread(p.opacity), opacity)
        return opacity

    def take(self, index: Tensor) -> Plans:
        """The plans of some samples; see `Plan.take`."""
        return dataclasses.replace(self, plans=tuple(p.take(index) for p in self.plans))

    def _told(self) -> list[Plan | Plans]:
        """What labels are told by: of a choice, each member's part that mixes."""
        return [_told(p) if self.kind == "choice" else p for p in self.plans]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_dict` reads it back, equal."""
        return {
            "format": "augdrop-plans",
            "version": VERSION,
            "kind": self.kind,
            "plans": [p.to_dict() for p in self.plans],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plans:
        """Read what `to_dict` wrote."""
        known = isinstance(data, dict) and data.get("version") == VERSION and data.get("kind") in ("chain", "choice")
        if not known or not isinstance(data.get("plans"), list) or not data["plans"]:
            raise fail("Plans", got=str(data)[:60], expected="saved plans", fix="Save them with plans.save(path).")
        return cls(data["kind"], tuple(plan_from_dict(p) for p in data["plans"]))

    def save(self, path: str | Path) -> None:
        """Write the plans as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Plans:
        """Read plans that `save` wrote; equal to them."""
        return cls.from_dict(saved(path))


def plan_from_dict(data: dict[str, Any]) -> Plan | Plans:
    """A plan, or the plans of a composition, from what ``to_dict`` wrote."""
    several = isinstance(data, dict) and data.get("format") == "augdrop-plans"
    return Plans.from_dict(data) if several else Plan.from_dict(data)


def methods(plan: Plan | Plans) -> Iterator[Plan]:
    """The plans of the single methods in a plan, in order."""
    if isinstance(plan, Plan):
        yield plan
    else:
        for part in plan.plans:
            yield from methods(part)


def _mixes(plan: Plan | Plans) -> bool:
    return any(part.partner is not None for part in methods(plan))


def _told(plan: Plan | Plans) -> Plan | Plans:
    """Of a chain the member that mixes: what it erases besides is nobody else's."""
    while isinstance(plan, Plans) and plan.kind == "chain" and _mixes(plan):
        mixing = [p for p in plan.plans if _mixes(p)]
        if len(mixing) > 1:
            fix = "Let the chain mix once, or use it outside of the choice."
            raise fail("labels", got="two mixes in a chain within a choice", expected="one", fix=fix)
        (plan,) = mixing
    return plan


def restrict(plan: Plan | Plans, chosen: Tensor) -> Plan | Plans:
    """The same plan with only the ``chosen`` samples (bool ``[B]``), or all of their frames, hit."""
    if isinstance(plan, Plans):
        return dataclasses.replace(plan, plans=tuple(restrict(p, chosen) for p in plan.plans))
    if len(plan) != len(chosen):
        chosen = chosen.repeat_interleave(len(plan) // len(chosen))
    return dataclasses.replace(plan, hit=plan.hit & chosen)
