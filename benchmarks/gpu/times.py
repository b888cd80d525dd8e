"""How fast: AugDrop against a copy of the same images, alone, at batch 1, and replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import augdrop as ad
from benchmarks.gpu.bench import Bench, Task
from benchmarks.gpu.clock import race, returning
from benchmarks.ours import FILLS, IN_PLACE, OUT, Subject, subjects
from benchmarks.timing import Call, Row, Shape, micros, named, ratio, short

BANDWIDTH = 0.9
"""What share of a copy's bandwidth painting out of place is to reach on the largest batch."""


def references(bench: Bench) -> Iterator[Task]:
    """``copy_``, the measure of the rest; a call that does nothing much, which is the least that a launch takes."""
    for shape in bench.shapes:
        for dtype in bench.dtypes:
            row = Row("references", "copy_", "", named(shape), short(dtype))
            yield Task(row, lambda row, s=shape, d=dtype: _reference(bench, row, s, d))
    yield Task(Row("references", "zero_ of 4 bytes", "", "1", "float32"), lambda row: _least(bench, row))


def _reference(bench: Bench, row: Row, shape: Shape, dtype: torch.dtype) -> Row:
    x = bench.images(shape, dtype)
    out = torch.empty_like(x)
    call = lambda: out.copy_(x)  # noqa: E731
    row = _alone(bench, row, call)
    return row._replace(to_copy=1.0, speed=2 * x.numel() * x.element_size() / (row.value or 1) / 1e3)


def _least(bench: Bench, row: Row) -> Row:
    x = torch.ones(1, device=bench.device)
    return _alone(bench, row, x.zero_)


def _alone(bench: Bench, row: Row, call: Call) -> Row:
    busy = race({"": call}, bench.clock.busy, bench.rounds)[""]
    host = race({"": call}, returning(bench.clock), bench.rounds)[""]
    return row._replace(value=micros(busy), host=micros(host))


def methods(bench: Bench) -> Iterator[Task]:
    """Every method and every fill, its plan lying there: what the kernel takes."""
    for shape in bench.shapes:
        for dtype in bench.dtypes:
            for subject in subjects():
                # A map of its own scores is another library's work; a batch of one has no partner.
                if "its own scores" in subject.name or (shape[0] == 1 and subject.transform.mixes):
                    continue
                yield from _states(bench, "methods", subject, shape, dtype)
    for dtype in bench.dtypes:
        for name, fill in FILLS.items():
            subject = Subject(f"fill: {name}", ad.RandomErasing(p=1.0, fill=fill, seed=0))
            yield from _states(bench, "fills", subject, bench.shapes[-1], dtype)


def _states(bench: Bench, section: str, subject: Subject, shape: Shape, dtype: torch.dtype) -> Iterator[Task]:
    for state in (OUT, IN_PLACE):
        row = Row(section, subject.name, state, named(shape), short(dtype), note=subject.note)
        if section == "methods" and state == OUT and shape == bench.shapes[-1] and not subject.note:
            row = row._replace(goal="to_copy", target=1 / BANDWIDTH)
        yield Task(row, lambda row, s=subject, sh=shape, d=dtype: _painted(bench, row, s, sh, d))


def _painted(bench: Bench, row: Row, subject: Subject, shape: Shape, dtype: torch.dtype) -> Row:
    t, x = subject.transform, bench.images(shape, dtype)
    plan = _plan(bench, subject, shape).to(bench.device)
    out, work = torch.empty_like(x), x.clone()
    calls: dict[str, Call] = {
        "copy_": lambda: out.copy_(x),
        OUT: lambda: t.apply(x, plan, out=out),
        IN_PLACE: lambda: t.apply(work, plan, inplace=True),
    }
    calls = {name: calls[name] for name in ("copy_", row.state)}
    busy = race(calls, bench.clock.busy, bench.rounds)
    host = race({row.state: calls[row.state]}, returning(bench.clock), bench.rounds)
    return row._replace(
        value=micros(busy[row.state]), host=micros(host[row.state]), to_copy=ratio(busy[row.state], busy["copy_"])
    )


def _plan(bench: Bench, subject: Subject, shape: Shape) -> Any:
    given = subject.given(torch.empty(shape, device="meta"))
    return subject.transform.plan(shape, keys=range(shape[0]), **given)


def calls(bench: Bench) -> Iterator[Task]:
    """Whole calls, ``t(x, keys=...)``: keys, plan, its copy, the launch."""
    for shape in bench.shapes:
        for dtype in bench.dtypes:
            for subject in subjects():
                if not subject.transform.uses_pixels and not (shape[0] == 1 and subject.transform.mixes):
                    row = Row("calls", subject.name, "new tensor", named(shape), short(dtype))
                    yield Task(row, lambda row, s=subject, sh=shape, d=dtype: _called(bench, row, s.transform, sh, d))


def _called(bench: Bench, row: Row, t: Any, shape: Shape, dtype: torch.dtype) -> Row:
    x, keys = bench.images(shape, dtype), np.arange(shape[0])
    out = torch.empty_like(x)
    contenders: dict[str, Call] = {"copy_": lambda: out.copy_(x), "ours": lambda: t(x, keys=keys)}
    busy = race(contenders, bench.clock.busy, bench.rounds)
    host = race({"ours": contenders["ours"]}, returning(bench.clock), bench.rounds)["ours"]
    in_a_row = race({"ours": contenders["ours"]}, bench.clock.row, bench.rounds)["ours"]
    return row._replace(
        value=micros(busy["ours"]),
        host=micros(host),
        in_a_row=micros(in_a_row),
        to_copy=ratio(busy["ours"], busy["copy_"]),
    )


def graphs(bench: Bench) -> Iterator[Task]:
    """A graph that paints what a plan buffer holds: replayed, refilled and replayed, and the same call without one."""
    for shape in (bench.shapes[0], bench.shapes[-1]):
        for subject in subjects():
            if not subject.transform.uses_pixels and not (shape[0] == 1 and subject.transform.mixes):
                for state, run in (("replay", _replay), ("fill, replay", _refill)):
                    row = Row("graphs", subject.name, state, named(shape), "float32", peer="t.apply(x, plan, out=)")
                    yield Task(row, lambda row, s=subject, sh=shape, r=run: _graph(bench, row, s, sh, r))


def _replay(replay: Call, buffer: ad.PlanBuffer, plan: ad.Plan) -> Call:
    return replay


def _refill(replay: Call, buffer: ad.PlanBuffer, plan: ad.Plan) -> Call:
    def call() -> None:
        buffer.fill(plan)
        replay()

    return call


def _graph(bench: Bench, row: Row, subject: Subject, shape: Shape, make: Callable[..., Call]) -> Row:
    t, x = subject.transform, bench.images(shape, torch.float32)
    out, expected, plan = torch.empty_like(x), torch.empty_like(x), _plan(bench, subject, shape)
    buffer = ad.PlanBuffer(plan, bench.device)
    replay = bench.clock.captured(lambda: t.apply(x, buffer.plan, out=out))
    other = t.plan(shape, keys=range(shape[0], 2 * shape[0]))
    buffer.fill(other)
    replay()
    t.apply(x, other, out=expected)
    if not torch.equal(out, expected):
        raise AssertionError("a replay after a fill does not paint the plan that was filled in")
    contenders = {"ours": make(replay, buffer, plan), "eager": lambda: t.apply(x, plan, out=expected)}
    busy = race(contenders, bench.clock.busy, bench.rounds)
    host = race(contenders, returning(bench.clock), bench.rounds)
    return row._replace(
        value=micros(busy["ours"]), host=micros(host["ours"]), peer_value=micros(host["eager"]),
        to_peer=ratio(host["ours"], host["eager"]),
    )  # fmt: skip
