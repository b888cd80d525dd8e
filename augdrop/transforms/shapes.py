"""How many samples an input is, and images of which nothing but the shape is known."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
from torch import Tensor

from augdrop.errors import fail


class Shape:
    """Images of which nothing but the shape is known: what a plan without pixels is made for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __len__(self) -> int:
        return self.shape[0]


def unseen(shape: Any) -> tuple[Tensor, int]:
    """A `Shape` that passes for images, and how many samples they are."""
    if isinstance(shape, (Tensor, np.ndarray)):
        raise fail(
            "plan: shape",
            got=f"images {tuple(shape.shape)}",
            expected="their sizes, as integers",
            fix="Pass images.shape; to decide and apply at once, call the transform.",
        )
    return _unseen(tuple(shape))


@lru_cache(256)
def _unseen(shape: tuple[int, ...]) -> tuple[Tensor, int]:
    images = cast(Tensor, Shape(shape))
    return images, batch_size(images)


def batch_size(x: Tensor) -> int:
    """Samples in an image, a batch or a video."""
    if x.ndim not in (3, 4, 5) or 0 in x.shape[-3:]:
        raise fail(
            "images",
            got=f"shape {tuple(x.shape)}",
            expected="[C, H, W], [B, C, H, W] or video [B, T, C, H, W], none of C, H, W being 0",
            fix="Add the missing axes: a grey image has C = 1.",
        )
    return 1 if x.ndim == 3 else len(x)
