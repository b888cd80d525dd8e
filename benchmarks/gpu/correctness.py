"""Is it right? What the device's kernels paint, against the definition on the device and the kernels of the host."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import augdrop as ad
from augdrop import tokens
from augdrop.kernels.dispatch import DTYPES, apply, use_backend
from augdrop.plan import Plan
from augdrop.tokens.tome import match, merge
from benchmarks.gpu.bench import Bench, Task
from benchmarks.gpu.cases import FILLS, WHERES
from benchmarks.timing import Row, Shape, named

LAYOUTS = (torch.contiguous_format, torch.channels_last)
_USUAL = [(torch.uint8, torch.channels_last), (torch.float32, torch.contiguous_format)]


def tasks(bench: Bench) -> Iterator[Task]:
    """Every region with every fill, then every method, then tokens: a row each, over dtypes, layouts and states."""
    for where, fill in itertools.product(WHERES, FILLS):
        # Every dtype and layout where the region is the simplest, for their way does not depend on the region, and each
        # is a kernel to compile.
        cases = [*itertools.product(DTYPES, LAYOUTS)] if where == "boxes" else _USUAL
        yield _task(bench, f"{where} × {fill}", lambda row, w=where, f=fill, c=cases: _pairs(bench, row, w, f, c))
    for name in (*ad.METHODS, "OneOf"):
        yield _task(bench, name, lambda row, name=name: _method(bench, row, name))
    yield _task(bench, "tokens: gather, scatter, merge", lambda row: _tokens(bench, row))


def _task(bench: Bench, name: str, run: Any) -> Task:
    return Task(Row("correctness", name, shape=named(bench.small), goal="value", target=0.0), run)


class Tally:
    """Cases tried, and how many of them differ from the host's, by how much at most."""

    def __init__(self) -> None:
        self.cases, self.wrong, self.worst, self.first, self.odd = 0, 0, 0.0, "", 0

    def compare(self, what: str, got: Tensor, want: Tensor) -> None:
        self.cases += 1
        got, want = got.cpu(), want.cpu()
        if _bits(got) != _bits(want):
            self.wrong += 1
            self.first = self.first or what
            self.worst = max(self.worst, float((got.double() - want.double()).abs().max()))

    def beside(self, got: Tensor, definition: Tensor) -> None:
        # Told, not judged: a sum in plain torch has an order of its own on each device.
        self.odd += _bits(got.cpu()) != _bits(definition.cpu())

    def row(self, row: Row) -> Row:
        note = f"{self.cases} cases, all equal bit for bit"
        if self.wrong:
            note = f"{self.wrong} of {self.cases} cases differ, by {self.worst:g} at most; first: {self.first}"
        if self.odd:
            note += f"; plain torch on the device differs in {self.odd}"
        return row._replace(value=float(self.wrong), note=note)


def _bits(x: Tensor) -> bytes:
    return x.detach().contiguous().view(torch.uint8).numpy().tobytes()


def plan(where: str, fill: str, shape: Shape) -> Plan:
    """A plan that hits some of the samples, each one's partner being the one before."""
    mixes = fill in ("partner", "blend")
    t = ad.RegionalDropout(where=WHERES[where], fill=FILLS[fill], p=0.8, seed=3)
    made = t.plan(shape, keys=range(shape[0]))
    opacity = torch.linspace(0, 1, shape[0], dtype=torch.float64) if fill == "blend" else None
    partner = torch.arange(shape[0]).roll(1) if mixes else None
    return replace(made, opacity=opacity, partner=partner)


def _pairs(bench: Bench, row: Row, where: str, fill: str, cases: Iterable[Any]) -> Row:
    tally, decided = Tally(), plan(where, fill, bench.small)
    for dtype, layout in cases:
        host = _images(bench.small, dtype).contiguous(memory_format=layout)
        with use_backend("cpu"):
            by_cpu = apply(host, decided)
        x = host.to(bench.device)
        with use_backend("reference"):
            by_definition = apply(x, decided)
        what = f"{dtype}, {layout}".replace("torch.", "")
        with _checked(bench):
            painted = apply(x, decided)
            tally.compare(what, painted, by_cpu)
            tally.beside(painted, by_definition)
            tally.compare(f"{what}, out=", apply(x, decided, out=torch.empty_like(x)), by_cpu)
            tally.compare(f"{what}, in place", apply(x.clone(), decided, inplace=True), by_cpu)
    return tally.row(row)


def _method(bench: Bench, row: Row, name: str) -> Row:
    """Whole calls: plan, copy, paint and labels."""
    tally, n = Tally(), bench.small[0]
    options = {"num_classes": 5} if name != "OneOf" and ad.METHODS[name]().mixes else {}
    t: Any = (
        ad.OneOf([ad.CutMix(num_classes=5), ad.GridMask((8, 16)), ad.Mixup(num_classes=5)], seed=0)
        if name == "OneOf"
        else ad.METHODS[name](p=1.0, seed=0, **options)
    )
    for dtype in (torch.uint8, torch.bfloat16, torch.float32):
        host, y = _images(bench.small, dtype), torch.arange(n) % 5
        given = {"scores": torch.rand(n, 7, 7, generator=torch.Generator().manual_seed(0))} if t.uses_pixels else {}
        expected = t(host, y, keys=range(n), **given)
        with _checked(bench):
            moved = {k: v.to(bench.device) for k, v in given.items()}
            got = t(host.to(bench.device), y.to(bench.device), keys=range(n), **moved)
        tally.compare(f"{dtype}", got[0], expected[0])
        tally.compare(f"{dtype}, labels", got[1], expected[1])
    return tally.row(row)


def _tokens(bench: Bench, row: Row) -> Row:
    tally, generator = Tally(), torch.Generator().manual_seed(0)
    for dtype in (torch.uint8, torch.float16, torch.float32, torch.float64):
        x = (torch.rand(4, 50, 40, generator=generator) * 50).to(dtype)
        selection = tokens.MAE(ratio=0.75, seed=0)(x, keys=range(4))
        there, moved = x.to(bench.device), selection.to(bench.device)
        with _checked(bench):
            kept = moved.gather(there)
            whole = moved.scatter(kept, fill=1)
        tally.compare(f"gather {dtype}", kept, selection.gather(x))
        tally.compare(f"scatter {dtype}", whole, selection.scatter(selection.gather(x), fill=1))
    source = match(torch.rand(4, 50, 40, generator=generator), 12, 1)
    x = torch.rand(4, 50, 40, generator=generator)
    with _checked(bench):
        merged = merge(x.to(bench.device), source.to(bench.device), 38)
    tally.compare("merge", merged.x, merge(x, source, 38).x)
    return tally.row(row)


def _checked(bench: Bench) -> Any:
    return nullcontext() if bench.backend is None else use_backend(bench.backend)


def _images(shape: Shape, dtype: torch.dtype) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 50
    return values > 0 if dtype == torch.bool else values.abs().to(dtype) if dtype == torch.uint8 else values.to(dtype)
