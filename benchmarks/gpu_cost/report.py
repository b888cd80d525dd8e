"""Where the counts go: ``GPU_COST.md`` for people, ``gpu_cost.json`` for programs, and the README's two tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.comparison import IN_PLACE, NEW
from benchmarks.gpu_cost.rows import BATCHES, Row
from benchmarks.machine import version

README_BATCH = 64
LIBRARIES = ("augdrop", "torch", "torchvision", "kornia", "timm", "paraug")
HOW = """\
Counted by `python -m benchmarks.gpu_cost` on fake CUDA tensors: no GPU took part, and nothing here is a time.

- **launches**: kernels. An operator of torch counts once, also where it runs several (sums, sorts, `nonzero`), so the
  peers' numbers are lower bounds. AugDrop's operators are one launch each.
- **copies**: from the host to the device. **syncs**: times that the host waits for the device: `item()`, `nonzero`,
  masks as indices, copies to the host, and copies from the host without `non_blocking`, which end in a wait for the
  stream.
- **bytes**: what kernels read and write, over the bytes of the batch; a clone is 2. AugDrop's kernels are counted from
  the dropped pixels of the very plan that was launched. They move 16 bytes at once, so a vector that an edge cuts is
  read from both sides, which is not in the number; the tests count it in Triton's interpreter.
- Each call is measured after a first one, as in training: constant colours go over once and stay.
- Three numbers in a cell are batches of 1, 64 and 256 images of 3×224×224, two are the larger ones; one number holds
  for all. An image alone has no partner: a mix in place has nothing to do there, and peers that mix begin at 64."""


def in_cells(rows: Sequence[Row], number: Callable[[Row], str]) -> str:
    """A cell for rows that differ in their batch only: one number if all agree, else one each."""
    cells = [number(row) for row in sorted(rows, key=lambda row: row.batch)]
    return cells[0] if len(set(cells)) == 1 else " / ".join(cells)


def launches(row: Row) -> str:
    return f"≥ {row.cost.launches}" if row.cost.stopped else str(row.cost.launches)


def copies(row: Row) -> str:
    return str(row.cost.copies)


def syncs(row: Row) -> str:
    return str(row.cost.syncs)


def traffic(row: Row) -> str:
    return f"{row.traffic:.2f}"


def copied(row: Row) -> str:
    """Bytes from the host, over those of the batch."""
    share = row.cost.copied / row.image
    return "0" if not share else f"{share:.4f}" if share < 0.1 else f"{share:.2f}"


def verdict(row: Row) -> str:
    if row.cost.stopped:
        return f"stopped at {row.cost.stopped}"
    return row.note or {True: "met", False: "**not met**", None: "–"}[row.met]


NUMBERS = (launches, copies, syncs, traffic, copied)
HEADS = ("launches", "copies", "syncs", "bytes", "copied")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], names: int) -> str:
    """A Markdown table whose first ``names`` columns are text."""
    rule = ["---"] * names + ["---:"] * (len(heads) - names)
    text = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(heads), rule, *text])


def grouped(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that differ in their batch only, together."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.section, row.name, row.state, row.dtype), []).append(row)
    return list(groups.values())


def ours_table(rows: Sequence[Row]) -> str:
    lines = [
        [g[0].name, g[0].state, g[0].dtype, *(in_cells(g, n) for n in NUMBERS), in_cells(g, verdict)]
        for g in grouped(rows)
    ]
    return table(["", "state", "dtype", *HEADS, "target"], lines, 3)


def peers_table(pairs: Sequence[tuple[Row, Row]]) -> str:
    lines = []
    for theirs in grouped(row for row, _ in pairs):
        beside = [own for row, own in pairs if row in theirs]
        numbers = [f"{in_cells(theirs, n)}" for n in NUMBERS]
        stopped = [row for row in theirs if row.cost.stopped]
        name = theirs[0].name + (f", {verdict(stopped[0])}" if stopped else "")
        lines.append([name, theirs[0].state, *numbers, beside[0].name, *(in_cells(beside, n) for n in NUMBERS)])
    return table(["peer", "state", *HEADS, "ours", *HEADS], lines, 2)


def readme_ours(rows: Iterable[Row]) -> str:
    """One line a method, and the fills that take a launch more: float32 batches of `README_BATCH`, in both states."""
    chosen = [r for r in rows if r.batch == README_BATCH and r.dtype == "float32"]
    chosen = [r for r in chosen if r.section == "methods" or r.kernels == 2]
    by_state = {(r.name, r.state): r for r in chosen}
    lines = []
    for name in dict.fromkeys(r.name for r in chosen):
        new, place = by_state[name, NEW], by_state.get((name, IN_PLACE))
        both = [new] if place is None else [new, place]
        numbers = [in_cells(both, number) for number in (launches, copies, syncs)]
        lines.append([name, *numbers, traffic(new), "–" if place is None else traffic(place)])
    return table(["AugDrop", "launches", "copies", "syncs", "bytes, new tensor", "bytes, in place"], lines, 1)


def readme_peers(pairs: Iterable[tuple[Row, Row]]) -> str:
    """One line a peer, ours beside as launches / copies / syncs / bytes."""
    lines = [
        [row.name, row.state, launches(row), copies(row), syncs(row), traffic(row), short(own)]
        for row, own in pairs
        if row.batch == README_BATCH
    ]
    heads = ["peer", "state", "launches", "copies", "syncs", "bytes", "ours, the same four"]
    return table(heads, lines, 2)


def short(row: Row) -> str:
    return " / ".join(number(row) for number in (launches, copies, syncs, traffic))


def marked(text: str, part: str, table: str) -> str:
    """``text`` with the part between its two markers replaced."""
    before, _, rest = text.partition(f"<!-- gpu-cost: {part} -->\n")
    _, end, after = rest.partition(f"<!-- end of gpu-cost: {part} -->")
    assert end, f"no markers for {part}"
    return f"{before}<!-- gpu-cost: {part} -->\n\n{table}\n\n{end}{after}"


def versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in LIBRARIES if version(name) is not None)


def markdown(rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> str:
    """The whole report."""
    judged = [row for row in rows if row.met is not None]
    parts = [
        "# What a call costs a GPU",
        HOW,
        versions(),
        f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets are met: one copy, no wait, one launch (two "
        "for means and blurs, which look at the image first), and one read and one write of the batch (two reads for a "
        "blend and for fills that look first); in place the dropped bytes, and as many of each image that they are "
        "made of (partners that read each other in a ring: one of the ring once more). The plan is in the numbers.",
    ]
    for section, title in (("methods", "Every method"), ("fills", "Fills in Random Erasing's rectangles")):
        own = [row for row in rows if row.section == section]
        parts.append(f"## {title}\n\n{ours_table(own)}")
    parts.append(
        "## Peers\n\nThe same work on both sides, float32. Where a peer mixes labels, ours are mixed too, which is one "
        f"launch more, or two for pairs.\n\n{peers_table(pairs)}"
    )
    return "\n\n".join(parts) + "\n"


def write(folder: Path, rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> None:
    """``GPU_COST.md`` and ``gpu_cost.json``."""

    def plain(row: Row) -> dict[str, object]:
        return row._asdict() | {"cost": vars(row.cost), "met": row.met}

    data = {
        "versions": {name: version(name) for name in LIBRARIES},
        "batches": BATCHES,
        "rows": [plain(row) for row in rows],
        "peers": [{"theirs": plain(row), "ours": plain(own)} for row, own in pairs],
    }
    (folder / "gpu_cost.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (folder / "GPU_COST.md").write_text(markdown(rows, pairs))


def update_readme(path: Path, rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> None:
    """Write the tables between the README's markers."""
    text = marked(path.read_text(), "ours", readme_ours(rows))
    path.write_text(marked(text, "peers", readme_peers(pairs)))
