"""timm: its Mixup, FastCollateMixup and RandomErasing against `augdrop.to_timm` in their places, called as timm does.

Both edit in place (but in collate_fn), make the soft targets and draw without keys. timm's labels for uint8 batches are
wrong in the modes "elem" and "pair" (the weight is rounded to 0 or 1); its time is what counts here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

import augdrop as ad
from benchmarks.comparison import CLASSES, against, row
from benchmarks.timing import DTYPES, Call, Effort, Row, batches

PER = {"batch": "batch", "pair": "pair", "elem": "sample"}
"""timm's modes, and who shares a draw with us."""
FLOAT = (torch.float32,)
SAME = 1.1
"""What ours is to take of timm's time at most."""


class Pair(NamedTuple):
    """Two ways to do one job. ``theirs`` and ``ours`` are made anew for each batch."""

    call: str
    theirs: Callable[[], Any]
    ours: Callable[[], Any]
    place: str
    dtypes: tuple[torch.dtype, ...] = DTYPES


def pairs() -> Iterator[Pair]:
    """What timm has, and ours with the same law."""
    from timm.data.mixup import FastCollateMixup, Mixup
    from timm.data.random_erasing import RandomErasing

    cutmix = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "num_classes": CLASSES}
    mixup = {"mixup_alpha": 0.8, "cutmix_alpha": 0.0, "num_classes": CLASSES}
    ours = {"num_classes": CLASSES, "label_smoothing": 0.1, "seed": 0}
    for mode, per in PER.items():

        def our_cutmix(per: Any = per) -> ad.Transform:
            return ad.CutMix(box="clipped-odd", per=per, **ours)

        def our_mixup(per: Any = per) -> ad.Transform:
            return ad.Mixup(alpha=0.8, per=per, **ours)

        theirs = {"mode": mode}
        yield Pair(f'Mixup(cutmix, mode="{mode}")', lambda o=theirs: Mixup(**cutmix, **o), our_cutmix, "mixup_fn")
        # Its blend of a whole uint8 batch raises.
        dtypes = FLOAT if mode == "batch" else DTYPES
        yield Pair(f'Mixup(mixup, mode="{mode}")', lambda o=theirs: Mixup(**mixup, **o), our_mixup, "mixup_fn", dtypes)
        yield Pair(
            f'FastCollateMixup(cutmix, mode="{mode}")',
            lambda o=theirs: FastCollateMixup(**cutmix, **o),
            our_cutmix,
            "collate_fn",
            (torch.uint8,),
        )
    for mode, preset in (("const", "timm"), ("rand", "timm-rand"), ("pixel", "timm-pixel")):
        yield Pair(
            f'RandomErasing(mode="{mode}")',
            lambda mode=mode: RandomErasing(probability=1.0, mode=mode, device="cpu"),
            lambda preset=preset: ad.RandomErasing.preset(preset, p=1.0, seed=0),
            "random_erasing",
            DTYPES if mode == "const" else FLOAT,
        )


def rows(effort: Effort) -> Iterator[Row]:
    """Every pair at B = 64 of 224² (the second shape of ``effort``)."""
    shape = effort.shapes[1]
    for pair in pairs():
        for dtype in pair.dtypes:
            xs, y = batches(shape, dtype), torch.randint(0, CLASSES, (shape[0],))
            theirs = [called(pair.place, pair.theirs(), x, y) for x in xs]
            ours = [called(pair.place, ad.to_timm(pair.ours()), x, y) for x in xs]
            given = {"name": pair.call, "state": pair.place, "peer": f"timm {pair.call}"}
            yield row(against(ours, theirs, xs, effort), xs[0], section="hosts", target=SAME, **given)


def called(place: str, stage: Any, x: Tensor, y: Tensor) -> Call:
    """A call as timm makes it in one of its three places; each stage has images of its own."""
    x = x.clone()
    if place == "collate_fn":
        items = [(image.numpy(), int(label)) for image, label in zip(x, y, strict=True)]
        return lambda: stage(items)
    if place == "mixup_fn":
        return lambda: stage(x, y)
    return lambda: stage(x)
