"""Clocks: what a call takes of the device, of the host before it returns, and in a row of calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.timing import Call

_HEAD_START = 1.5
"""How much longer than the host needs for its calls the device is kept waiting."""


class Clock(Protocol):
    """Seconds a call, by one law or another."""

    device: torch.device

    def busy(self, call: Call, repeats: int) -> float:
        """What the device works on a call: it begins when all the calls are waiting for it."""
        ...

    def returns(self, call: Call) -> float:
        """Until a call returns, the device having nothing else to do."""
        ...

    def row(self, call: Call, repeats: int) -> float:
        """Calls one after the other, host and device as they happen to overlap; until the last is done."""
        ...

    def captured(self, call: Call) -> Call:
        """The call as a CUDA graph to replay."""
        ...


class HostClock:
    """Without a device there is one law: the host does the work. It stands in where tests have no GPU."""

    device = torch.device("cpu")

    def busy(self, call: Call, repeats: int) -> float:
        return self.row(call, repeats)

    def returns(self, call: Call) -> float:
        return self.row(call, 1)

    def row(self, call: Call, repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    def captured(self, call: Call) -> Call:
        return call


class DeviceClock:
    """CUDA events on the current stream of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def busy(self, call: Call, repeats: int) -> float:
        # A kernel that only waits keeps the device from starting before the host has handed over all calls, so that no
        # gap between launches is counted. (A call that waits for the device itself shows that wait.)
        cycles = int(self.returns(call) * repeats * _HEAD_START * _CYCLES)
        torch.cuda._sleep(min(max(cycles, 100_000), _LONGEST))
        return self._between(call, repeats)

    def returns(self, call: Call) -> float:
        torch.cuda.synchronize(self.device)
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        torch.cuda.synchronize(self.device)
        return seconds

    def row(self, call: Call, repeats: int) -> float:
        torch.cuda.synchronize(self.device)
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        torch.cuda.synchronize(self.device)
        return (time.perf_counter() - start) / repeats

    def captured(self, call: Call) -> Call:
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):  # what is compiled or allocated once must not be captured
            for _ in range(3):
                call()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay

    def _between(self, call: Call, repeats: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / repeats / 1e3


_CYCLES, _LONGEST = 2e9, 1_000_000_000
"""Cycles a second of the waiting kernel (no GPU's clock is much faster), and the most that it is let wait."""


def race(
    contenders: Mapping[str, Call], measure: Callable[[Call, int], float], rounds: int, budget: float = 0.02
) -> dict[str, np.ndarray]:
    """Seconds a call of each contender, one number a round, in turns, so that a drift hits all of them alike.

    Args:
        measure: a method of a clock; it is given a call and how often to repeat it.
        budget: seconds that the repeats of one round are to fill.
    """
    repeats = {}
    for name, call in contenders.items():
        measure(call, 1)  # compiles, allocates
        repeats[name] = int(min(50, max(1, budget / max(1e-7, measure(call, 1))))) if rounds > 1 else 1
    names = list(contenders)
    seconds: dict[str, Any] = {name: np.empty(rounds) for name in names}
    for r in range(rounds):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            seconds[name][r] = measure(contenders[name], repeats[name])
    return seconds


def returning(clock: Clock) -> Callable[[Call, int], float]:
    """`Clock.returns` for a race: the median of a few calls."""
    return lambda call, repeats: float(np.median([clock.returns(call) for _ in range(min(repeats, 30))]))
