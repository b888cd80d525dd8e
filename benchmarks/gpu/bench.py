"""What a run consists of: tasks, each of which gives one row, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.clock import Clock
from benchmarks.timing import Shape, images


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


class Row(NamedTuple):
    """One line of the report; what does not apply is None.

    value: µs on the device, or of a call in a row, as the section says; of the correctness rows the cases that differ.
    host: µs until the call returns.
    in_a_row: µs a call, one after the other.
    to_copy: time / time of ``out.copy_(x)``; 1 over it is the share of the copy's bandwidth.
    speed: GB/s, read and written.
    peer, peer_value, to_peer: who, its value, and ours / theirs.
    share: of a training step's time.
    target: what the field named by ``goal`` is to stay below.
    """

    section: str
    name: str
    state: str = ""
    shape: str = ""
    dtype: str = ""
    value: float | None = None
    host: float | None = None
    in_a_row: float | None = None
    to_copy: float | None = None
    speed: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    to_peer: float | None = None
    share: float | None = None
    goal: str | None = None
    target: float | None = None
    note: str = ""

    @property
    def failed(self) -> bool:
        return self.note.startswith(FAILED)

    @property
    def met(self) -> bool | None:
        """Is the target met? None where there is none; what failed has not met it."""
        if self.goal is None or self.target is None:
            return None
        reached: Any = getattr(self, self.goal)
        return reached is not None and reached <= self.target


FAILED = "failed: "


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
