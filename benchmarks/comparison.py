"""Ours and theirs at the same work: what makes a row of the table of peers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import DTYPES, Call, Effort, Row, images, micros, named, race, ratio, short

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
            x = images(shape, dtype)
            y = torch.randint(0, CLASSES, (len(x),))
            for p in peers:
                t = p.ours()
                alone = x.ndim == 3 and (t.mixes or p.shared)  # one image has no partner, and shares with none
                if dtype not in p.dtypes or alone or p.library in missing:
                    continue
                try:
                    theirs = p.make(x.clone(), y)
                except ImportError:
                    missing.add(p.library)
                    yield Row("peers", type(t).__name__, peer=p.library, note=f"{p.library} is not installed")
                    continue
                yield _compared(p, theirs, x, y, effort)


def _compared(p: Peer, theirs: Call, x: Tensor, y: Tensor, effort: Effort) -> Row:
    ours, name = p.our_call(x.clone() if p.state == IN_PLACE else x, y), type(p.ours()).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        seconds = against(ours, theirs, x, effort)
    return row(seconds, x, section="peers", name=name, state=p.manner, peer=f"{p.library} {p.call}", target=1.0)


def against(ours: Call, theirs: Call, x: Tensor, effort: Effort) -> dict[str, np.ndarray]:
    """One race of ours, theirs and a plain copy of ``x``."""
    out = torch.empty_like(x)
    return race({"copy_": lambda: out.copy_(x), "ours": ours, "theirs": theirs}, effort)


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
