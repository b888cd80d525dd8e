"""The report: one Markdown file for people, one JSON file for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import Row

Column = tuple[str, Callable[[Row], str]]


def number(value: float | None, digits: int = 3) -> str:
    """Three digits that count: ``0.0523``, ``1.24``, ``18 400``."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{float(f'{value:.{digits}g}'):,.0f}".replace(",", " ")
    return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.0f}"


def verdict(row: Row) -> str:
    if row.met is None:
        return row.note or "–"
    return f"{'met' if row.met else '**not met**'} (≤ {number(row.target)}{', below the floor' if row.beyond else ''})"


NAME: Column = ("", lambda r: r.name)
STATE: Column = ("state", lambda r: r.state)
SHAPE: Column = ("images", lambda r: r.shape)
DTYPE: Column = ("dtype", lambda r: r.dtype)
MICROS: Column = ("µs", lambda r: number(r.value))
TO_COPY: Column = ("× copy_", lambda r: number(r.to_copy))
TARGET: Column = ("target", verdict)
PEER: Column = ("peer", lambda r: r.peer or "–")
PEER_MICROS: Column = ("peer's µs", lambda r: number(r.peer_value))
TO_PEER: Column = ("ours / peer's", lambda r: number(r.to_peer))

SECTIONS: dict[str, tuple[str, str, tuple[Column, ...]]] = {
    "references": (
        "What the machine takes",
        "The measure of the other tables: `out.copy_(x)` into memory that is in use already. `clone` takes new memory. "
        "Wherever batches are timed, each call has the next of as many as make 256 MiB, so that it finds none in the "
        "caches: so a loader hands them over. A single image has just been decoded, and is in them.",
        (("", lambda r: f"`{r.name}`"), SHAPE, DTYPE, MICROS, TO_COPY),
    ),
    "methods": (
        "Every method",
        "All samples hit, images only. The floor is a plain loop that zeroes the dropped bytes where they lie, of six "
        "draws by turns. A single image has no partner, so mixes begin at batches. Targets are for 64 images and more.",
        (NAME, STATE, SHAPE, DTYPE, MICROS, TO_COPY, ("floor", lambda r: number(r.floor)), TARGET),
    ),
    "again": (
        "The same batch again",
        "As above, but every call has one and the same batch, which stays in a cache of 20 MB and more from call to "
        "call. A copy then takes a quarter of the time or so, and plan and Python (45 µs) weigh four times as much.",
        (NAME, STATE, SHAPE, DTYPE, MICROS, TO_COPY, ("floor", lambda r: number(r.floor))),
    ),
    "plans": ("Deciding alone", "`t.plan(shape)`.", (NAME, ("time of", lambda r: r.state), SHAPE, MICROS, TARGET)),
    "single": ("One image, all in all", "Keys, plan and pixels.", (NAME, STATE, SHAPE, DTYPE, MICROS, TARGET)),
    "fills": (
        "Fills",
        "In Random Erasing's rectangles, the paper's law (2 to 40 % of the image).",
        (NAME, STATE, SHAPE, DTYPE, MICROS, TO_COPY, ("floor", lambda r: number(r.floor)), TARGET),
    ),
    "peers": (
        "Peers",
        "The same law, state and labels on both sides; below 1 we are faster. A new tensor of more than 32 MB is new "
        "memory from the system at every call, which takes several times as long as a copy (see `clone`).",
        (NAME, PEER, STATE, SHAPE, DTYPE, MICROS, PEER_MICROS, TO_PEER, TARGET),
    ),
    "hosts": (
        "Inside other libraries",
        "AugDrop's stage in a host's own pipeline, against the host's own operator there; below 1 we are faster. The "
        "cost is what a stage adds to a pipeline that reads JPEG files, as the median of 25 rounds of passes by turns; "
        "what the same pipeline seems to cost once more is what this cannot tell apart.",
        (
            NAME,
            ("host", lambda r: r.peer or "–"),
            STATE,
            SHAPE,
            DTYPE,
            ("ours", lambda r: f"{number(r.value)} {r.unit}"),
            ("host's own", lambda r: "–" if r.peer_value is None else f"{number(r.peer_value)} {r.unit}"),
            ("ours / host's", lambda r: number(r.to_peer)),
            ("cost", lambda r: "–" if r.share is None else f"{r.share:.1%}"),
            TARGET,
        ),
    ),
    "feature maps": (
        "Feature maps",
        "DropBlock in training, forward.",
        (NAME, PEER, STATE, SHAPE, MICROS, PEER_MICROS, TO_PEER, TARGET),
    ),
    "loader": (
        "A DataLoader on JPEG files",
        "Decode, RandomResizedCrop(224), one stage, collate. Speeds are those of the fastest quarter of 25 passes by "
        "turns. The cost is measured within: the clock is read before and after the stage, right behind the decoder, "
        "which has pushed the stage's code and data out of the caches; of each file the fastest of 7 rounds counts, "
        "for the stage and all the rest. (Where other programs run, speeds differ by more than the 3 % in question.)",
        (
            ("stage", lambda r: r.name),
            ("loader", lambda r: r.state),
            ("images/s", lambda r: number(r.value)),
            ("cost", lambda r: "–" if r.share is None else f"{r.share:.1%}"),
            ("stage, µs an image", lambda r: number(r.alone)),
            TARGET,
        ),
    ),
    "memory": (
        "Peak memory",
        "What a call takes besides its images at its highest, as the system counts it, and as a share of the batch. "
        "`clone` is there to check the measure, and has to come out as 1.",
        (NAME, STATE, SHAPE, ("MiB", lambda r: number(r.value)), ("share", lambda r: number(r.share)), TARGET),
    ),
    "tokens": (
        "Tokens",
        "Selecting and gathering tokens, and whole models on what is kept, against what each is to be compared with.",
        (
            NAME,
            ("beside", lambda r: r.peer or "–"),
            STATE,
            SHAPE,
            DTYPE,
            ("ours", lambda r: f"{number(r.value)} {r.unit}"),
            ("theirs", lambda r: "–" if r.peer_value is None else f"{number(r.peer_value)} {r.unit}"),
            ("ours / theirs", lambda r: number(r.to_peer)),
            TARGET,
        ),
    ),
}
"""Title, what is measured, and columns of each section."""


NUMBERS = {
    *("µs", "× copy_", "floor", "peer's µs", "ours / peer's", "ours", "host's own", "ours / host's", "theirs"),
    *("ours / theirs", "images/s", "cost", "stage, µs an image", "MiB", "share"),
    *("host µs", "in a row µs", "eager, host µs", "GB/s", "copy's bandwidth", "step µs", "without µs"),
}
"""Heads of columns that are set to the right, of this report and of the GPU's."""


def markdown(machine: dict[str, Any], rows: Sequence[Row], seconds: float) -> str:
    """The whole report."""
    parts = ["# Benchmark results", _machine(machine, seconds), _in_short(rows), *tables(SECTIONS, rows)]
    return "\n\n".join(parts) + "\n"


def tables(sections: dict[str, tuple[str, str, tuple[Column, ...]]], rows: Sequence[Row]) -> Iterator[str]:
    """Title, text and table of each section that has rows."""
    for section, (title, text, columns) in sections.items():
        own = [r for r in rows if r.section == section]
        if own:
            yield f"## {title}\n\n{text}\n\n{table(own, columns)}"


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A Markdown table; columns of numbers are set to the right."""
    lines = [[head for head, _ in columns], ["---:" if head in NUMBERS else "---" for head, _ in columns]]
    lines += [[cell(row).replace("|", "\\|") for _, cell in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _machine(machine: dict[str, Any], seconds: float) -> str:
    versions = machine["versions"]
    there = ", ".join(f"{name} {v}" for name, v in versions.items() if v is not None)
    missing = [name for name, v in versions.items() if v is None]
    lines = [f"- {name}: {value}" for name, value in machine.items() if name != "versions"]
    lines.append(f"- {there}")
    if missing:
        lines.append(f"- not installed: {', '.join(missing)}")
    lines.append(f"- `python -m benchmarks`, one run of {seconds:.0f} s; medians, and medians of the rounds' ratios")
    return "\n".join(lines)


def _in_short(rows: Sequence[Row]) -> str:
    """Targets met, and one line a method at each of the first two batches: one fits the caches, one does not."""
    judged = [r for r in rows if r.met is not None]
    beyond = sum(r.beyond for r in judged if not r.met)
    parts = [
        f"## In short\n\n{sum(bool(r.met) for r in judged)} of {len(judged)} targets are met. {beyond} of the "
        "others ask for less than it takes to write the dropped bytes alone."
    ]
    shapes = list(dict.fromkeys(r.shape for r in rows if r.section == "methods" and r.shape.count("×") == 3))
    parts += [_method_lines(rows, shape) for shape in shapes[:2]]
    return "\n\n".join(parts)


def _method_lines(rows: Sequence[Row], shape: str) -> str:
    methods = {(r.name, r.state, r.dtype): r for r in rows if r.section == "methods" and r.shape == shape}
    plan = {r.name: r for r in rows if r.section == "plans" and r.state == "a sample"}
    heads = ["method", *(f"{state} {dtype}" for dtype in ("uint8", "float32") for state in ("`out=`", "in place"))]
    lines = [[*heads, "plan, µs a sample", "fastest peer, theirs / ours"], ["---", *["---:"] * 6]]
    for name in dict.fromkeys(name for name, _, _ in methods):
        cells = [
            number(methods[name, state, dtype].to_copy, 2)
            for dtype in ("uint8", "float32")
            for state in ("out=", "in place")
        ]
        lines.append([name, *cells, number(plan[name].value, 2) if name in plan else "–", _fastest(rows, name, shape)])
    text = f"Time / `copy_` of a batch {shape}:"
    return text + "\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _fastest(rows: Sequence[Row], name: str, shape: str) -> str:
    """The peer that comes nearest to us (or leaves us behind), and by how much."""
    beside = [r for r in rows if r.section == "peers" and r.name == name and r.shape == shape and r.to_peer]
    if not beside:
        return "–"
    nearest = max(beside, key=lambda r: r.to_peer or 0)
    return f"{number(1 / (nearest.to_peer or 1), 2)} ({(nearest.peer or '').split()[0]}, {nearest.dtype})"


def write(folder: Path, machine: dict[str, Any], rows: Sequence[Row], seconds: float) -> None:
    """``RESULTS.md`` and ``results.json``."""
    save(folder / "results.json", machine, rows, seconds)
    (folder / "RESULTS.md").write_text(markdown(machine, rows, seconds))


def save(path: Path, machine: dict[str, Any], rows: Sequence[Row], seconds: float) -> None:
    """What programs read."""
    data = {"machine": machine, "seconds": round(seconds), "rows": [r._asdict() | {"met": r.met} for r in rows]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
