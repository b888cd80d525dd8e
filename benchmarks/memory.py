"""Peak memory: what a call takes besides the images that it was given.

The system's high-water mark of the process counts every allocation, whoever makes it. Only Linux lets it be set back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.ours import IN_PLACE, OUT, subjects
from benchmarks.timing import Call, Effort, Row, images, named

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_SMALL = 0.1
"""Share of the batch that counts as no allocation of image size: plans, thread stacks, rows of an image."""


def available() -> bool:
    return _STATUS.exists() and _RESET.exists()


def peak(call: Call) -> int:
    """Bytes that a call takes at its highest, after a first call that may compile."""
    call()
    # What others have freed is handed back to the system first, or a new image could lie there uncounted.
    ctypes.CDLL(None).malloc_trim(0)
    _RESET.write_text("5")
    before = _status("VmRSS")
    kept = call()  # so that a result still counts
    highest = _status("VmHWM")
    del kept
    return max(0, highest - before)


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def rows(effort: Effort) -> Iterator[Row]:
    """Every method on a large float batch, with ``out=`` and in place, and ``clone`` to check the measure itself."""
    if not available():
        return
    # Small allocations come from memory that the process already holds; a large batch cannot hide there.
    shape = (64, 3, 224, 224) if effort.quick else (256, 3, 224, 224)
    x = images(shape, torch.float32)
    out, batch = torch.zeros_like(x), x.numel() * 4
    yield _row("clone", "new tensor", shape, peak(x.clone), batch, goal=False)
    for subject in subjects():
        t, given = subject.transform, subject.given(x)
        bounded = t.uses_pixels and not given  # the score map of the whole batch is floats of image size
        calls: dict[str, Any] = {
            OUT: lambda t=t, given=given: t(x, out=out, **given),
            IN_PLACE: lambda t=t, given=given: t(x, inplace=True, **given),
        }
        for state, call in calls.items():
            yield _row(subject.name, state, shape, peak(call), batch, goal=not bounded, note=subject.note)


def _row(name: str, state: str, shape: Any, extra: int, batch: int, goal: bool, note: str = "") -> Row:
    return Row(
        *("memory", name, state, named(shape), "float32", extra / 2**20, "MiB"),
        share=extra / batch,
        goal="share" if goal else None,
        target=_SMALL if goal else None,
        note=note,
    )
