"""``GPU.md`` for people, ``gpu.json`` for programs, ``gpu.png`` for a glance; written anew after every row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine, plot
from benchmarks.report import (
    DTYPE,
    MICROS,
    NAME,
    PEER,
    PEER_MICROS,
    SHAPE,
    STATE,
    TO_COPY,
    TO_PEER,
    Column,
    number,
    save,
    tables,
)
from benchmarks.timing import Row


def verdict(row: Row) -> str:
    """The target and whether it is met, in the words of the target."""
    if row.failed or row.met is None:
        return row.note or "–"
    words = {
        "to_copy": f"≥ {1 / (row.target or 1):.0%} of a copy's bandwidth",
        "share": f"≤ {row.target:.0%} of a step",
        "to_peer": "faster than the peer",
        "value": "no difference",
    }[row.goal or ""]
    return f"{'met' if row.met else '**not met**'} ({words}){'; ' if row.note else ''}{row.note}"


def _share(row: Row) -> str:
    return "–" if not row.to_copy else f"{1 / row.to_copy:.0%}"


HOST: Column = ("host µs", lambda r: number(r.host))
BANDWIDTH: Column = ("copy's bandwidth", _share)
TARGET: Column = ("target", verdict)

SECTIONS: dict[str, tuple[str, str, tuple[Column, ...]]] = {
    "correctness": (
        "Is it right?",
        "On this device, against the CPU's kernels: out of place, `out=`, in place; contiguous and channels_last; "
        "samples that are hit and others. Where plain torch on the device gives something else, it says so.",
        (NAME, SHAPE, TARGET),
    ),
    "references": (
        "What the device takes",
        "`out.copy_(x)` is the measure of the other tables. µs are the device's own, its queue being full; host µs are "
        "until the call returns.",
        (NAME, SHAPE, DTYPE, MICROS, ("GB/s", lambda r: number(r.speed)), HOST, TARGET),
    ),
    "methods": (
        "Every method",
        "`t.apply(x, plan)` with its plan on the device, all samples hit: the kernel's own time.",
        (NAME, STATE, SHAPE, DTYPE, MICROS, TO_COPY, BANDWIDTH, HOST, TARGET),
    ),
    "fills": (
        "Fills",
        "The same, in Random Erasing's rectangles. The image's mean and the blur read the image a first time.",
        (NAME, STATE, SHAPE, DTYPE, MICROS, TO_COPY, BANDWIDTH, HOST, TARGET),
    ),
    "calls": (
        "Whole calls",
        "`t(x, keys=...)`: draws on the host, one copy of the plan, one launch.",
        (NAME, SHAPE, DTYPE, MICROS, HOST, ("in a row µs", lambda r: number(r.in_a_row)), TO_COPY, TARGET),
    ),
    "graphs": (
        "CUDA graphs",
        "A graph around `t.apply(x, buffer.plan, out=y)`, with its `PlanBuffer` filled anew or not; the plan is made "
        "beforehand. Beside it what the host takes for the same without a graph.",
        (NAME, STATE, SHAPE, MICROS, HOST, ("eager, host µs", lambda r: number(r.peer_value)), TO_PEER, TARGET),
    ),
    "peers": (
        "Peers",
        "Calls in a row on the device, the same law, state and labels on both sides; below 1 we are faster.",
        (NAME, PEER, STATE, SHAPE, DTYPE, MICROS, HOST, PEER_MICROS, TO_PEER, TARGET),
    ),
    "DALI": (
        "DALI's GPU operators",
        "Their pipeline with the operator less the pipeline without; ours called on the same batch.",
        (NAME, PEER, SHAPE, MICROS, PEER_MICROS, TO_PEER, TARGET),
    ),
    "training": (
        "Training",
        "A whole step under AMP (bfloat16), channels_last, on uint8 batches from pinned memory that the Prefetcher "
        "copies ahead; AugDrop on the Prefetcher's stream, or in line before the model.",
        (
            *(NAME, STATE, SHAPE, ("step µs", lambda r: number(r.value))),
            *(PEER, ("without µs", lambda r: number(r.peer_value))),
            *(("cost", lambda r: "–" if r.share is None else f"{r.share:.1%}"), TARGET),
        ),
    ),
}
"""Title, what is measured, and columns of each section."""


def describe(device: torch.device) -> dict[str, Any]:
    """The device, and the machine around it."""
    about: dict[str, Any] = {"device": "none: the CPU stands in"}
    if device.type == "cuda":
        p = torch.cuda.get_device_properties(device)
        driver = Path("/proc/driver/nvidia/version")
        about = {
            "device": p.name,
            "compute capability": f"{p.major}.{p.minor}",
            "device memory": f"{p.total_memory / 2**30:.0f} GiB",
            "multiprocessors": p.multi_processor_count,
            "CUDA": torch.version.cuda,
            "driver": driver.read_text().splitlines()[0] if driver.exists() else None,
        }
    around = machine.describe()
    around["versions"] |= {name: machine.version(name) for name in ("triton", "nvidia-dali-cuda130")}
    return about | around


def markdown(about: dict[str, Any], rows: Sequence[Row], seconds: float) -> str:
    """The whole report."""
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items() if v is not None)
    lines = [f"- {name}: {value}" for name, value in about.items() if name != "versions"]
    lines += [f"- {versions}", f"- `python -m benchmarks.gpu`, {seconds:.0f} s so far; medians of rounds"]
    parts = [f"# AugDrop on {about['device']}", "\n".join(lines), _in_short(rows), *tables(SECTIONS, rows)]
    return "\n\n".join(parts) + "\n"


def _in_short(rows: Sequence[Row]) -> str:
    lines = []
    for goal, section, what in (
        ("value", "correctness", "kinds of case without a difference"),
        ("to_copy", "methods", "methods reach their share of a copy's bandwidth"),
        ("share", "training", "training steps within their cost"),
        ("to_peer", "peers", "peers slower than we are"),
    ):
        judged = [r for r in rows if r.section == section and r.goal == goal]
        if judged:
            lines.append(f"- {sum(bool(r.met) for r in judged)} of {len(judged)} {what}")
    failed = [r for r in rows if r.failed]
    lines += [f"- {len(failed)} rows failed; their errors stand in their lines"] if failed else []
    return "## In short\n\n" + "\n".join(lines)


def write(folder: Path, about: dict[str, Any], rows: Sequence[Row], seconds: float) -> None:
    """``GPU.md`` and ``gpu.json``."""
    save(folder / "gpu.json", about, rows, seconds)
    (folder / "GPU.md").write_text(markdown(about, rows, seconds))


def read(folder: Path) -> list[Row]:
    """The rows that `write` has written."""
    known = json.loads((folder / "gpu.json").read_text())["rows"]
    return [Row(**{name: value for name, value in row.items() if name != "met"}) for row in known]


def draw(folder: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """``gpu.png``: methods beside a copy and peers beside us, at the largest batch, float32."""
    there = [r for r in rows if not r.failed and r.value is not None]
    # The picture takes the first batch that it meets.
    shapes = list(dict.fromkeys(r.shape for r in there if r.section == "methods"))
    if shapes:
        plot.draw(folder / "gpu.png", [r for r in there if r.shape == shapes[-1]], about)
