"""Task: what a stage decides about a batch, whoever hands it over, a graph or dynamic mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from augdrop import annotations
from augdrop.adapters.checks import check_transform, named
from augdrop.adapters.dali import annotate
from augdrop.adapters.dali.boxes import Geometry
from augdrop.adapters.dali.decide import Decider, no_scores
from augdrop.annotations.members import each
from augdrop.annotations.objects import Objects
from augdrop.errors import fail, nearest
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform

ROUTES = ("kernel", "native")

Given = Mapping[str, Tensor | list[Tensor]]
"""The inputs beside images and keys: ``labels``, ``boxes``, ``masks``, ``keypoints``, ``scores``; one a sample each, as
rows of a tensor or a list of tensors."""


class Task:
    """A transform with the options of `to_dali`: routes, plans, and what follows from them beside the pixels."""

    def __init__(
        self, transform: Transform, route: str | None, geometry: Geometry, padded: bool, inplace: bool = False
    ) -> None:
        check_transform("to_dali", transform)
        if route not in (None, *ROUTES):
            raise fail("to_dali: route", got=repr(route), expected="a route", fix=nearest(str(route), ROUTES))
        geometry.check(wanted=False)
        self.transform, self.route, self.geometry, self.inplace = transform, route, geometry, inplace
        self.decider = Decider(transform, padded)

    def route_for(self, device: str, given: Mapping[str, Any]) -> str:
        """The route for images on a device."""
        route = self.route or ("native" if device == "gpu" else "kernel")
        if route == "kernel" and device == "gpu":
            raise fail(
                "to_dali: route",
                got="the CPU kernel for images on a GPU",
                expected="images on the CPU",
                fix="Choose route='native', or put the stage before .gpu().",
            )
        if route == "native" and self.transform.uses_pixels and "scores" not in given:
            raise no_scores(self.transform)
        return route

    def outputs(self, given: Mapping[str, Any]) -> list[str]:
        """The names of what comes out beside the images, in order."""
        t, policies = self.transform, list(each(self.transform.policy()))
        names: list[str] = []
        if "labels" in given:
            pairs = (
                "boxes" not in given and annotate.mixes_labels(t) and (t.label_options() or {}).get("form") == "pairs"
            )
            names += ["labels", "partner_labels", "lam"] if pairs else ["labels"]
        if "boxes" in given:
            flagged = any(p.boxes != "keep" and p.removed == "flag" for p in policies)
            names += ["boxes", "boxes_visible"] if flagged else ["boxes"]
        if "masks" in given:
            names += ["masks"]
        if "keypoints" in given:
            names += (
                ["keypoints", "keypoints_visible"] if any(p.keypoints == "flag" for p in policies) else ["keypoints"]
            )
        return names

    def collect(self, given: Mapping[str, Any], results: Mapping[str, Any]) -> Any:
        """What a call returns: the images, or a tuple of them and what follows from what else was given."""
        names = self.outputs(given)
        rest = [results[name] for name in names]
        if "lam" in names:
            rest[:3] = [tuple(rest[:3])]
        return (results["images"], *rest) if rest else results["images"]

    def groups(self, shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
        """The positions of the samples of each size."""
        if all(shape == shapes[0] for shape in shapes):
            return [list(range(len(shapes)))]
        if self.transform.mixes:
            raise fail(
                "to_dali: images",
                got=f"images of {len(set(shapes))} sizes",
                expected="one size for all samples, for they are mixed",
                fix="Resize or crop before mixing.",
            )
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for b, shape in enumerate(shapes):
            by_shape.setdefault(shape, []).append(b)
        return list(by_shape.values())

    def plan(
        self,
        keys: np.ndarray,
        epochs: Any,
        shape: tuple[int, ...],
        given: Given,
        images: Tensor | None = None,
        once: bool = False,
    ) -> Any:
        """The plan of samples of one size; see `Decider`."""
        scores = torch.stack([s.float().reshape(s.shape[-2:]) for s in given["scores"]]) if "scores" in given else None
        return self.decide(keys, epochs, shape, scores, given.get("boxes"), images, once)

    def decide(
        self,
        keys: Any,
        epochs: Any,
        shape: tuple[int, ...],
        scores: Any = None,
        boxes: Any = None,
        images: Any = None,
        once: bool = False,
    ) -> Plan | Plans:
        """`Decider`, for boxes as they come."""
        if boxes is not None:
            boxes = [self.geometry.to_corners(b, (shape[-2], shape[-1])) for b in boxes]
        return self.decider(keys, epochs, shape, scores, boxes, images, once)

    def follow(self, plan: Plan | Plans, shape: tuple[int, ...], given: Given) -> dict[str, Sequence[Tensor]]:
        """Labels, boxes and keypoints of samples of one size, under the names of `outputs`."""
        done: dict[str, Sequence[Tensor]] = {}
        if "labels" in given and "boxes" not in given:
            done |= self._mixed_labels(plan, shape, given["labels"])
        if "boxes" in given or "keypoints" in given:
            done |= self._objects(plan, shape, given)
        return done

    def _mixed_labels(self, plan: Any, shape: tuple[int, ...], labels: Any) -> dict[str, Sequence[Tensor]]:
        if not annotate.mixes_labels(self.transform):
            return {"labels": labels}
        if not isinstance(labels, Tensor) and len({label.shape for label in labels}) > 1:
            raise fail(
                "to_dali: labels",
                got=f"shapes {sorted({tuple(label.shape) for label in labels})}",
                expected="one shape for all samples: a class index, or a target of every class",
                fix="Labels of objects go with boxes=.",
            )
        target = labels if isinstance(labels, Tensor) else torch.stack(list(labels))
        target = target.flatten() if target.numel() == len(target) else target
        mixed = annotate.mix_labels(self.transform, plan, target, shape)
        parts = mixed if isinstance(mixed, tuple) else (mixed,)
        return dict(zip(("labels", "partner_labels", "lam"), parts, strict=False))

    def _objects(self, plan: Any, shape: tuple[int, ...], given: Given) -> dict[str, Sequence[Tensor]]:
        size, geometry = (shape[-2], shape[-1]), self.geometry
        nothing = [None] * shape[0]
        boxes, points, labels = (cast(Any, given.get(name, nothing)) for name in ("boxes", "keypoints", "labels"))
        samples = [
            Objects(
                boxes=None if b is None else geometry.to_corners(b, size),
                keypoints=None if p is None else geometry.to_points(p, size),
                fields={} if b is None or c is None else {"labels": c},
            )
            for b, p, c in zip(boxes, points, labels, strict=True)
        ]
        with named("to_dali"):
            after: list[Any] = annotations.follow(samples, plan, self.transform.policy())
        done: dict[str, Sequence[Tensor]] = {}
        if "boxes" in given:
            done["boxes"] = [geometry.from_corners(o.boxes, size, b) for o, b in zip(after, boxes, strict=True)]
            done["boxes_visible"] = [
                torch.ones(len(o.boxes), dtype=torch.bool) if o.visible is None else o.visible for o in after
            ]
            if "labels" in given:
                done["labels"] = [o.fields["labels"] for o in after]
        if "keypoints" in given:
            done["keypoints"] = [geometry.from_points(o.keypoints, size, p) for o, p in zip(after, points, strict=True)]
            done["keypoints_visible"] = [o.labelled() for o in after]
        return done
