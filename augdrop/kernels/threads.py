"""Share a kernel's work among threads: no more than torch has, none of them alive across a fork.

The kernels release the GIL, so plain Python threads do. Numba's own thread pools abort in a forked DataLoader worker
when their parent has used them; these threads are simply made anew in a child, if it asks for any. A queue hands work
over in half the time of `concurrent.futures`, which at a batch's copy of 150 µs can be seen.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import torch

_SMALL = 1 << 20
"""Bytes below which waking a thread costs more than it saves."""

_tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
_started = 0
_starting = threading.Lock()


def share(work: Callable[[int, int, int, int], None], samples: int, rows: int, size: int, by_rows: bool) -> None:
    """Call ``work(first, last, top, bottom)`` until all samples and rows are done.

    Args:
        work: works on samples ``first`` to ``last`` and rows ``top`` to ``bottom``; must release the GIL.
        size: bytes of the whole task.
        by_rows: every call sees all samples (they depend on each other row by row).
    """
    threads = 1 if size < _SMALL else torch.get_num_threads()
    if threads == 1:
        work(0, samples, 0, rows)
        return
    if by_rows or samples < threads:
        cuts = _cuts(rows, threads)
        parts = [(0, samples, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    else:
        cuts = _cuts(samples, threads)
        parts = [(a, b, 0, rows) for a, b in zip(cuts, cuts[1:], strict=False)]
    _start(len(parts) - 1)
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    for part in parts[1:]:
        _tasks.put(lambda part=part: done.put(_outcome(work, part)))
    outcomes = [_outcome(work, parts[0]), *(done.get() for _ in parts[1:])]
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


def _outcome(work: Callable[[int, int, int, int], None], part: tuple[int, int, int, int]) -> BaseException | None:
    try:
        work(*part)
    except BaseException as error:  # raised again in the caller's thread
        return error
    return None


def _cuts(n: int, parts: int) -> list[int]:
    return sorted({n * i // parts for i in range(parts + 1)})


def _start(threads: int) -> None:
    global _started
    if _started < threads:
        with _starting:
            while _started < threads:
                threading.Thread(target=_serve, args=(_tasks,), daemon=True, name="augdrop").start()
                _started += 1


def _serve(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        tasks.get()()


def _forget() -> None:
    """In a forked child there are no threads yet, and whatever the parent's queue held is the parent's work."""
    global _tasks, _started, _starting
    _tasks, _started, _starting = SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
