"""AugDrop's own rows: every method of the registry, whole, as a plan alone, and with each fill."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

import augdrop as ad
from augdrop.fills import Blur, ImageMean, Noise
from augdrop.regions import RandomGrid, RandomPixels
from benchmarks.floor import floor
from benchmarks.timing import (
    DTYPES,
    Call,
    Effort,
    Row,
    Shape,
    batches,
    images,
    in_turn,
    micros,
    named,
    race,
    ratio,
    short,
)

OUT, IN_PLACE = "out=", "in place"
PER_PIXEL = "bounded by the generator"

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "RandomErasing": {"fill=0": {"fill": 0}, "fill=0, the paper's p": {"fill": 0, "p": 0.5}},
    "GridMask": {"rotate=1": {"rotate": 1}},
}
"""Parameters that get rows of their own; all other rows have a method's defaults, but for p, which is 1."""

FILLS: dict[str, Any] = {
    "0": 0,
    "per channel": (120.0, 110.0, 100.0),
    "noise": Noise(),
    "normal": Noise("normal"),
    "normal a channel": Noise("normal", per="channel"),
    "mean": ImageMean(),
    "blur": Blur(),
}


class Subject(NamedTuple):
    """A transform under test. ``given(x)`` are the inputs that it takes besides images."""

    name: str
    transform: Any
    given: Callable[[Tensor], dict[str, Any]] = lambda x: {}
    note: str = ""


def subjects() -> Iterator[Subject]:
    """Every method, hitting every sample; one that looks at the images has a row for what a given score map leaves."""
    for name, cls in ad.METHODS.items():
        transform: Any = cls(p=1.0, seed=0)
        if transform.uses_pixels:
            yield Subject(f"{name} (scores given)", transform, lambda x: {"scores": _scores(x)})
            yield Subject(f"{name} (its own scores)", transform, note="bounded by the score map")
        else:
            yield Subject(name, transform, note=PER_PIXEL if noisy(transform) else "")
        for label, parameters in VARIANTS.get(name, {}).items():
            yield Subject(f"{name} ({label})", cls(**{"p": 1.0, "seed": 0, **parameters}))


def _scores(x: Tensor) -> Tensor:
    return torch.rand(len(x) if x.ndim > 3 else 1, 7, 7, generator=torch.Generator().manual_seed(0))


def noisy(transform: Any) -> bool:
    return isinstance(transform.fill, Noise) and transform.fill.per == "pixel"


def target(subject: Subject, state: str, shape: Shape) -> float | None:
    """What time / copy is to stay below: the targets are for batches of 64 images and more."""
    t = subject.transform
    if len(shape) == 3 or shape[0] < 64 or subject.note:
        return None
    reads_twice = isinstance(t.fill, (ImageMean, Blur))
    if state == IN_PLACE:
        return None if t.mixes or reads_twice else 0.2
    turned = isinstance(t.where, RandomGrid) and t.where.rotate > 1
    return 2.5 if reads_twice else 2.0 if turned else 1.3


def references(effort: Effort) -> Iterator[Row]:
    """``clone`` and ``copy_``: what the machine itself takes."""
    for shape in effort.shapes:
        for dtype in DTYPES:
            xs, turn = batches(shape, dtype), itertools.count()
            copies = [functools.partial(x.clone().copy_, x) for x in xs]
            calls = {"copy_": in_turn(copies, turn), "clone": in_turn([x.clone for x in xs], turn)}
            seconds = race(calls, effort)
            for name, s in seconds.items():
                to_copy = ratio(s, seconds["copy_"])
                yield Row("references", name, "", named(shape), short(dtype), micros(s), to_copy=to_copy)


def methods(effort: Effort) -> Iterator[Row]:
    """Every method with ``out=`` and in place."""
    for shape in effort.shapes:
        for dtype in DTYPES:
            for subject in subjects():
                if len(shape) == 3 and subject.transform.mixes:
                    continue  # an image alone has no partner
                yield from _measured("methods", subject, shape, dtype, effort)


def fills(effort: Effort) -> Iterator[Row]:
    """Every fill, in Random Erasing's rectangles."""
    for shape in effort.shapes[1:]:
        for dtype in DTYPES:
            for name, fill in FILLS.items():
                t = ad.RandomErasing(p=1.0, fill=fill, seed=0)
                subject = Subject(f"fill: {name}", t, note=PER_PIXEL if noisy(t) else "")
                yield from _measured("fills", subject, shape, dtype, effort)


def again(effort: Effort) -> Iterator[Row]:
    """Every method on one and the same batch of bytes, which then stays in the caches as no loader leaves it."""
    shape = effort.shapes[1]
    for subject in subjects():
        yield from _measured("again", subject, shape, torch.uint8, effort, [images(shape, torch.uint8)])


def _measured(
    section: str,
    subject: Subject,
    shape: Shape,
    dtype: torch.dtype,
    effort: Effort,
    xs: Sequence[Tensor] = (),
) -> Iterator[Row]:
    xs, turn = xs or batches(shape, dtype), itertools.count()
    outs, works = [[x.clone() for x in xs] for _ in range(2)]
    t, given = subject.transform, subject.given(xs[0])
    batch = 1 if len(shape) == 3 else shape[0]
    contenders: dict[str, Call] = {
        "copy_": in_turn([functools.partial(out.copy_, x) for x, out in zip(xs, outs, strict=True)], turn),
        OUT: in_turn([functools.partial(t, x, out=out, **given) for x, out in zip(xs, outs, strict=True)], turn),
        IN_PLACE: in_turn([functools.partial(t, work, inplace=True, **given) for work in works], turn),
    }
    if not t.mixes:
        # Several draws, as the timed calls have: the bytes of one alone would stay in the caches.
        masks = [t.plan((batch, *shape[-3:]), keys=range(draw * batch, (draw + 1) * batch)).mask() for draw in range(6)]
        places = itertools.islice(itertools.cycle(works), max(len(works), len(masks)))
        floors = [floor(work, mask) for work, mask in zip(places, itertools.cycle(masks))]
        contenders["floor"] = in_turn(floors, turn)
    seconds = race(contenders, effort)
    for state in (OUT, IN_PLACE):
        goal = target(subject, state, shape) if section != "again" else None
        yield Row(
            section,
            subject.name,
            state,
            named(shape),
            short(dtype),
            micros(seconds[state]),
            to_copy=ratio(seconds[state], seconds["copy_"]),
            floor=None if t.mixes or state == OUT else ratio(seconds["floor"], seconds["copy_"]),
            goal=None if goal is None else "to_copy",
            target=goal,
            note=subject.note,
        )


def plans(effort: Effort) -> Iterator[Row]:
    """Deciding alone: what `plan` takes for one image, and for each of 256."""
    size = effort.shapes[0][-2:]
    for subject in subjects():
        if subject.transform.uses_pixels and not subject.given(torch.empty(1, 3, *size)):
            continue  # it has no plan without pixels
        calls = {}
        for batch in (1, 256):
            shape = (batch, 3, *size)
            given = subject.given(torch.empty(shape, device="meta"))
            calls[batch] = lambda shape=shape, given=given, t=subject.transform: t.plan(shape, **given)
        seconds = race(calls, effort)
        one, many = micros(seconds[1]), micros(seconds[256]) / 256
        goal, note = ("value", "") if not isinstance(subject.transform.where, RandomPixels) else (None, PER_PIXEL)
        for batch, state, value, most in ((1, "a call", one, 10.0), (256, "a sample", many, 0.5)):
            shape = named((batch, 3, *size))
            yield Row("plans", subject.name, state, shape, value=value, goal=goal, target=goal and most, note=note)


def single(effort: Effort) -> Iterator[Row]:
    """One uint8 image through Random Erasing in place, all in all."""
    x = images(effort.shapes[0], torch.uint8)
    constant = ad.RandomErasing.preset("torchvision", p=1.0, seed=0)
    paper = ad.RandomErasing(p=1.0, seed=0)
    seconds = race(
        {"RandomErasing (fill=0)": lambda: constant(x, inplace=True), "RandomErasing": lambda: paper(x, inplace=True)},
        effort,
    )
    for name, s in seconds.items():
        bounded = name == "RandomErasing"
        yield Row(
            "single",
            name,
            IN_PLACE,
            named(effort.shapes[0]),
            "uint8",
            micros(s),
            goal=None if bounded else "value",
            target=None if bounded else 25.0,
            note=PER_PIXEL if bounded else "",
        )
