"""Objects: the annotations of one sample, whatever structure they came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from augdrop.errors import fail


@dataclasses.dataclass(frozen=True, eq=False)
class Objects:
    """What is annotated on one sample of H × W pixels; each part may be missing.

    Args:
        boxes: ``[K, 4]`` as ``x0, y0, x1, y1`` in pixels, any real dtype; turned ones ``[K, 8]``, corner by corner.
        masks: instance masks ``[K, H, W]``; not 0 is the object.
        segmentation: a class for each pixel, ``[..., H, W]``.
        keypoints: loose points ``[P, 2 or 3]``, or skeletons ``[K, ..., 2 or 3]`` of the objects: x, y, and as in COCO
            how visible: 0 is not labelled.
        fields: other tensors with a row for each object: labels, scores, ids. ``area`` shrinks with mask or box.
        visible: bool ``[K]``: has the object passed the policies so far? Only where one flags.
        keypoints_visible: bool, a value for each point. Only where a policy flags.
    """

    boxes: Tensor | None = None
    masks: Tensor | None = None
    segmentation: Tensor | None = None
    keypoints: Tensor | None = None
    fields: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    visible: Tensor | None = None
    keypoints_visible: Tensor | None = None

    @property
    def skeletons(self) -> bool:
        """Do the keypoints belong to the objects?"""
        return self.keypoints is not None and self.keypoints.ndim > 2

    @property
    def count(self) -> int | None:
        """K; None where nothing is annotated by object."""
        parts = (self.boxes, self.masks, self.keypoints if self.skeletons else None)
        return next((len(part) for part in parts if part is not None), None)

    @property
    def device(self) -> torch.device:
        parts = (self.boxes, self.masks, self.keypoints, self.segmentation)
        return next((part.device for part in parts if part is not None), torch.device("cpu"))

    def labelled(self) -> Tensor:
        """bool, a value for each keypoint: is it annotated at all?"""
        assert self.keypoints is not None
        points = self.keypoints
        labelled = points[..., 2] > 0 if points.shape[-1] == 3 else torch.ones_like(points[..., 0], dtype=torch.bool)
        return labelled if self.keypoints_visible is None else labelled & self.keypoints_visible

    def take(self, keep: Tensor) -> Objects:
        """The objects where ``keep`` (bool ``[K]``); loose points and the segmentation stay."""

        def rows(part: Tensor | None) -> Tensor | None:
            return None if part is None else part[keep.to(part.device)]

        changes: dict[str, Tensor | None] = {"boxes": rows(self.boxes), "masks": rows(self.masks)}
        if self.skeletons:
            changes |= {"keypoints": rows(self.keypoints), "keypoints_visible": rows(self.keypoints_visible)}
        fields = {name: value[keep.to(value.device)] for name, value in self.fields.items()}
        return dataclasses.replace(self, fields=fields, visible=rows(self.visible), **changes)

    def check(self, size: tuple[int, int], where: str) -> None:
        """Raise for annotations that do not fit each other or a canvas of ``size = (H, W)``."""
        if self.boxes is not None:
            _check_boxes(self.boxes, f"{where}: boxes")
        for name, part in (("instance masks", self.masks), ("segmentation mask", self.segmentation)):
            wrong_rank = part is not None and name == "instance masks" and part.ndim != 3
            if part is not None and (wrong_rank or tuple(part.shape[-2:]) != tuple(size)):
                shape = "[K, H, W]" if name == "instance masks" else "[H, W]"
                raise fail(
                    f"{where}: {name}",
                    got=tuple(part.shape),
                    expected=f"{shape} with (H, W) = {tuple(size)}, as the image",
                    fix="Resize the masks with the image.",
                )
        points = self.keypoints
        if points is not None and (points.ndim < 2 or points.shape[-1] not in (2, 3)):
            raise fail(
                f"{where}: keypoints",
                got=tuple(points.shape),
                expected="[P, 2 or 3] or [K, P, 2 or 3]",
                fix="x comes first.",
            )
        parts = {
            "boxes": self.boxes,
            "masks": self.masks,
            "keypoints": points if self.skeletons else None,
            **self.fields,
        }
        counts = {name: len(part) for name, part in parts.items() if part is not None}
        if len(set(counts.values())) > 1:
            raise fail(
                where,
                got=", ".join(f"{n} {name}" for name, n in counts.items()),
                expected="one of each for every object",
                fix="Keep what is not per object apart from the boxes.",
            )


def _check_boxes(boxes: Tensor, where: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 8):
        raise fail(
            where, got=tuple(boxes.shape), expected="[K, 4] as x0, y0, x1, y1", fix="No boxes are an empty [0, 4]."
        )
    wrong = ~torch.isfinite(boxes).all(1)
    if boxes.shape[1] == 4:
        wrong |= (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if wrong.any():
        i = int(wrong.nonzero()[0, 0])
        raise fail(
            where,
            got=f"box {i} = {boxes[i].tolist()}",
            expected="finite x0 <= x1 and y0 <= y1",
            fix="Mend or leave out the box; boxes as x, y, w, h go in a tv_tensors.BoundingBoxes.",
        )


def check_alike(samples: Sequence[Objects]) -> None:
    """Raise unless all samples have the same parts, so that any two can be joined."""
    if not samples:
        return
    first = _parts(samples[0])
    for b, objects in enumerate(samples):
        if _parts(objects) != first:
            raise fail(
                f"annotations of sample {b}",
                got=_names(_parts(objects)),
                expected=f"what sample 0 has: {_names(first)}",
                fix="Give every sample the same parts, empty ones where there is nothing.",
            )


def _parts(objects: Objects) -> dict[str, tuple[int, ...]]:
    """The parts that are there, with their shapes less the number of objects."""
    named = {
        n: getattr(objects, n) for n in ("boxes", "masks", "segmentation", "keypoints", "visible", "keypoints_visible")
    }
    parts = {n: tuple(t.shape[n != "segmentation" :]) for n, t in named.items() if t is not None}
    return parts | {n: tuple(t.shape[1:]) for n, t in sorted(objects.fields.items())}


def _names(parts: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, ('K', *shape)))}]" for name, shape in parts.items()) or "nothing"
