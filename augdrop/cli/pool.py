"""Worker processes: spawned, of one thread each, and gone when the main process is."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any

import torch

from augdrop.errors import AugDropError

_work: Callable[[Any], Any]


def default_workers(jobs: int) -> int:
    """One a core, but none for a job that is done before workers have started."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 1 + jobs // 256)


def each(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """``work(job)`` for each job, as they come to be done; one worker is this process."""
    with _interruption() as interrupted:
        for result in _each(work, jobs, workers):
            yield result
            if interrupted.is_set():
                raise KeyboardInterrupt


def _each(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a worker: more could round the scores of attentive methods in another way
        try:
            yield from map(work, jobs)
        finally:
            torch.set_num_threads(threads)
        return
    waiting = iter(jobs)
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in an unknown state
    pool = ProcessPoolExecutor(workers, context, _start, (work,))
    try:
        running: set[Future[Any]] = set()
        while True:
            # A few jobs ahead keep all workers busy; all of them at once could be a million.
            with _held_back():
                running |= {pool.submit(_do, job) for job in itertools.islice(waiting, 4 * workers - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise AugDropError(
            "workers: one of them died (out of memory, perhaps). Run the same command with fewer --workers to continue."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Set by Ctrl-C, beside the exception: Python drops one that comes while it clears an object away."""
    interrupted = threading.Event()

    def note(number: int, frame: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _held_back() -> Iterator[None]:
    """Workers are born deaf to Ctrl-C: one that still imports would print where it was interrupted."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(work: Callable[[Any], Any]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the main process decides
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = work


def _end_with_parent() -> None:
    """A killed main process closes no queue: without this its workers would wait, or write on, for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _do(job: Any) -> Any:
    return _work(job)
