"""Share a kernel's work among threads: no more than torch has, none of them alive across a fork.

The kernels release the GIL, so plain Python threads do. Numba's own thread pools abort in a forked DataLoader worker
when their parent has used them; these threads are simply made anew in a child, if it asks for any.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_SMALL = 1 << 20
"""Bytes below which waking a thread costs more than it saves."""

_pool: ThreadPoolExecutor | None = None
_pool_threads = 0


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
    pool = _threads(threads - 1)
    futures = [pool.submit(work, *part) for part in parts[1:]]
    work(*parts[0])
    for future in futures:
        future.result()


def _cuts(n: int, parts: int) -> list[int]:
    return sorted({n * i // parts for i in range(parts + 1)})


def _threads(n: int) -> ThreadPoolExecutor:
    global _pool, _pool_threads
    if _pool is None or _pool_threads < n:
        _pool, _pool_threads = ThreadPoolExecutor(n, thread_name_prefix="augdrop"), n
    return _pool


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
