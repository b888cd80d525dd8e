"""Batch: a transform's inputs while they are apart, and how they are put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from augdrop import annotations
from augdrop.annotations.members import Policies, each
from augdrop.errors import AugDropError, fail
from augdrop.samples import edge, formats
from augdrop.samples.annotated import Annotated
from augdrop.samples.roles import Column, Layout, key_of
from augdrop.samples.tree import Path, at, rebuild

Paint = Callable[[Tensor, Any, bool], Tensor]
"""``paint(images, plan, ours)``: the painted images; where ``ours``, they are a copy that may be painted in place."""

MixLabels = Callable[[Tensor, Any, Tensor], Any]
"""``mix_labels(targets, plan, images)``: the targets of a batch that is mixed."""


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
        labels: where the class labels are; several places if it cannot be told which.
        unknown: are there other values, one of which may be a label?
        named: are samples dicts or tuples, which have their labels with them?
        unmovable: boxes or keypoints in a form that cannot follow a drop, and the error if they have to.
    """

    root: Any
    layout: Layout
    groups: list[Group]
    keys: Tensor | None
    homes: list[Annotated]
    labels: list[Column]
    unknown: bool
    named: bool
    unmovable: dict[str, AugDropError]

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
        if "boxes" in self.unmovable:
            raise self.unmovable["boxes"]
        found = [[h.read(self.root, b).boxes for h in self.homes] for b in group.positions]
        return [next((formats.upright(v) for v in given if v is not None), torch.zeros(0, 4)) for given in found]

    def finish(
        self,
        paint: Paint,
        plans: list[Any],
        *,
        mixes: bool,
        mix_labels: MixLabels | None,
        num_classes: int | None,
        policies: Policies,
    ) -> Any:
        """The inputs with everything done that the plans say, in the same nesting; the caller's own stay as they are.

        Labels and annotations come first, so that nothing has been painted when they raise.

        Args:
            paint: paints a tensor of images by a plan.
            plans: one for each group; labels are only mixed in a batch of one group.
            mixes: do samples get partners?
            mix_labels: mixes the labels of a group; None leaves labels as they are.
            num_classes: of the labels, where the transform was told: then there have to be some.
            policies: for annotations, nested as the plans are.
        """
        edits: dict[Path, Any] = {}
        for part, error in self.unmovable.items():
            if mixes or any(getattr(policy, part) != "keep" for policy in each(policies)):
                raise error
        if mix_labels is not None:
            self._mix_labels(plans, mix_labels, num_classes, edits)
        for home in self.homes if self.size else ():
            self._follow(home, plans, policies, edits)
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

    def _mix_labels(
        self, plans: list[Any], mix_labels: MixLabels, num_classes: int | None, edits: dict[Path, Any]
    ) -> None:
        if not self.labels:
            expected = self.unknown or (self.named and num_classes is not None)
            if expected and not self.annotated:
                raise fail(
                    "labels",
                    got="a sample in which none can be told",
                    expected="a second input, or a key such as 'labels'",
                    fix="Pass labels_getter, a function from the inputs to the labels; or None if there are none.",
                )
            return
        if len(self.labels) > 1:
            raise fail(
                "labels",
                got=" and ".join(repr(key_of(column.name)) for column in self.labels),
                expected="one of them, or 'label'",
                fix="Pass labels_getter, a function from the inputs to those that are to be mixed.",
            )
        (column,) = self.labels
        given = [at(self.root, path) for path in ([column.path] if column.stacked else column.paths)]
        target = edge.to_plain(given[0]) if column.stacked else stack([edge.to_plain(leaf) for leaf in given])
        # Partners have one size, and so are in one group.
        (group,), (plan,) = self.groups, plans
        mixed = mix_labels(target, plan, group.images)
        results = mixed if isinstance(mixed, tuple) else (mixed,)

        def value(tensors: Iterable[Tensor], leaf: Any) -> Any:
            converted = [edge.like(t, leaf) for t in tensors]
            return tuple(converted) if len(converted) > 1 else converted[0]

        if column.stacked:
            edits[column.path] = value(results, given[0])
        else:
            for b, path in enumerate(column.paths):
                edits[path] = value((r[b] for r in results), given[b])

    def _follow(self, home: Annotated, plans: list[Any], policies: Policies, edits: dict[Path, Any]) -> None:
        before = [home.read(self.root, b) for b in range(self.size)]
        after = list(before)
        for group, plan in zip(self.groups, plans, strict=True):
            done = annotations.follow([before[b] for b in group.positions], plan, policies)
            for b, objects in zip(group.positions, done, strict=True):
                after[b] = objects
        home.write(self.root, before, after, edits)


def stack(values: list[Tensor]) -> Tensor:
    """Rows, one a sample, as one tensor."""
    shapes = {tuple(v.shape) for v in values}
    if len(shapes) > 1:
        raise fail(
            "labels", got=f"shapes {sorted(shapes)}", expected="one shape for all samples", fix="See labels_getter."
        )
    return torch.stack(values)
