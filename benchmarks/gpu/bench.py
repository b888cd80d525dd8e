"""What a run consists of: tasks, each of which gives one row, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch

from benchmarks.gpu.clock import Clock
from benchmarks.timing import FAILED, Row, Shape, images


class Bench(NamedTuple):
    """Where and how much is measured.

    shapes: batches; the first is one image as a batch, the last is the one that the copy target is for.
    small: the batch that kernels are checked on.
    backend: which backend to check, None is the device's own.
    steps: training steps a round, of ``network`` (a name in torchvision.models) on batches of ``batch``.
    """

    clock: Clock
    shapes: tuple[Shape, ...]
    small: Shape
    dtypes: tuple[torch.dtype, ...]
    rounds: int
    steps: int
    network: str
    batch: int
    backend: str | None = None

    @property
    def device(self) -> torch.device:
        return self.clock.device

    def images(self, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
        return images(shape, dtype).to(self.device)


class Task(NamedTuple):
    """One row to be: what is known of it before, and the function that completes it."""

    row: Row
    run: Callable[[Row], Row]


class Broken(Exception):
    """The device answers nothing any more: what a kernel that reads where it may not leaves of a process."""


def carried_out(tasks: Iterable[Task]) -> Iterator[Row]:
    """The rows of tasks; what fails is a row that says how. Raises `Broken` behind one that left no device."""
    for task in tasks:
        try:
            yield task.run(task.row)
        except Exception as error:  # a peer may raise anything, and a GPU may be out of memory
            text = " ".join(str(error).split())[:200]
            yield task.row._replace(note=f"{FAILED}{type(error).__name__}: {text}")
        if torch.cuda.is_available():
            try:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
            except RuntimeError as error:
                raise Broken from error
