"""Warm-up: what transforms compile, or load from the disk cache, before the first batch instead of during it."""

from __future__ import annotations

import copy

import numpy as np
import torch

from augdrop.errors import fail
from augdrop.registry import METHODS
from augdrop.transforms.base import Transform
from augdrop.transforms.regional import RegionalDropout


def warmup(*transforms: Transform, dtypes: tuple[torch.dtype, ...] = (torch.uint8, torch.float32)) -> None:
    """Make compiled code ready: the first time ever it is compiled (seconds a method), later read from the disk.

    A DataLoader's workers inherit it if they are forked; spawned ones call it by ``worker_init_fn``. Transforms and
    torch's generator stay as they are.

    Args:
        transforms: what will be called, compositions too; by default every method with its own defaults.
        dtypes: of the images that they will be called with.

    Raises:
        AugDropError: for what is not a transform.

    Example:
        >>> import augdrop as ad, torch
        >>> ad.warmup(ad.Cutout(16), dtypes=(torch.uint8,))
    """
    for t in transforms:
        if not isinstance(t, Transform):
            raise fail("warmup", got=repr(t), expected="transforms of augdrop", fix="Use warmup(t), or warmup(t, u).")
    with torch.random.fork_rng(devices=()):
        methods = transforms or [cls(seed=0) for cls in METHODS.values()]
        for method in (m for t in methods for m in t.modules() if isinstance(m, RegionalDropout)):
            t = copy.deepcopy(method)
            t.draws(1, keys=0).header(np.ones(1))  # who is hit: with a chance of 1 nobody asks
            t.p = 1.0
            for dtype in dtypes:
                _call_each_way(t, torch.zeros(2, 3, 64, 64, dtype=dtype))


def _call_each_way(t: RegionalDropout, x: torch.Tensor) -> None:
    """A batch and an image alone, into a new tensor and in place."""
    for inplace in (False, True):
        t(x, keys=(0, 1), inplace=inplace)
    if not t.mixes:
        for _ in range(2):  # the first of its kind goes another way
            t(x[0], keys=0)
