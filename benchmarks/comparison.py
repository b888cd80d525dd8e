"""Ours and theirs at the same work: what makes a row of the table of peers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import DTYPES, Call, Effort, Row, batches, in_turn, micros, named, race, ratio, short

NEW, IN_PLACE = "new tensor", "in place"
CLASSES = 1000


class Peer(NamedTuple):
    """A peer's way, and ours.

    make: from images and labels to the call that is timed; imports the library.
    ours: our transform.
    shared: one region for the whole batch. Our mixes say so by ``per="batch"``; for erasing, the batch is one video.
    labels: does the call mix labels too?
    dtypes: what the peer takes.
    """

    library: str
    call: str
    make: Callable[[Tensor, Tensor], Call]
    ours: Callable[[], Any]
    state: str
    shared: bool
    labels: bool
    dtypes: tuple[torch.dtype, ...]

    @property
    def manner(self) -> str:
        """How the tables say it."""
        return ("one draw a batch, " if self.shared else "") + self.state

    def our_call(self, x: Tensor, y: Tensor) -> Call:
        t, inplace = self.ours(), self.state == IN_PLACE
        if self.labels:
            return lambda: t(x, y, inplace=inplace)
        if self.shared and not t.mixes:
            x = x.unsqueeze(0)
        return lambda: t(x, inplace=inplace)


def rows(peers: Sequence[Peer], effort: Effort) -> Iterator[Row]:
    """Every peer at every shape and dtype that it takes; one that is not installed gets one row that says so."""
    missing: set[str] = set()
    for shape in effort.shapes:
        for dtype in DTYPES:
            xs = batches(shape, dtype)
            y = torch.randint(0, CLASSES, (len(xs[0]),))
            for p in peers:
                t = p.ours()
                alone = len(shape) == 3 and (t.mixes or p.shared)  # one image has no partner, and shares with none
                if dtype not in p.dtypes or alone or p.library in missing:
                    continue
                try:
                    theirs = [p.make(x.clone(), y) for x in xs]
                except ImportError:
                    missing.add(p.library)
                    yield Row("peers", type(t).__name__, peer=p.library, note=f"{p.library} is not installed")
                    continue
                yield _compared(p, theirs, xs, y, effort)


def _compared(p: Peer, theirs: Sequence[Call], xs: Sequence[Tensor], y: Tensor, effort: Effort) -> Row:
    ours = [p.our_call(x.clone() if p.state == IN_PLACE else x, y) for x in xs]
    name = type(p.ours()).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        seconds = against(ours, theirs, xs, effort)
    return row(seconds, xs[0], section="peers", name=name, state=p.manner, peer=f"{p.library} {p.call}", target=1.0)


def against(
    ours: Sequence[Call], theirs: Sequence[Call], xs: Sequence[Tensor], effort: Effort
) -> dict[str, np.ndarray]:
    """One race of ours, theirs and plain copies, each with a call for every batch of ``xs``."""
    copies, turn = [partial(x.clone().copy_, x) for x in xs], itertools.count()
    return race({n: in_turn(c, turn) for n, c in {"copy_": copies, "ours": ours, "theirs": theirs}.items()}, effort)


def row(seconds: Mapping[str, np.ndarray], x: Tensor, **given: Any) -> Row:
    """The row of a race as `against` runs it, for images ``x``; ``given`` are the fields that times do not tell."""
    return Row(
        shape=named(tuple(x.shape)),
        dtype=short(x.dtype),
        value=micros(seconds["ours"]),
        to_copy=ratio(seconds["ours"], seconds["copy_"]),
        peer_value=micros(seconds["theirs"]),
        to_peer=ratio(seconds["ours"], seconds["theirs"]),
        goal="to_peer",
        **given,
    )
