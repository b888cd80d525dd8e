"""Who is counted: every method of AugDrop with its fills, and the peers at the same work with ours beside."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

import augdrop as ad
from augdrop.fills import Blur, ImageMean
from benchmarks import ours
from benchmarks.comparison import CLASSES, IN_PLACE, NEW, Peer
from benchmarks.gpu_cost.cost import Cost
from benchmarks.gpu_cost.meter import measure
from benchmarks.gpu_cost.plain import PLAIN
from benchmarks.peers import PEERS
from benchmarks.timing import images, short

BATCHES = (1, 64, 256)
SIZE = (3, 224, 224)
THEIRS: list[Peer] = [p for p in PEERS if p.library != "albumentations"] + PLAIN
"""albumentations has no tensors on a device."""


class Row(NamedTuple):
    """One line: who did what to which batch, and what it cost.

    image: bytes of the batch, the measure of ``cost.bytes``.
    kernels: launches that the target allows; None where there is no target.
    dropped: bytes of the dropped pixels.
    """

    section: str
    name: str
    state: str
    batch: int
    dtype: str
    image: int
    cost: Cost
    kernels: int | None = None
    limit: float | None = None
    note: str = ""

    @property
    def traffic(self) -> float:
        """Bytes that kernels read and write, over the batch's bytes."""
        return self.cost.bytes / self.image

    @property
    def met(self) -> bool | None:
        """Are the targets met? None where there is none."""
        if self.kernels is None or self.limit is None:
            return None
        c = self.cost
        few = c.launches <= self.kernels and c.copies <= 1 and c.syncs == 0
        return few and c.stopped is None and c.bytes <= self.limit


def methods(batch: int, dtype: torch.dtype) -> Iterator[Row]:
    """Every method of the registry, all samples hit, into a new tensor and in place."""
    for subject in ours.subjects():
        for state in (NEW, IN_PLACE):
            yield _ours("methods", subject.name, subject.transform, subject.given, state, batch, dtype)
        if subject.transform.uses_pixels and subject.note == "":
            name = subject.name.replace("given", "on the device")
            yield _ours("methods", name, subject.transform, subject.given, NEW, batch, dtype, scores_there=True)


def fills(batch: int, dtype: torch.dtype) -> Iterator[Row]:
    """Every fill in Random Erasing's rectangles."""
    for name, fill in ours.FILLS.items():
        t = ad.RandomErasing(p=1.0, fill=fill, seed=0)
        for state in (NEW, IN_PLACE):
            yield _ours("fills", f"RandomErasing (fill: {name})", t, lambda x: {}, state, batch, dtype)


def peers(batch: int, library: str | None = None, chosen: Sequence[Peer] = THEIRS) -> Iterator[tuple[Row, Row]]:
    """Each peer's row, and ours at the same work; float32, which all of them take."""
    x = images((batch, *SIZE), torch.float32)
    y = torch.randint(0, CLASSES, (batch,), generator=torch.Generator().manual_seed(0))
    for p in chosen:
        t = p.ours()
        if library not in (None, p.library) or (t.mixes and batch == 1):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs
            try:
                theirs = measure(p.make, x, y)
            except ImportError:
                continue
        beside = measure(p.our_call, x, y)
        size = x.numel() * x.element_size()
        yield (
            Row("peers", f"{p.library} {p.call}", p.manner, batch, "float32", size, theirs),
            Row("peers", type(t).__name__, p.manner, batch, "float32", size, beside),
        )


def _ours(
    section: str,
    name: str,
    t: Any,
    given: Callable[[Tensor], dict[str, Any]],
    state: str,
    batch: int,
    dtype: torch.dtype,
    scores_there: bool = False,
) -> Row:
    x = images((batch, *SIZE), dtype)
    host, size, inplace = given(x), x.numel() * x.element_size(), state == IN_PLACE
    if scores_there:
        cost = measure(lambda x, s: lambda: t(x, scores=s, inplace=inplace), x, host["scores"])
    else:
        cost = measure(lambda x: lambda: t(x, inplace=inplace, **host), x)
    row = Row(section, name, state, batch, short(dtype), size, cost)
    if t.uses_pixels and (scores_there or not host):
        return row._replace(note="the host waits for the scores")
    return row._replace(**_target(t, state, cost, size))


def _target(t: Any, state: str, cost: Cost, size: int) -> dict[str, Any]:
    """One launch (two where the image is looked at first); one read and one write of the images, and the plan.

    A blend reads two images for each that it writes. In place it is the dropped bytes: what is written, and as much
    read from a partner, or twice as much for a blend. Partners that read each other in rings have one of each ring put
    aside, which is read once more: at most what is dropped.
    """
    looks, blends = isinstance(t.fill, (ImageMean, Blur)), isinstance(t, ad.Mixup)
    reads = 2 * t.mixes + blends if state == IN_PLACE else 1 + blends
    images_ = cost.written * (1 + reads) if state == IN_PLACE else size * (1 + reads)
    # The first launch reads the images once, and what it writes is small and read by the second.
    return {"kernels": 1 + looks, "limit": images_ + cost.copied + looks * size * 1.1}
