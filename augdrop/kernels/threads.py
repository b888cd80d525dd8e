"""Run a compiled kernel on as many threads as torch uses, if it can be had on torch's own.

A kernel takes a job's address, does pieces of it until none is left, and can be called from any number of threads at
once. Torch's OpenMP pool is already awake around a training step: it starts a kernel in 5 µs, where waking a Python
thread takes 60, and it never competes with torch for a core. OpenMP does not survive a fork, though, so a forked child
that asks for several threads (a DataLoader worker has one) gets Python threads, as does everyone without such a pool.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

import torch

from augdrop.kernels.job import Job, Kernel

SMALL = 1 << 20
"""Bytes below which a second thread does not pay: it is awake in 5 µs, but on a busy machine it may not come at all."""


def threads_for(size: int) -> int:
    """How many threads are worth having for a task of ``size`` bytes."""
    return 1 if size < SMALL else torch.get_num_threads()


def run(kernel: Kernel, job: Job, threads: int) -> None:
    """Do a whole job; the caller works, too."""
    if threads == 1:
        kernel.ctypes(ctypes.addressof(job))
    elif _parallel is not None:
        _parallel(kernel.address, ctypes.addressof(job), threads, 0)
    else:
        helpers = [threading.Thread(target=kernel.ctypes, args=(ctypes.addressof(job),)) for _ in range(threads - 1)]
        for helper in helpers:
            helper.start()
        kernel.ctypes(ctypes.addressof(job))
        for helper in helpers:
            helper.join()


def _openmp() -> Callable[[int, int, int, int], None] | None:
    """``GOMP_parallel(function, argument, threads, flags)`` of the OpenMP library that torch has loaded, if any."""
    parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None) if os.name == "posix" else None
    if parallel is not None:
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
    return parallel


def _without_openmp() -> None:
    global _parallel
    _parallel = None


_parallel = _openmp()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_without_openmp)
