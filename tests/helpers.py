"""Plans made by hand, and what several tests share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

from augdrop import Plan, fills, regions
from augdrop.regions import Region


def plan_of(
    region: Region,
    *,
    hit: Tensor | None = None,
    partner: Tensor | None = None,
    opacity: Tensor | None = None,
    method: str = "Test",
) -> Plan:
    """A plan around a region; a mix if there is a partner."""
    n = len(region)
    ids = torch.arange(n)
    fill = fills.Constant() if partner is None else fills.Partner()
    hit = torch.ones(n, dtype=torch.bool) if hit is None else hit
    return Plan(method, region, fill, hit, ids, ids, ids, partner, opacity)


def random_region(rng: np.random.Generator, n: int, size: tuple[int, int]) -> Region:
    """Regions of a random kind: overlapping boxes, cells or single pixels."""
    h, w = size
    kind = rng.integers(3)
    if kind == 0:
        ys, xs = np.sort(rng.integers(0, h + 1, (n, 2, 2)), -1), np.sort(rng.integers(0, w + 1, (n, 2, 2)), -1)
        boxes = np.stack([ys[..., 0], xs[..., 0], ys[..., 1], xs[..., 1]], -1)
        return regions.Boxes(size, torch.from_numpy(boxes))
    if kind == 1:
        return regions.Cells.even(size, torch.from_numpy(rng.random((n, 3, 4)) < rng.random()))
    return regions.Mask.of(torch.from_numpy(rng.random((n, h, w)) < rng.random()))


def random_mix(rng: np.random.Generator, n: int, size: tuple[int, int]) -> Plan:
    """A mix of n samples in a ring, some of them not hit."""
    hit = torch.from_numpy(rng.random(n) < 0.8)
    return plan_of(random_region(rng, n, size), hit=hit, partner=torch.arange(n).roll(-1))


def same(a: Any, b: Any) -> bool:
    """Are two nested samples equal: types, order of keys, classes of leaves and every value?"""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        meta = all(getattr(a, name, None) == getattr(b, name, None) for name in ("format", "canvas_size"))
        return meta and a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, PIL.Image.Image):
        return a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


class Untouched:
    """A block at whose end some inputs must be what they were at its start, also if it raises."""

    def __init__(self, *inputs: Any) -> None:
        self.inputs, self.before = inputs, copy.deepcopy(inputs)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        assert same(self.inputs, self.before)


@contextmanager
def two_at_a_time(
    run: Callable[[Any], Any], request: pytest.FixtureRequest, name: str
) -> Iterator[Callable[[Any], Any]]:
    """What programs give, each run once: while a test looks at one, the next two are at work, a core for each.

    Args:
        run: runs the program for a value of the parameter ``name``, and returns what it gives.
        request: of the module whose tests have that parameter.
    """
    with ThreadPoolExecutor(2) as pool:
        begun: dict[Any, Future[Any]] = {}

        def result(value: Any) -> Any:
            if value not in begun:
                begun[value] = pool.submit(run, value)
            return begun[value].result()

        for item in request.session.items:
            given = getattr(getattr(item, "callspec", None), "params", {})
            if item.path == request.path and name in given and given[name] not in begun:
                begun[given[name]] = pool.submit(run, given[name])
        yield result
        pool.shutdown(cancel_futures=True)
