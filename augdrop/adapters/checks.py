"""Checks that adapters share: what a transform is, where channels are, whether keys repeat, and whose error it is."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from augdrop.errors import AugDropError, fail
from augdrop.transforms.base import Transform


class named:
    """Errors of the core in this block begin with the adapter's name.

    Example:
        >>> with named("to_arrays"):
        ...     raise fail("labels", got="2 values", expected="3", fix="")
        Traceback (most recent call last):
        ...
        augdrop.errors.AugDropError: to_arrays: labels: got 2 values; expected 3.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        """Nothing to prepare: samples that come one by one pass here, too."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, AugDropError):
            own = str(error).startswith(f"{self.where}: ")
            raise type(error)(f"{'' if own else self.where + ': '}{error}".rstrip()) from None


def check_transform(where: str, transform: Any) -> None:
    """Raise unless it is one of AugDrop's."""
    if not isinstance(transform, Transform):
        got, fix = type(transform).__name__, "Such as ad.Cutout(16)."
        raise fail(where, got=got, expected="an AugDrop transform", fix=fix)


def check_layout(where: str, shape: Sequence[int], layout: str) -> None:
    """Raise for images ``[..., H, W, C]`` or ``[..., C, H, W]`` whose channels lie where the other layout has them.

    They do if the axis of channels has more than four entries and a side of the image would have at most four.

    Args:
        where: the adapter.
        shape: of the images.
        layout: its last three letters are ``HWC`` or ``CHW``.

    Example:
        >>> check_layout("to_x", (224, 224, 3), "HWC")
        >>> check_layout("to_x", (3, 224, 224), "HWC")
        Traceback (most recent call last):
        ...
        augdrop.errors.AugDropError: to_x: got shape (3, 224, 224); expected HWC. Its channels are not last: move them.
    """
    last = layout.endswith("HWC")
    channels, other = (-1, -3) if last else (-3, -1)
    if len(shape) >= 3 and shape[other] <= 4 < min(shape[channels], shape[-2]):
        raise fail(
            where,
            got=f"shape {tuple(shape)}",
            expected=layout,
            fix=f"Its channels are {'not ' if last else ''}last: move them.",
        )


def check_distinct(where: str, keys: Any, fix: str) -> None:
    """Raise if two samples of a batch have one key: they would get one drop, and their partners would go by position.

    Example:
        >>> check_distinct("keys", [3, 5, 3], "Number them.")
        Traceback (most recent call last):
        ...
        augdrop.errors.AugDropError: keys: got 3 twice in a batch; expected a key for each sample. Number them.
    """
    values, counts = np.unique(keys, return_counts=True)
    if len(values) < len(keys):
        again = values[counts > 1][0]
        raise fail(where, got=f"{again} twice in a batch", expected="a key for each sample", fix=fix)
