"""``python -m benchmarks.gpu_cost``: count everything, and write the report and the README's tables."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu_cost import report, rows

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> None:
    """Count, show the progress, and write."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_cost", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=rows.BATCHES, help="images in a batch")
    parser.add_argument("--peer", help="only this library (with --out: the report would lack the others)")
    parser.add_argument("--out", type=Path, help="write the report there, and leave the README alone")
    given = parser.parse_args(arguments)
    start, ours, pairs = time.perf_counter(), [], []
    for batch in given.batches:
        for dtype in (torch.float32, torch.uint8):
            for row in (*rows.methods(batch, dtype), *rows.fills(batch, dtype)):
                ours.append(row)
                _show(row)
        for pair in rows.peers(batch, given.peer):
            pairs.append(pair)
            _show(pair[0])
    folder = given.out or ROOT / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    report.write(folder, ours, pairs)
    if given.out is None:
        report.update_readme(ROOT / "README.md", ours, pairs)
    missed = [row for row in ours if row.met is False]
    print(
        f"{len(ours)} rows of ours, {len(pairs)} peers' in {time.perf_counter() - start:.0f} s, "
        f"{len(missed)} targets missed; see {folder / 'GPU_COST.md'}"
    )


def _show(row: rows.Row) -> None:
    missed = "  NOT MET" if row.met is False else ""
    numbers = f"{report.short(row)} launches / copies / syncs / bytes"
    print(f"{row.batch} {row.dtype} {row.name} {row.state}: {numbers}{missed}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
