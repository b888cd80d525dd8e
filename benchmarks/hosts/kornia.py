"""kornia: AugDrop's ops beside kornia's own, in its container, and alone where labels are mixed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch

import augdrop as ad
from benchmarks.comparison import CLASSES, against, row
from benchmarks.timing import Effort, Row, images

SAME = 1.1
"""Doing what kornia's own op does, ours is to take at most this share of its time …"""
BY_SAMPLE = 1 / 20
"""… and much less where kornia goes sample by sample."""


def rows(effort: Effort) -> Iterator[Row]:
    """One batch of floats, which is all that kornia takes; a draw for each sample on both sides."""
    import kornia.augmentation as K

    x = images(effort.shapes[1], torch.float32)
    masks, y = torch.randint(0, 9, (len(x), 1, *x.shape[-2:])), torch.randint(0, CLASSES, (len(x),))

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
        ("RandomErasing", "images", lambda: images_only(x), lambda: own(x), SAME),
        ("RandomErasing", "images and masks", lambda: both(x, masks), lambda: own_both(x, masks), SAME),
        ("RandomCutMixV2", "images", lambda: mixed(x), lambda: own_mixed(x), BY_SAMPLE),
        ("RandomCutMixV2", "alone, images and labels", lambda: mix(x, y), lambda: own_mix(x, y), BY_SAMPLE),
    ):
        given = {"name": name, "state": state, "peer": f"kornia {name}", "target": target}
        yield row(against(ours, theirs, x, effort), x, section="hosts", **given)
