"""Threads: how many cores a stage works on.

DALI runs the CPU operators of a pipeline one after the other, a stage among them, so its own threads wait meanwhile. A
pipeline that works ahead goes on decoding the moment that a stage returns, though, and OpenMP's threads go on spinning
for a while after a loop: there a stage works on the cores that DALI's threads leave free, else on all.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_openmp = ctypes.CDLL(None) if os.name == "posix" else None
_set = getattr(_openmp, "omp_set_num_threads", None)


def free_beside(pipeline: Any) -> int:
    """How many threads a stage of a DALI pipeline may have, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if pipeline is None or not pipeline.exec_async:
        return cores
    return max(1, cores - (pipeline.num_threads or 0))


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
