"""Unpacking: a transform's inputs, whatever their structure, taken apart into images, labels and annotations.

Inputs are tensors, (image, label) pairs, dicts, or nested structures of these in any order of keys, with tv_tensors,
PIL images or NumPy arrays H×W×C. They are one sample (an image of three axes, or a PIL image); or a batch (an image
leaf with a batch axis, or a list of images; beside it labels ``[B]``, masks ``[B, H, W]``, and lists of B boxes,
instance masks, keypoints or dicts of them); or a list of samples, of several sizes if need be.

Beside boxes, instance masks or skeletons, tensors and lists with a value for each object go and come with them.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.samples import edge, roles
from augdrop.samples.annotated import annotated, unmovable
from augdrop.samples.batch import Batch, Group, stack
from augdrop.samples.roles import Column, Layout
from augdrop.samples.tree import Path, at, leaves


def unpack(inputs: tuple[Any, ...], labels_getter: Any = "default") -> Batch:
    """Take a transform's positional inputs apart.

    Args:
        inputs: one or more; several are one structure, like a tuple. A list is a batch of samples if each has an image.
        labels_getter: as in torchvision's CutMix: ``"default"`` takes the second input or the key that says label; a
            function gets the inputs (each sample, of a list of samples) and returns the labels; None means no labels.
    """
    root = inputs[0] if len(inputs) == 1 else inputs
    where = roles.layout(root)
    groups = _groups(root, where)
    found = roles.columns(root, where)
    sizes = [(0, 0)] * where.size
    for group in groups:
        for b in group.positions:
            sizes[b] = (group.images.shape[-2], group.images.shape[-1])
    frames = groups[0].images.shape[1] if groups and groups[0].images.ndim == 5 else None
    homes = annotated(root, found, sizes, frames)
    ours = {name for home in homes for name in home.names}
    taken = {name for name in found if any(name[:depth] in ours for depth in range(1, len(name) + 1))}
    labels = [] if labels_getter is None else _labels(root, where, found, taken, labels_getter)
    keys = next((_keys(root, c) for c in found.values() if roles.role(c.name, at(root, c.path)) == "keys"), None)
    rest = [c for c in found.values() if c.name not in taken and roles.key_of(c.name) not in roles.PER_IMAGE]
    unknown = labels_getter is not None and any(roles.is_numeric(at(root, c.path)) for c in rest)
    first = root[0] if where.kind == "samples" else root
    named = labels_getter is not None and isinstance(first, (MutableMapping, tuple))
    return Batch(root, where, groups, keys, homes, labels, unknown, named, unmovable(root))


def _groups(root: Any, where: Layout) -> list[Group]:
    if where.stacked:
        images = [_image(root, path) for path in where.images[0]]
        _check_extra(images, where.images[0], stacked=True)
        ours = edge.is_copy(images[0], at(root, where.images[0][0]))
        return [Group(images[0], images[1:], list(range(where.size)), ours)]
    by_kind: dict[Any, list[tuple[int, list[Tensor]]]] = {}
    for b, paths in enumerate(where.images):
        images = [_image(root, path) for path in paths]
        _check_extra(images, paths, stacked=False)
        kind = tuple((tuple(i.shape), i.dtype, i.device) for i in images)
        by_kind.setdefault(kind, []).append((b, images))
    groups = []
    for members in by_kind.values():
        stacks = [_stack_images(list(same)) for same in zip(*(images for _, images in members), strict=True)]
        positions = [b for b, _ in members]
        ours = len(members) > 1 or edge.is_copy(stacks[0], at(root, where.images[positions[0]][0]))
        groups.append(Group(stacks[0], stacks[1:], positions, ours))
    return groups


def _image(root: Any, path: Path) -> Tensor:
    leaf = at(root, path)
    image = edge.to_image(leaf)
    if not 3 <= image.ndim <= 5 or 0 in image.shape[-3:]:
        raise fail(
            "images",
            got=f"shape {tuple(getattr(leaf, 'shape', image.shape))}",
            expected="[C, H, W], [B, C, H, W], [B, T, C, H, W] or an array H×W×C, none of C, H, W being 0",
            fix="Add the missing axes: a grey image has one channel.",
        )
    return image


def _check_extra(images: list[Tensor], paths: list[Path], stacked: bool) -> None:
    for image, path in zip(images[1:], paths[1:], strict=True):
        if image.shape[-2:] != images[0].shape[-2:] or (stacked and len(image) != len(images[0])):
            raise fail(
                f"image {'.'.join(map(str, path))}",
                got=tuple(image.shape),
                expected=f"the size of the sample's first image, {tuple(images[0].shape)}",
                fix="Images of one sample share the draw. Resize them, or transform them one by one.",
            )


def _stack_images(images: list[Tensor]) -> Tensor:
    """One tensor; of images that lie in memory with channels last, one that does so too."""
    if len(images) == 1:
        return images[0][None]
    if all(i.movedim(-3, -1).is_contiguous() for i in images):
        return torch.stack([i.movedim(-3, -1) for i in images]).movedim(-1, -3)
    return torch.stack(images)


def _keys(root: Any, column: Column) -> Tensor | None:
    if column.stacked:
        keys = edge.to_plain(at(root, column.path))
    else:
        keys = stack([edge.to_plain(at(root, path)) for path in column.paths])
        keys = keys.flatten() if keys.numel() == len(column.paths) else keys
    return None if keys.is_floating_point() or keys.dtype == torch.bool else keys.long()


def _labels(root: Any, where: Layout, found: dict[Path, Column], taken: set[Path], getter: Any) -> list[Column]:
    """Where the labels are; more than one place if nothing tells which of them is meant."""
    free = {name: c for name, c in found.items() if name not in taken and roles.key_of(name) not in roles.KEYS}
    if callable(getter):
        given = getter(root[0] if where.kind == "samples" else root)
        for path, leaf in leaves(root):
            if leaf is given and roles.is_array(leaf):
                column = free.get(roles.locate(root, where, path)[1])
                return [] if column is None else [column]
        if given is None:
            return []
        raise fail(
            "labels_getter",
            got=type(given).__name__,
            expected="the very tensor that is in the sample",
            fix="Return it without a copy.",
        )
    if getter != "default":
        raise fail(
            "labels_getter",
            got=repr(getter),
            expected="'default', a function or None",
            fix="It gets the inputs, and returns the labels in them.",
        )
    numbers = {name: c for name, c in free.items() if roles.is_numeric(at(root, c.path))}
    keys = [lambda n, word=word: roles.key_of(n) == word for word in roles.LABELS]
    for fits in (lambda n: n == (1,), *keys):
        for name, column in numbers.items():
            if fits(name):
                return [column]
    return [column for name, column in numbers.items() if "label" in roles.key_of(name)]
