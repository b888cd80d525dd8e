"""Annotated: the boxes, masks and keypoints of a nested sample, read as `Objects` and written back as they came."""

from __future__ import annotations

import dataclasses
import itertools
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augdrop.annotations.objects import Objects
from augdrop.errors import AugDropError, fail
from augdrop.samples import edge, formats, roles
from augdrop.samples.lists import NUMBER, lists_beside, numbers
from augdrop.samples.roles import Column
from augdrop.samples.tree import Path, at, leaves

AS_GIVEN = "boxes as "
"""A field, named by its format, that carries boxes along, so that those that did not change come back bit for bit."""

FLAGS = {"visible": ("boxes", "masks", "keypoints"), "keypoints_visible": ("keypoints",)}
"""The flags of `Objects`, and the part whose key, with ``_visible`` after it, is theirs: the first that is there."""


@dataclasses.dataclass(frozen=True)
class Annotated:
    """Annotations that share a container.

    Args:
        parts: where the parts of `Objects` are, by name; flags only if an earlier transform has left some.
        fields: where the per-object fields are, by key.
        sizes: (H, W) of each sample's image.
        lists: where lists with a value for each object are, by key.
        starts: the number of each sample's first object, for these lists.
        forms: the formats of all samples' boxes, but ``XYXY``.
    """

    parts: dict[str, Column]
    fields: dict[str, Column]
    sizes: list[tuple[int, int]]
    lists: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    starts: list[int] = dataclasses.field(default_factory=list)
    forms: tuple[str, ...] = ()

    @property
    def names(self) -> set[Path]:
        """The places that are accounted for; of lists the beginnings of their values' places."""
        columns = (*self.parts.values(), *self.fields.values())
        beside = next(iter(self.parts.values())).name[:-1]
        return {column.name for column in columns} | {(*beside, key) for key in self.lists}

    def read(self, root: Any, b: int) -> Objects:
        """The annotations of one sample."""
        fields = {key: row_of(at(root, column.paths[b]), column, b) for key, column in self.fields.items()}
        parts: dict[str, Any] = {}
        for part, column in self.parts.items():
            leaf = at(root, column.paths[b])
            edge.check_geometry(leaf, self.sizes[b], part)
            value = parts[part] = row_of(leaf, column, b)
            if part == "boxes" and self.forms:
                own = formats.format_of(leaf)
                parts[part] = corners = value if own == "XYXY" else formats.to_corners(value, own)
                fields |= {AS_GIVEN + form: value if form == own else corners for form in self.forms}
        if self.lists:
            given = {key: at(root, paths[b]) for key, paths in self.lists.items()}
            fields[NUMBER] = self.starts[b] + torch.arange(len(next(iter(given.values()))))
            if (area := numbers(given.get("area", [None]))) is not None:
                fields["area"] = area
        return Objects(**parts, fields=fields)

    def write(self, root: Any, before: list[Objects], after: list[Objects], edits: dict[Path, Any]) -> None:
        """Put changed annotations where they came from."""
        pairs = list(zip(before, after, strict=True))
        for key, column in self.fields.items():
            _write(root, column, [(old.fields[key], new.fields[key]) for old, new in pairs], edits)
        for part, column in self.parts.items():
            values = [(getattr(old, part), getattr(new, part)) for old, new in pairs]
            if part == "boxes":
                forms = [formats.format_of(at(root, path)) for path in column.paths]
                values = [(a, _as_given(b, a, f)) for (_, b), (a, _), f in zip(pairs, values, forms, strict=True)]
            _write(root, column, values, edits)
        for key, paths in self.lists.items():
            given = [value for path in paths for value in at(root, path)]
            for path, (old, new) in zip(paths, pairs, strict=True):
                if key == "area" and "area" in new.fields:
                    edits[path] = new.fields["area"].tolist()
                elif new.fields[NUMBER] is not old.fields[NUMBER]:
                    edits[path] = [given[i] for i in new.fields[NUMBER].tolist()]
        for flag, anchors in FLAGS.items():
            flags = [getattr(new, flag) for new in after]
            if flag not in self.parts and flags and flags[0] is not None:
                _add(root, next(self.parts[part] for part in anchors if part in self.parts), flags, edits)


def annotated(
    root: Any, found: dict[Path, Column], sizes: list[tuple[int, int]], frames: int | None
) -> list[Annotated]:
    """Gather what belongs together: each container's boxes, instance masks, keypoints and per-object fields."""
    homes: dict[Path, dict[str, Column]] = {}
    single: list[Annotated] = []
    for column in found.values():
        kind = _kind(root, column, sizes)
        if kind is None:
            continue
        if kind == "masks" and not _is_instances(root, column, found, frames):
            single.append(Annotated({"segmentation": column}, {}, sizes))
            continue
        home = homes.setdefault(column.name[:-1], {})
        if kind in home:
            raise fail(
                kind,
                got="two in one container",
                expected="one",
                fix="Put each set of annotations in a dict of its own.",
            )
        home[kind] = column
    return [*(_with_fields(root, home, found, sizes) for home in homes.values()), *single]


def unmovable(root: Any) -> dict[str, AugDropError]:
    """Boxes and keypoints in a form that no drop can change, and the error to raise where one would have to."""
    errors = {}
    for path, leaf in leaves(root):
        key = roles.key_of(path)
        part = "boxes" if key in (*roles.BOXES, "bbox") else "keypoints" if key in roles.KEYPOINTS else None
        if part is not None and isinstance(leaf, Real):
            errors[part] = fail(
                part,
                got="a list of numbers",
                expected="a tensor, an array or a tv_tensor",
                fix=f"Pass torch.tensor({part}), or Policy({part}='keep').",
            )
        elif key == "bbox" and roles.role(path, leaf) is None and roles.is_array(leaf):
            errors["boxes"] = fail(
                "boxes",
                got="'bbox', which may be x, y, w, h",
                expected="'boxes' as x0, y0, x1, y1, or tv_tensors.BoundingBoxes with its format",
                fix="Name or wrap them so, or pass Policy(boxes='keep').",
            )
        elif "bndbox" in path:
            errors["boxes"] = fail(
                "boxes",
                got="VOC's record of objects, in words",
                expected="a tensor, an array or a tv_tensor",
                fix="Use torchvision.datasets.wrap_dataset_for_transforms_v2, without its 'annotation'; or keep boxes.",
            )
        elif isinstance(leaf, Real) and isinstance(path[-1], int) and any(step in roles.MASKS for step in path):
            errors["masks"] = fail(
                "masks",
                got="polygons, or runs, of numbers",
                expected="instance masks [K, H, W]",
                fix="Decode them first, as pycocotools.mask does, or pass Policy(masks='keep') to what erases.",
            )
    return errors


def row_of(leaf: Any, column: Column, b: int) -> Tensor:
    """A sample's value as a plain tensor."""
    value = edge.to_plain(leaf)
    if not column.stacked:
        return value
    if value.ndim == 0 or len(value) != len(column.paths):
        raise fail(
            f"{roles.key_of(column.name) or type(leaf).__name__}",
            got=f"shape {tuple(value.shape)}",
            expected=f"one for each of {len(column.paths)} samples",
            fix="Give what differs in number (boxes, instance masks) as a list of tensors, one a sample.",
        )
    return value[b]


def _kind(root: Any, column: Column, sizes: list[tuple[int, int]]) -> str | None:
    leaf = at(root, column.path)
    kind = roles.role(column.name, leaf)
    if kind is not None or not roles.is_array(leaf):
        return None if kind == "keys" else kind
    # Segmentation data sets call their masks labels or targets.
    if column.name == (1,) or roles.key_of(column.name) in roles.LABELS:
        shape = tuple(leaf.shape)[column.stacked :]
        if len(shape) >= 2 and shape[-2:] in sizes[:1] and not edge.to_plain(leaf).is_floating_point():
            return "masks"
    return None


def _is_instances(root: Any, column: Column, found: dict[Path, Column], frames: int | None) -> bool:
    """Instance masks ``[K, H, W]`` rather than a class for each pixel, ``[H, W]`` or ``[1, H, W]``."""
    shapes = [tuple(row_of(at(root, path), column, b).shape) for b, path in enumerate(column.paths)]
    if any(len(shape) != 3 for shape in shapes):
        return False
    boxes = next((c for c in _siblings(column, found) if roles.role(c.name, at(root, c.path)) == "boxes"), None)
    if boxes is not None:
        counts = [len(row_of(at(root, path), boxes, b)) for b, path in enumerate(boxes.paths)]
        return any(shape[0] != 1 for shape in shapes) or counts == [1] * len(counts)
    return any(shape[0] not in (1, frames) for shape in shapes)


def _siblings(column: Column, found: dict[Path, Column]) -> list[Column]:
    return [c for c in found.values() if c.name[:-1] == column.name[:-1] and c is not column]


def _with_fields(
    root: Any, home: dict[str, Column], found: dict[Path, Column], sizes: list[tuple[int, int]]
) -> Annotated:
    """Add the flags that an earlier transform has left, and what else has a row for each object."""
    anchor = next(iter(home.values()))
    for flag, anchors in FLAGS.items():
        column = next((home[part] for part in anchors if part in home), None)
        left = column and found.get(_flag_name(column.name))
        if left:
            home[flag] = left
    boxes = [at(root, path) for path in home["boxes"].paths] if "boxes" in home else []
    forms = sorted({formats.format_of(leaf) for leaf in boxes} - {"XYXY"})
    gathered = Annotated(home, {}, sizes, forms=tuple(forms))
    counts = [gathered.read(root, b).count for b in range(len(sizes))]
    for column in _siblings(anchor, found):
        leaf = at(root, column.path)
        key = roles.key_of(column.name[-1:])
        if column.name in gathered.names or column.stacked != anchor.stacked or key in roles.PER_IMAGE:
            continue
        if roles.is_array(leaf) and roles.role(column.name, leaf) is None:
            lengths = [tuple(at(root, path).shape)[column.stacked :][:1] for path in column.paths]
            if lengths == [(count,) for count in counts]:
                gathered.fields[str(column.name[-1])] = column
    lists = lists_beside(root, anchor, counts)
    starts = [0, *itertools.accumulate(count or 0 for count in counts)]
    return dataclasses.replace(gathered, lists=lists, starts=starts)


def _flag_name(name: Path) -> Path:
    return (*name[:-1], f"{name[-1]}_visible") if name else ()


def _write(root: Any, column: Column, values: list[tuple[Any, Any]], edits: dict[Path, Any]) -> None:
    if all(new is old for old, new in values):
        return
    if not column.stacked:
        for path, (old, new) in zip(column.paths, values, strict=True):
            if new is not old:
                edits[path] = edge.like(new, at(root, path))
        return
    if len({tuple(new.shape) for _, new in values}) > 1:
        raise fail(
            f"{roles.key_of(column.name)} of the batch in one tensor",
            got="samples that keep different numbers of objects",
            expected="a list of tensors, one a sample",
            fix="Give a list, or a policy that flags.",
        )
    leaf = at(root, column.path)
    edits[column.path] = edge.like(torch.stack([new for _, new in values]), leaf)


def _as_given(new: Objects, before: Tensor, form: str) -> Tensor:
    """Boxes in their own format again; those that did not change as they were given."""
    assert new.boxes is not None
    if new.boxes is before or form == "XYXY":
        return new.boxes
    given = new.fields[AS_GIVEN + form]
    same = (formats.to_corners(given, form) == new.boxes).all(1)
    return torch.where(same[:, None], given, formats.from_corners(new.boxes, form, given))


def _add(root: Any, column: Column, flags: list[Tensor], edits: dict[Path, Any]) -> None:
    """Add an entry ``<key>_visible`` beside a dict's entry; what is not in a dict has no place for it."""
    if not column.name or not isinstance(column.name[-1], str):
        return
    key = f"{column.name[-1]}_visible"
    values: list[Any] = [f.numpy() if isinstance(at(root, column.path), np.ndarray) else f for f in flags]
    if column.stacked:
        edits[(*column.path[:-1], key)] = torch.stack(flags) if isinstance(values[0], Tensor) else np.stack(values)
    elif column.path[-1] == column.name[-1]:
        edits |= {(*path[:-1], key): value for path, value in zip(column.paths, values, strict=True)}
    else:
        edits[(*column.path[:-2], key)] = values
