"""Roles: what each leaf of a nested sample is, by its class, its key and its shape, and which samples it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from torch import Tensor
from torchvision import tv_tensors

from augdrop.errors import fail
from augdrop.samples.edge import KeyPoints
from augdrop.samples.tree import Path, at, is_sequence, leaves

IMAGES = ("image", "images", "img", "imgs", "pixel_values", "video", "videos", "inputs", "x")
BOXES = ("boxes", "bboxes")
MASKS = ("mask", "masks", "segmentation", "segmentations")
KEYPOINTS = ("keypoints",)
LABELS = ("labels", "label", "targets", "target", "y")
KEYS = ("key", "keys")
PER_IMAGE = (*KEYS, "image_id", "size", "orig_size")
"""Keys of numbers about the image, which must not be taken for a row for each object if the count happens to fit."""


class Layout(NamedTuple):
    """How samples lie in a tree.

    ``images`` has the paths of each sample's images, the main one first; or of the leaves that hold all samples if
    ``stacked``. ``kind`` is ``"single"``, ``"samples"`` (a list of samples) or ``"batch"`` (leaves and lists of B).
    """

    kind: str
    size: int
    images: list[list[Path]]
    stacked: bool


class Column(NamedTuple):
    """One kind of leaf over all samples: a path for each, or one path to a leaf that holds all of them as rows."""

    name: Path
    path: Path
    paths: list[Path]
    stacked: bool


def key_of(path: Path) -> str:
    """The innermost key on a path, in lower case."""
    return next((step.lower() for step in reversed(path) if isinstance(step, str)), "")


def is_array(leaf: Any) -> bool:
    """Tensors and NumPy arrays."""
    return isinstance(leaf, (Tensor, np.ndarray))


def is_numeric(leaf: Any) -> bool:
    """Arrays and single numbers."""
    return is_array(leaf) or isinstance(leaf, Real)


def role(path: Path, leaf: Any) -> str | None:
    """What an annotation or key is: ``"boxes"``, ``"masks"``, ``"keypoints"``, ``"keys"``, or None for all else."""
    for cls, name in ((tv_tensors.BoundingBoxes, "boxes"), (tv_tensors.Mask, "masks"), (KeyPoints, "keypoints")):
        if isinstance(leaf, cls):
            return name
    key = key_of(path)
    if key in KEYS and (is_array(leaf) or (isinstance(leaf, Integral) and not isinstance(leaf, bool))):
        return "keys"
    if not is_array(leaf):
        return "masks" if key in MASKS and isinstance(leaf, PIL.Image.Image) else None
    named = {"boxes": BOXES, "masks": MASKS, "keypoints": KEYPOINTS}
    return next((name for name, words in named.items() if key in words), None)


def find_images(items: Iterable[tuple[Path, Any]]) -> list[Path]:
    """The images among the leaves of a tree, the main one first.

    All that say so by their class (tv_tensors and PIL, which share their draw); else those under the first key of
    `IMAGES` that is there; else the first array of three or more axes that is not something else by its key.
    """
    items = list(items)
    wrapped = (tv_tensors.Image, tv_tensors.Video, PIL.Image.Image)
    found = [p for p, leaf in items if isinstance(leaf, wrapped) and role(p, leaf) is None]
    if found:
        return found
    arrays = [(p, leaf) for p, leaf in items if is_array(leaf) and leaf.ndim >= 3 and role(p, leaf) is None]
    for key in IMAGES:
        found = [p for p, _ in arrays if key_of(p) == key]
        if found:
            return found
    return [p for p, _ in arrays if not is_label_key(key_of(p))][:1]


def is_label_key(key: str) -> bool:
    """Does a key speak of labels?"""
    return key in LABELS or "label" in key


def holds_batch(path: Path, leaf: Any) -> bool:
    """Does an image leaf hold several samples?"""
    if isinstance(leaf, PIL.Image.Image):
        return False
    video = isinstance(leaf, tv_tensors.Video) or key_of(path) == "video"
    return leaf.ndim > (4 if video else 3)


def layout(root: Any) -> Layout:
    """Find the samples of a tree: one, a list of them, or leaves and lists with B of each."""
    if isinstance(root, list) and root:
        found = [find_images((p, leaf) for p, leaf in leaves(child, (i,))) for i, child in enumerate(root)]
        nested = all(is_sequence(child) or isinstance(child, MutableMapping) for child in root)
        if found[0] and not holds_batch(found[0][0], at(root, found[0][0])) and (all(found) or nested):
            if not all(found):
                raise fail(
                    "images", got=f"none in sample {found.index([])}", expected="one in each sample of the list", fix=""
                )
            return Layout("samples", len(root), found, False)
    items = list(leaves(root))
    found = find_images(items)
    if not found:
        flat = [leaf for p, leaf in items if is_array(leaf) and leaf.ndim == 2 and role(p, leaf) is None]
        got, fix = "none", "Check the sample."
        if flat:
            got = f"none, but an array {tuple(flat[0].shape)}"
            fix = "Add a channel axis to a grey image: x[None], or array[..., None]."
        elif any(isinstance(leaf, Real) and key_of(p) in IMAGES for p, leaf in items):
            got, fix = "lists of numbers", "Make an array of them. A column of Hugging Face's: datasets.Image()."
        expected = "a tensor [C, H, W] or [B, C, H, W], an array H×W×C, or a PIL image"
        raise fail("images", got=got, expected=expected, fix=fix)
    main = found[0]
    if holds_batch(main, at(root, main)):
        return Layout("batch", len(at(root, main)), [found], True)
    size = _list_of_images(root, main)
    if size is None:
        return Layout("single", 1, [found], False)
    images: list[list[Path]] = [[] for _ in range(size)]
    for path in found if len(found) > 1 else [(*main[:-1], i) for i in range(size)]:
        b = locate(root, Layout("batch", size, [], False), path)[0]
        if b is not None:
            images[b].append(path)
    return Layout("batch", size, images, False)


def _list_of_images(root: Any, main: Path) -> int | None:
    """The batch size if the main image is in a list with one image a sample, as collating by hand gives it."""
    if len(main) != 2 or not isinstance(main[1], int) or not is_sequence(at(root, main[:1])):
        return None
    images = at(root, main[:1])
    if not all(isinstance(i, PIL.Image.Image) or (is_array(i) and i.ndim >= 3) for i in images):
        return None
    size = len(images)
    keys = root.keys() if isinstance(root, MutableMapping) else range(len(root))
    others = [root[key] for key in keys if key != main[0]]
    if not all((is_sequence(o) and len(o) == size) or (is_array(o) and o.ndim and len(o) == size) for o in others):
        return None
    return size if others or isinstance(images, list) else None


def locate(root: Any, where: Layout, path: Path) -> tuple[int | None, Path]:
    """The sample that a leaf belongs to (None: it holds all of them), and its path without that sample's index."""
    if where.kind == "single":
        return 0, path
    if where.kind == "samples":
        return int(path[0]), path[1:]  # type: ignore[call-overload]
    node = root
    for depth, step in enumerate(path):
        if depth and is_sequence(node) and len(node) == where.size:
            return int(step), (*path[:depth], *path[depth + 1 :])  # type: ignore[call-overload]
        node = node[step]
    return None, path


def columns(root: Any, where: Layout) -> dict[Path, Column]:
    """The leaves of a tree, but its images, by their place within a sample."""
    skip = {path for paths in where.images for path in paths}
    paths: dict[Path, dict[int | None, Path]] = {}
    for path, _ in leaves(root):
        if path not in skip:
            b, name = locate(root, where, path)
            paths.setdefault(name, {})[b] = path
    found = {}
    for name, by_sample in paths.items():
        if None in by_sample:
            found[name] = Column(name, by_sample[None], [by_sample[None]] * where.size, True)
        elif len(by_sample) == where.size:
            found[name] = Column(name, by_sample[0], [by_sample[b] for b in range(where.size)], False)
        elif role(name, at(root, next(iter(by_sample.values())))) is not None:
            b = next(b for b in range(where.size) if b not in by_sample)
            raise fail(
                f"sample {b}",
                got=f"no {key_of(name) or 'annotations'}",
                expected="the same parts in every sample of a batch",
                fix="Give empty ones where there is nothing.",
            )
    return found
