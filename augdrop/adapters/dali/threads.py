"""Threads: a stage works on the cores that DALI's own threads leave free.

They decode the next batches at the same time. A parallel loop waits for its last thread, and if that has no core to run
on, it waits much longer than the loop itself takes. Even a pipeline that does not work ahead is quicker so: OpenMP's
threads go on spinning for a while after a loop, on the cores that DALI's need next.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_openmp = ctypes.CDLL(None) if os.name == "posix" else None
_set = getattr(_openmp, "omp_set_num_threads", None)


def free_beside(threads: int) -> int:
    """How many cores ``threads`` threads leave to a stage, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - threads)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Let torch and AugDrop use so many threads in the block, where they share an OpenMP library.

    This counts for the calling thread alone; `torch.set_num_threads` would change the whole process.
    """
    before = torch.get_num_threads()
    if _set is None or before <= threads:
        yield
        return
    _set(threads)
    try:
        yield
    finally:
        _set(before)
