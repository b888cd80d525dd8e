"""``python -m benchmarks``: one run, one report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import comparison, feature_maps, hosts, loader, machine, memory, ours, plot, report, tokens, tokens_plot
from benchmarks.peers import PEERS
from benchmarks.timing import FULL, QUICK, Effort, Row


def main(arguments: list[str] | None = None) -> None:
    """Measure, show the progress, and write ``RESULTS.md``, ``results.json``, ``results.png`` and ``tokens.png``."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, one round: does everything run?")
    parser.add_argument(
        "--only", nargs="+", choices=report.SECTIONS, metavar="SECTION", help=", ".join(report.SECTIONS)
    )
    parser.add_argument("--peer", help="only this library in the sections peers and hosts")
    parser.add_argument("--data", metavar="FOLDER", help="JPEG files for the loader instead of the sample photographs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    effort, about, start = QUICK if given.quick else FULL, machine.describe(), time.perf_counter()
    rows = []
    for section, measure in sections(effort, given.peer, given.data).items():
        if given.only and section not in given.only:
            continue
        for row in measure():
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    report.write(given.out, about, rows, seconds)
    plot.draw(given.out / "results.png", rows, about)
    tokens_plot.draw(given.out / "tokens.png", rows)
    missed = [row for row in rows if row.met is False]
    print(f"{len(rows)} rows in {seconds:.0f} s, {len(missed)} targets missed; see {given.out / 'RESULTS.md'}")


def sections(effort: Effort, library: str | None, data: str | None) -> dict[str, Callable[[], Iterable[Row]]]:
    """What there is to measure, in the report's order."""
    return {
        "references": lambda: ours.references(effort),
        "methods": lambda: ours.methods(effort),
        "again": lambda: ours.again(effort),
        "plans": lambda: ours.plans(effort),
        "single": lambda: ours.single(effort),
        "fills": lambda: ours.fills(effort),
        "peers": lambda: comparison.rows([p for p in PEERS if library in (None, p.library)], effort),
        "hosts": lambda: hosts.rows(effort, library),
        "feature maps": lambda: feature_maps.rows(effort),
        "loader": lambda: loader.rows(effort, data),
        "memory": lambda: memory.rows(effort),
        "tokens": lambda: tokens.rows(effort),
    }


def line(row: Row) -> str:
    """A row as the terminal shows it while the run goes on."""
    what = " ".join(filter(None, (row.section, row.name, row.state, row.shape, row.dtype, row.peer)))
    ratios = [f"×copy {report.number(row.to_copy)}"] if row.to_copy is not None else []
    ratios += [f"ours/theirs {report.number(row.to_peer)}"] if row.to_peer is not None else []
    ratios += [f"share {row.share:.3f}"] if row.share is not None else []
    missed = "  NOT MET" if row.met is False else ""
    return f"{what}: {report.number(row.value)} {row.unit} {', '.join(ratios)}{missed} {row.note}".rstrip()


if __name__ == "__main__":
    main()
