"""``python -m benchmarks.gpu``: one run on a machine with a GPU, one report."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import correctness, report, rivals, times, training
from benchmarks.gpu.bench import Bench, Task, carried_out
from benchmarks.gpu.clock import DeviceClock
from benchmarks.report import number
from benchmarks.timing import FAILED, Row

SECTIONS: dict[str, Callable[[Bench], Iterable[Task]]] = {
    "correctness": correctness.tasks,
    "references": times.references,
    "methods": times.methods,
    "calls": times.calls,
    "graphs": times.graphs,
    "training": training.tasks,
    "peers": rivals.peers,
    "DALI": rivals.dali_operators,
}
"""What there is to measure, what matters most first: a run that is cut short has it."""


def main(arguments: list[str] | None = None) -> None:
    """Check and measure on a GPU; write ``GPU.md``, ``gpu.json`` and ``gpu.png``."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, one round: does everything run?")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--device", default="cuda", help="which GPU, such as cuda:1")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1], help="folder to write to")
    parser.add_argument("--after", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("No GPU in this machine (torch.cuda.is_available() is False): nothing measured, nothing written.")
        return
    if given.after is None:
        supervise([*(sys.argv[1:] if arguments is None else arguments)], given.out)
        return
    device = torch.device(given.device)
    device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
    torch.cuda.set_device(device)
    known = report.read(given.out)[: given.after] if given.after else []
    for _ in run(bench(device, given.quick), given.only or SECTIONS, given.out, report.describe(device), known):
        pass


def supervise(arguments: list[str], folder: Path) -> None:
    """Run in a process of its own, and in another behind the row at which one ended: a kernel may take it along."""
    after, start = 0, time.time()
    while True:
        command = [sys.executable, "-m", "benchmarks.gpu", *arguments, "--after", str(after)]
        code = subprocess.call(command)
        written = (folder / "gpu.json").exists() and (folder / "gpu.json").stat().st_mtime >= start
        rows = report.read(folder) if written else []
        if code == 0:
            break
        if len(rows) <= after:
            sys.exit(code)  # no kernel's fault
        after = len(rows)
    judged = [row for row in rows if row.met is not None]
    missed = sum(not row.met for row in judged)
    print(f"{len(rows)} rows, {missed} of {len(judged)} targets missed; see {folder / 'GPU.md'}")


def bench(device: torch.device, quick: bool) -> Bench:
    """How much is measured on a GPU."""
    clock, dtypes = DeviceClock(device), (torch.uint8, torch.float32)
    if quick:
        shapes = ((1, 3, 64, 64), (8, 3, 64, 64))
        return Bench(clock, shapes, (5, 3, 37, 53), dtypes, rounds=1, steps=2, network="resnet18", batch=8)
    roomy = torch.cuda.get_device_properties(device).total_memory > 30 * 2**30
    shapes = ((1, 3, 224, 224), (64, 3, 224, 224), (256, 3, 224, 224))
    batch = 256 if roomy else 64
    return Bench(clock, shapes, (6, 3, 37, 53), dtypes, rounds=5, steps=12, network="resnet50", batch=batch)


def run(
    bench: Bench, sections: Iterable[str], folder: Path, about: dict[str, Any], known: Sequence[Row] = ()
) -> Iterator[Row]:
    """The rows behind those that are ``known``, each of them shown and on the disk before the next is begun."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, start, ahead = [*known], time.perf_counter(), len(known)

    def noted(tasks: Iterable[Task]) -> Iterator[Task]:
        # On the disk before it runs: if the process ends here, the next one goes on behind it.
        for task in tasks:
            ended = task.row._replace(note=f"{FAILED}the process ended here")
            report.write(folder, about, [*rows, ended], time.perf_counter() - start)
            yield task

    for section in sections:
        tasks = [*SECTIONS[section](bench)]
        skipped, ahead = min(ahead, len(tasks)), ahead - min(ahead, len(tasks))
        for row in carried_out(noted(tasks[skipped:])):
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
            report.write(folder, about, rows, time.perf_counter() - start)
            yield row
        report.draw(folder, about, rows)


def line(row: Row) -> str:
    """A row as the terminal shows it while the run goes on."""
    what = " ".join(filter(None, (row.section, row.name, row.state, row.shape, row.dtype, row.peer)))
    figures = [f"{number(row.value)} µs"] if row.section != "correctness" and row.value is not None else []
    figures += [f"×copy {number(row.to_copy)}"] if row.to_copy is not None else []
    figures += [f"host {number(row.host)} µs"] if row.host is not None else []
    figures += [f"ours/theirs {number(row.to_peer)}"] if row.to_peer is not None else []
    figures += [f"{row.share:.1%} of the step"] if row.share is not None else []
    return f"{what}: {', '.join(figures)}{'  NOT MET' if row.met is False else ''} {row.note}".rstrip()


if __name__ == "__main__":
    main()
