"""albumentations: AugDrop's transforms beside albumentations' own, each in an A.Compose, one image a call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import augdrop as ad
from benchmarks.comparison import against, row
from benchmarks.timing import DTYPES, Effort, Row, images

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no look at the network while the clock runs

SAME = 1.1
"""What ours is to take of the time of the host's own op at most."""

OURS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "Erasing": (
        {"scale": (0.02, 0.33), "ratio": (0.3, 3.3)},
        lambda: ad.RandomErasing.preset("torchvision", p=1.0, seed=0),
    ),
    "CoarseDropout": ({"num_holes_range": (1, 2)}, lambda: ad.CoarseDropout(seed=0)),
    "GridDropout": ({"ratio": 0.5, "random_offset": True}, lambda: ad.GridDropout(seed=0)),
}
"""The host's op with its options, and ours of the same law."""


def rows(effort: Effort) -> Iterator[Row]:
    """A single image, uint8 and float32."""
    import albumentations as A

    for dtype in DTYPES:
        x = images(effort.shapes[0], dtype)
        image = np.ascontiguousarray(x.permute(1, 2, 0).numpy())
        for name, (options, make) in OURS.items():
            own, stage = A.Compose([getattr(A, name)(p=1.0, **options)]), A.Compose([ad.to_albumentations(make())])
            ours, theirs = (lambda s=stage, i=image: s(image=i)), (lambda s=own, i=image: s(image=i))
            given = {"name": name, "state": "A.Compose, one image", "peer": f"albumentations {name}"}
            yield row(against([ours], [theirs], [x], effort), x, section="hosts", target=SAME, **given)
