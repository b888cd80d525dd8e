"""Lists beside boxes, with a value of any kind for each object: they follow the objects by number."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from augdrop.samples import roles
from augdrop.samples.roles import Column
from augdrop.samples.tree import Path, at, leaves

NUMBER = "number of the object"
"""The field by which lists follow: objects are numbered through all samples."""

APART = (*roles.IMAGES, *roles.BOXES, "bbox", *roles.KEYPOINTS, *roles.PER_IMAGE)
"""Keys of lists that are something else."""


def lists_beside(root: Any, anchor: Column, counts: list[int | None]) -> dict[str, list[Path]]:
    """The lists, by key, that have a value for each object of every sample, and where they are."""
    if not anchor.name or not isinstance(anchor.name[-1], str) or None in counts:
        return {}
    found = {}
    for key in at(root, _beside(anchor, 0, "")[: -2 if _by_sample(anchor) else -1]) if counts else ():
        paths = [_beside(anchor, b, key) for b in range(len(counts))]
        if key.lower() not in APART and all(_holds(root, path, n) for path, n in zip(paths, counts, strict=True)):
            found[key] = paths
    return found


def numbers(values: list[Any]) -> Tensor | None:
    """A list as a tensor, if it has nothing but numbers."""
    if not all(isinstance(v, Real) for v in values):
        return None
    return torch.tensor(values, dtype=torch.int64 if all(isinstance(v, Integral) for v in values) else torch.float64)


def _by_sample(anchor: Column) -> bool:
    """Are there lists of B beside the anchor, rather than a dict for each sample?"""
    return anchor.stacked or anchor.paths[0][-1] != anchor.name[-1]


def _beside(anchor: Column, b: int, key: str) -> Path:
    if anchor.stacked:
        return (*anchor.path[:-1], key, b)
    path = anchor.paths[b]
    return (*path[:-2], key, path[-1]) if _by_sample(anchor) else (*path[:-1], key)


def _holds(root: Any, path: Path, count: int | None) -> bool:
    try:
        values = at(root, path)
    except (KeyError, IndexError, TypeError):
        return False
    return isinstance(values, list) and len(values) == count and not any(roles.is_array(v) for _, v in leaves(values))
