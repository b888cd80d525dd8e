"""PlanBuffer: a plan at fixed addresses, for CUDA graphs, which replay the same launches on the same memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.plan import Plan, capturing, pack


class PlanBuffer:
    """A plan on a device whose values are replaced in place, between the replays of a CUDA graph.

    A replay decides nothing: it reads what lies in the buffer. So plan on the host, `fill`, replay. What a fill may
    change is everything that a transform draws (regions, hits, partners, opacities, noise keys); what it may not
    change is what the launches were made for: method, fill, kind of region, canvas, and more samples than there is
    room for. Fewer samples are fine: those at the end stay as they are.

    Args:
        plan: the first plan, on the host, for as many samples as there will ever be.
        device: where the images are; ``"cpu"`` works as well.

    Raises:
        AugDropError: for a plan of a composition (give each member a buffer), one that is on a device already, one
            whose partners lie in another batch, or a GPU that is not there.

    Example:
        >>> import augdrop as ad, torch
        >>> t, x = ad.Cutout(4, seed=0), torch.ones(2, 3, 16, 16)
        >>> y = torch.empty_like(x)
        >>> buffer = ad.PlanBuffer(t.plan(x.shape, keys=[0, 1]), device="cpu")
        >>> def step():  # on a GPU: captured once by torch.cuda.graph, then replayed
        ...     t.apply(x, buffer.plan, out=y)
        >>> buffer.fill(t.plan(x.shape, keys=[2, 3]))
        >>> step()
        >>> torch.equal(y, t(x, keys=[2, 3]))
        True
    """

    def __init__(self, plan: Plan, device: torch.device | str = "cuda") -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise fail("PlanBuffer: device", got=f"'{device}'", expected="a GPU in this machine", fix='Pass "cpu".')
        _check_one(plan)
        self._first, self._captured = plan, _launch(plan)
        self.plan: Plan = plan._placed(self.device, non_blocking=True)
        if plan.partner is not None:
            # All that fills are held to; `apply` checks it against its source once, at capture.
            vars(self.plan)["_reach"] = (0, len(plan) - 1)
        self._bytes: Tensor = vars(self.plan)["_bytes"]
        self._stages = [_Stage(self._bytes) for _ in range(2 if self._bytes.is_cuda else 1)]

    def __len__(self) -> int:
        """How many samples there is room for."""
        return len(self._first)

    def fill(self, plan: Plan) -> None:
        """Put another plan in: one copy on the current stream, for which the host does not wait.

        Replay on the same stream, or make the replaying stream wait for this one.

        Args:
            plan: by the same transform for the same canvas, on the host, for at most ``len(self)`` samples.
        """
        self._check(plan)
        whole = self._padded(plan)
        tensors = [t for part in whole._parts(self.device) for t in part.values()]
        self._stages[0].send(tensors, self._bytes)
        self._stages.reverse()

    def _padded(self, plan: Plan) -> Plan:
        """The plan with samples of the first behind it, none of them hit."""
        n, room = len(plan), len(self)
        if n == room:
            return plan
        rest = self._first.take(torch.arange(n, room))
        own = {name: torch.cat([t, rest._tensors()[name]]) for name, t in plan._tensors().items()}
        own["hit"][n:] = False
        if plan.partner is not None:
            own["partner"][n:] = torch.arange(n, room)
        region = {name: torch.cat([t, rest.region.tensors()[name]]) for name, t in plan.region.tensors().items()}
        return dataclasses.replace(plan, region=plan.region.replace(**region), **own)

    def _check(self, plan: Plan) -> None:
        if self._bytes.is_cuda and capturing():
            raise fail(
                "PlanBuffer.fill",
                got="a call while a CUDA graph is captured",
                expected="a call before a replay",
                fix="Capture apply(x, buffer.plan) alone.",
            )
        _check_one(plan)
        if len(plan) > len(self):
            raise fail(
                "PlanBuffer.fill",
                got=f"{len(plan)} samples",
                expected=f"at most {len(self)}, for which the buffer was made",
                fix="Make the buffer (and capture) with a plan for the largest batch; smaller ones are padded.",
            )
        for what, got, expected in zip(_LAUNCH, _launch(plan), self._captured, strict=True):
            if got != expected:
                raise fail(
                    f"PlanBuffer.fill: {what}",
                    got=got,
                    expected=f"{expected}, as captured",
                    fix="Make another buffer, and capture again.",
                )

    def __repr__(self) -> str:
        return f"PlanBuffer({self._first.method}, {len(self)} samples, {len(self._bytes)} bytes on {self.device})"


class _Stage:
    """Host memory that a copy starts from: not written again before that copy is through."""

    def __init__(self, there: Tensor) -> None:
        self.host = torch.empty(there.shape, dtype=torch.uint8, pin_memory=there.is_cuda)
        self.sent = torch.cuda.Event() if there.is_cuda else None

    def send(self, tensors: list[Tensor], there: Tensor) -> None:
        if self.sent is None:
            there.copy_(pack(tensors, out=self.host))
            return
        self.sent.synchronize()  # of the fill before the last: it has long been done
        pack(tensors, out=self.host)
        with torch.cuda.device(there.device):
            there.copy_(self.host, non_blocking=True)
            self.sent.record()


_LAUNCH = ("method", "fill", "kind of region", "canvas", "what the plan holds")


def _launch(plan: Plan) -> tuple[Any, ...]:
    """What a captured launch depends on, in the order of `_LAUNCH`."""
    settings = {
        name: value
        for name, value in vars(plan.region).items()
        if not isinstance(value, Tensor) and name[0] != "_" and name != "size"
    }
    kind = " ".join([type(plan.region).__name__, *(f"{name}={value}" for name, value in settings.items())])
    tensors = plan._tensors() | plan.region.tensors()
    layout = ", ".join(f"{name} {[*t.shape[1:]]} {t.dtype}".replace("torch.", "") for name, t in tensors.items())
    return plan.method, plan.fill, kind, plan.size, layout


def _check_one(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise fail(
            "PlanBuffer",
            got=type(plan).__name__,
            expected="the plan of one method",
            fix="Give each member of a composition a buffer of its own: plans.plans has their plans.",
        )
    for device in (plan.device, plan.region.device):
        if device.type != "cpu":
            raise fail(
                "PlanBuffer",
                got=f"a plan on {device}",
                expected="one on the host",
                fix="Leave it where t.plan made it (from scores on the host, if any): the buffer copies it.",
            )
    reach = plan.reach
    if reach is not None and (reach[0] < 0 or reach[1] >= len(plan)):
        raise fail(
            "PlanBuffer",
            got="partners in another batch",
            expected=f"positions in the batch of {len(plan)}",
            fix="Mix inside the batch, or by partners=(images, labels).",
        )
