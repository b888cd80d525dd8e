"""Races: everything that is compared is timed in turns, so that a drift of the machine hits all of it alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

Call = Callable[[], Any]
Shape = tuple[int, ...]

_LONG_ENOUGH = 2e-3
"""Calls faster than this (in seconds) are repeated within a round until they fill it."""
_SLOW = 0.1
"""Calls slower than this are not warmed up again in each round: what a cache saves them is nothing."""
_PAST_CACHES = 1 << 28
"""Bytes of batches that come by before the first comes again …"""
_MANY = 28
"""… but for small batches, of which so many do."""


class Effort(NamedTuple):
    """How much is measured, and how often.

    shapes: the batches; the first is a single image.
    rounds: turns each contender gets at most, and ``least`` at least.
    budget: seconds a contender may take in one race, unless ``least`` rounds need more.
    """

    shapes: tuple[Shape, ...]
    rounds: int
    least: int
    budget: float
    photographs: int

    @property
    def quick(self) -> bool:
        return self.rounds == 1


FULL = Effort(((3, 224, 224), (64, 3, 224, 224), (256, 3, 224, 224), (16, 3, 1024, 1024)), 21, 3, 0.3, 256)
QUICK = Effort(((3, 64, 64), (8, 3, 64, 64)), 1, 1, 0.0, 16)
DTYPES = (torch.uint8, torch.float32)


def race(contenders: Mapping[str, Call], effort: Effort) -> dict[str, np.ndarray]:
    """Seconds a call of each contender, one number a round; NaN in the rounds that a slow one sat out.

    In each round every contender is called once unmeasured, so that it finds its code and tables as it leaves them
    itself, then measured. The order turns from round to round.
    """
    once = {name: _estimate(call) for name, call in contenders.items()}
    repeats = {name: max(1, min(1000, int(_LONG_ENOUGH / t))) if not effort.quick else 1 for name, t in once.items()}
    turns = {}
    for name, t in once.items():
        round_cost = t * (repeats[name] + (t < _SLOW))
        turns[name] = max(effort.least, min(effort.rounds, int(effort.budget / round_cost)))
    names = list(contenders)
    seconds = {name: np.full(max(turns.values()), np.nan) for name in names}
    gc.collect()
    gc.disable()
    try:
        for r in range(max(turns.values())):
            for name in names[r % len(names) :] + names[: r % len(names)]:
                if r < turns[name]:
                    seconds[name][r] = _timed(contenders[name], repeats[name], warm=once[name] < _SLOW)
    finally:
        gc.enable()
    return seconds


def _estimate(call: Call) -> float:
    """Seconds of a call, after a first one that may compile or allocate."""
    call()
    start = time.perf_counter()
    call()
    return max(1e-7, time.perf_counter() - start)


def _timed(call: Call, repeats: int, warm: bool) -> float:
    if warm:
        call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def micros(seconds: np.ndarray) -> float:
    """The median, in microseconds."""
    return float(np.nanmedian(seconds) * 1e6)


def ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The median of the rounds' ratios."""
    return float(np.nanmedian(ours / theirs))


def images(shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    """Random images: uint8 over its whole range, or floats in [0, 1)."""
    generator = torch.Generator().manual_seed(0)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=generator)
    return torch.rand(shape, dtype=dtype, generator=generator)


def batches(shape: Shape, dtype: torch.dtype) -> list[torch.Tensor]:
    """So many batches that none is in the caches when its turn comes again; of a single image, just decoded, one."""
    x = images(shape, dtype)
    many = 1 if len(shape) == 3 else min(_MANY, max(2, -(-_PAST_CACHES // x.nbytes)))
    return [x, *(x.clone() for _ in range(many - 1))]


def in_turn(calls: Sequence[Call], turn: Iterator[int]) -> Call:
    """One call after the other. Contenders share a ``turn``, so that none finds a batch as another has just left it."""
    return calls[0] if len(calls) == 1 else lambda: calls[next(turn) % len(calls)]()


def named(shape: Shape) -> str:
    """A shape as the tables write it, such as ``64×3×224×224``."""
    return "×".join(map(str, shape))


def short(dtype: torch.dtype) -> str:
    """``uint8`` of ``torch.uint8``."""
    return str(dtype).removeprefix("torch.")


FAILED = "failed: "
"""How the note of a row begins that has nothing but an error to tell."""


class Row(NamedTuple):
    """One line of the report; what does not apply is None.

    value: in ``unit``; of a check, the cases that differ.
    host, in_a_row: µs until a GPU's call returns, and of a call among many.
    to_copy: time / time of ``out.copy_(x)``; 1 over it is the share of the copy's bandwidth.
    speed: GB/s, read and written.
    floor: the same for writing just the dropped bytes where they lie, which nothing can beat.
    peer, peer_value, to_peer: who, its value, and ours / theirs.
    share: of the batch's bytes (memory), or of the time of a loader or training step without the stage.
    alone: µs an image that a stage takes in a loader or pipeline.
    target: what the field named by ``goal`` is to stay below.
    """

    section: str
    name: str
    state: str = ""
    shape: str = ""
    dtype: str = ""
    value: float | None = None
    unit: str = "µs"
    host: float | None = None
    in_a_row: float | None = None
    to_copy: float | None = None
    speed: float | None = None
    floor: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    to_peer: float | None = None
    share: float | None = None
    alone: float | None = None
    goal: str | None = None
    target: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Is the target met? None where there is none; what failed has not met it."""
        if self.goal is None or self.target is None:
            return None
        reached: Any = getattr(self, self.goal)
        return reached is not None and reached <= self.target

    @property
    def failed(self) -> bool:
        return self.note.startswith(FAILED)

    @property
    def beyond(self) -> bool:
        """Does the target ask for less than the floor?"""
        return (
            self.goal == "to_copy" and self.target is not None and self.floor is not None and self.target < self.floor
        )
