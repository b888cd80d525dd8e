"""Samples: take a transform's inputs apart, whatever their structure, and put them together again.

Inputs are tensors, (image, label) pairs, dicts, or nested structures of these in any order of keys, with tv_tensors,
PIL images or NumPy arrays H×W×C. They are one sample (an image of three axes, or a PIL image); or a batch (an image
leaf with a batch axis, or a list of images; beside it labels ``[B]``, masks ``[B, H, W]``, and lists of B boxes,
instance masks, keypoints or dicts of them); or a list of samples, of several sizes if need be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import torch
from torch import Tensor

from augdrop import annotations, labels
from augdrop.annotations.policy import Policy
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.samples import edge, roles
from augdrop.samples.annotated import Annotated, annotated
from augdrop.samples.roles import Column, Layout
from augdrop.samples.tree import Path, at, leaves, rebuild

Paint = Callable[[Tensor, Any, bool], Tensor]
"""``paint(images, plan, ours)``: the painted images; where ``ours``, they are a copy that may be painted in place."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Samples of one size and dtype.

    Args:
        images: ``[B, C, H, W]`` or ``[B, T, C, H, W]``, a plain tensor; a view of the caller's memory unless ``ours``.
        extra: further images of the same samples, which share the draw.
        positions: of these samples in the whole batch.
        ours: are the images a copy?
    """

    images: Tensor
    extra: list[Tensor]
    positions: list[int]
    ours: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """A transform's inputs, taken apart by `unpack`.

    Args:
        root: the inputs.
        layout: where the samples are.
        groups: the images; one group unless the samples differ in size or dtype.
        keys: int64 ``[B]`` from a ``"key"`` entry of integers, or None.
        homes: boxes, masks and keypoints by the container that they share.
        label: where the class labels are.
        unknown: are there other values, one of which may be a label?
        named: are samples dicts, which have their labels with them?
    """

    root: Any
    layout: Layout
    groups: list[Group]
    keys: Tensor | None
    homes: list[Annotated]
    label: Column | None
    unknown: bool
    named: bool

    @property
    def size(self) -> int:
        """B."""
        return self.layout.size

    @property
    def annotated(self) -> bool:
        """Are there boxes, masks or keypoints?"""
        return bool(self.homes)

    def boxes(self, group: Group) -> list[Tensor]:
        """The object boxes of a group's samples, ``[K, 4]`` each as ``x0, y0, x1, y1``; K = 0 where there are none."""
        found = [[h.read(self.root, b).boxes for h in self.homes] for b in group.positions]
        return [next((v for v in given if v is not None), torch.zeros(0, 4)) for given in found]

    def finish(
        self,
        paint: Paint,
        plans: list[Any],
        *,
        mixes: bool,
        label_options: dict[str, Any] | None,
        policy: Policy,
    ) -> Any:
        """The inputs with everything done that the plans say, in the same nesting; the caller's own stay as they are.

        Labels and annotations come first, so that nothing has been painted when they raise.

        Args:
            paint: paints a tensor of images by a plan.
            plans: one for each group; labels are only mixed in a batch of one group.
            mixes: do samples get partners?
            label_options: for `augdrop.labels.mix`; None leaves labels as they are.
            policy: for annotations.
        """
        edits: dict[Path, Any] = {}
        if label_options is not None:
            self._mix_labels(plans, label_options, edits)
        for home in self.homes if self.size else ():
            self._follow(home, plans, mixes, policy, edits)
        for group, plan in zip(self.groups, plans, strict=True):
            for number, images in enumerate((group.images, *group.extra)):
                self._put(group, number, images, paint(images, plan, group.ours), edits)
        return rebuild(self.root, edits)

    def _put(self, group: Group, number: int, images: Tensor, painted: Tensor, edits: dict[Path, Any]) -> None:
        if self.layout.stacked:
            path = self.layout.images[0][number]
            leaf = at(self.root, path)
            edits[path] = leaf if painted is images and not group.ours else edge.like_image(painted, leaf)
            return
        for row, b in enumerate(group.positions):
            path = self.layout.images[b][number]
            leaf = at(self.root, path)
            edits[path] = leaf if painted is images and not group.ours else edge.like_image(painted[row], leaf)

    def _mix_labels(self, plans: list[Any], options: dict[str, Any], edits: dict[Path, Any]) -> None:
        column = self.label
        if column is None:
            expected = self.unknown or (self.named and options.get("num_classes") is not None)
            if expected and not self.annotated:
                raise fail(
                    "labels",
                    got="a sample in which none can be told",
                    expected="a second input, or a key such as 'labels'",
                    fix="Pass labels_getter, a function from the inputs to the labels; or None if there are none.",
                )
            return
        given = [at(self.root, path) for path in ([column.path] if column.stacked else column.paths)]
        target = edge.to_plain(given[0]) if column.stacked else _stack([edge.to_plain(leaf) for leaf in given])
        # Partners have one size, and so are in one group.
        (group,), (plan,) = self.groups, plans
        over_frames = len(plan.hit) != len(group.positions)
        shares = labels.OverFrames.of(plan, group.images.shape[1]) if over_frames else plan
        mixed = labels.mix(target, shares, **options)
        results = mixed if isinstance(mixed, tuple) else (mixed,)

        def value(tensors: Iterable[Tensor], leaf: Any) -> Any:
            converted = [edge.like(t, leaf) for t in tensors]
            return tuple(converted) if len(converted) > 1 else converted[0]

        if column.stacked:
            edits[column.path] = value(results, given[0])
        else:
            for b, path in enumerate(column.paths):
                edits[path] = value((r[b] for r in results), given[b])

    def _follow(self, home: Annotated, plans: list[Any], mixes: bool, policy: Policy, edits: dict[Path, Any]) -> None:
        before = [home.read(self.root, b) for b in range(self.size)]
        after = list(before)
        for group, plan in zip(self.groups, plans, strict=True):
            flat: Plan = plan.flat() if isinstance(plan, Plans) else plan
            if len(flat) != len(group.positions):
                raise fail(
                    "annotations of a video",
                    got="a region for each frame",
                    expected="one for all frames",
                    fix="Leave out per_frame, or the annotations.",
                )
            follow = annotations.mix if mixes and flat.partner is not None else annotations.erase
            done = follow([before[b] for b in group.positions], flat, policy)
            for b, objects in zip(group.positions, done, strict=True):
                after[b] = objects
        home.write(self.root, before, after, edits)


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
    taken = {name for home in homes for name in home.names}
    label = None if labels_getter is None else _label(root, where, found, taken, labels_getter)
    keys = next((_keys(root, c) for c in found.values() if roles.role(c.name, at(root, c.path)) == "keys"), None)
    rest = [c for c in found.values() if c.name not in taken and roles.key_of(c.name) not in roles.PER_IMAGE]
    unknown = labels_getter is not None and any(roles.is_numeric(at(root, c.path)) for c in rest)
    first = root[0] if where.kind == "samples" else root
    named = labels_getter is not None and isinstance(first, MutableMapping)
    return Batch(root, where, groups, keys, homes, label, unknown, named)


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


def _stack(values: list[Tensor]) -> Tensor:
    shapes = {tuple(v.shape) for v in values}
    if len(shapes) > 1:
        raise fail(
            "labels", got=f"shapes {sorted(shapes)}", expected="one shape for all samples", fix="See labels_getter."
        )
    return torch.stack(values)


def _keys(root: Any, column: Column) -> Tensor | None:
    if column.stacked:
        keys = edge.to_plain(at(root, column.path))
    else:
        keys = _stack([edge.to_plain(at(root, path)) for path in column.paths])
        keys = keys.flatten() if keys.numel() == len(column.paths) else keys
    return None if keys.is_floating_point() or keys.dtype == torch.bool else keys.long()


def _label(root: Any, where: Layout, found: dict[Path, Column], taken: set[Path], getter: Any) -> Column | None:
    free = {name: c for name, c in found.items() if name not in taken and roles.key_of(name) not in roles.KEYS}
    if callable(getter):
        given = getter(root[0] if where.kind == "samples" else root)
        for path, leaf in leaves(root):
            if leaf is given and roles.is_array(leaf):
                return free.get(roles.locate(root, where, path)[1])
        if given is None:
            return None
        raise fail(
            "labels_getter",
            got=type(given).__name__,
            expected="the very tensor that is in the sample",
            fix="Return it without a copy.",
        )
    if getter != "default":
        raise fail("labels_getter", got=repr(getter), expected="'default', a function or None", fix="See unpack.")
    numbers = {name: c for name, c in free.items() if roles.is_numeric(at(root, c.path))}
    keys = [lambda n, word=word: roles.key_of(n) == word for word in roles.LABELS]
    for fits in (lambda n: n == (1,), *keys, lambda n: "label" in roles.key_of(n)):
        for name, column in numbers.items():
            if fits(name):
                return column
    return None
