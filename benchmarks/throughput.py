"""Throughput: whole passes over the same files, by turns, and what a stage adds to them.

What disturbs a pass (other programs, a host that lends its cores to others) only makes it slower, and on a busy machine
does so for seconds on end. So contenders pass by turns, and each is judged by the fastest quarter of its passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.timing import Effort

ROUNDS = 25


def passes(contenders: Mapping[str, Callable[[], float]], effort: Effort) -> dict[str, np.ndarray]:
    """Seconds of each pass of each contender, who go by turns in an order that turns, too; they time themselves."""
    names, seconds = list(contenders), {name: [] for name in contenders}
    for r in range(1 if effort.quick else ROUNDS):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            seconds[name].append(contenders[name]())
    return {name: np.array(s) for name, s in seconds.items()}


def undisturbed(seconds: np.ndarray) -> float:
    """The mean of the fastest quarter.

    Example:
        >>> undisturbed(np.array([1.0, 1.2, 9.0, 1.3, 2.0, 1.0, 1.4, 1.1]))
        1.0
    """
    return float(np.sort(seconds)[: -(-len(seconds) // 4)].mean())
