"""kornia: AugDrop's ops beside kornia's own, in its container, and alone where labels are mixed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

import augdrop as ad
from benchmarks.comparison import CLASSES, against, row
from benchmarks.timing import Effort, Row, batches

SAME = 1.1
"""Doing what kornia's own op does, ours is to take at most this share of its time …"""
BY_SAMPLE = 1 / 20
"""… and much less where kornia goes sample by sample."""


def rows(effort: Effort) -> Iterator[Row]:
    """One batch of floats, which is all that kornia takes; a draw for each sample on both sides."""
    import kornia.augmentation as K

    xs = batches(effort.shapes[1], torch.float32)
    n, _, *size = xs[0].shape
    masks, y = torch.randint(0, 9, (n, 1, *size)), torch.randint(0, CLASSES, (n,))

    def inside(op: Any, *keys: str) -> Any:
        return K.AugmentationSequential(op, data_keys=["input", *keys])

    def erasing(**options: Any) -> Any:
        return ad.to_kornia(ad.RandomErasing.preset("torchvision", p=1.0, seed=0, **options))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kornia's, about its own defaults
        own_mix = K.RandomCutMixV2(p=1.0, data_keys=["input", "class"], use_correct_lambda=True)
    mix = ad.to_kornia(ad.CutMix(box="inside", num_classes=CLASSES, seed=0))
    images_only, own = inside(erasing()), inside(K.RandomErasing(p=1.0))
    both, own_both = (
        inside(erasing(annotations=ad.Policy(masks="fill")), "mask"),
        inside(K.RandomErasing(p=1.0), "mask"),
    )
    mixed, own_mixed = inside(mix), inside(own_mix)
    for name, state, ours, theirs, target in (
        ("RandomErasing", "images", images_only, own, SAME),
        ("RandomErasing", "images and masks", lambda x: both(x, masks), lambda x: own_both(x, masks), SAME),
        ("RandomCutMixV2", "images", mixed, own_mixed, BY_SAMPLE),
        ("RandomCutMixV2", "alone, images and labels", lambda x: mix(x, y), lambda x: own_mix(x, y), BY_SAMPLE),
    ):
        given = {"name": name, "state": state, "peer": f"kornia {name}", "target": target}
        calls = [[partial(call, x) for x in xs] for call in (ours, theirs)]
        yield row(against(*calls, xs, effort), xs[0], section="hosts", **given)
