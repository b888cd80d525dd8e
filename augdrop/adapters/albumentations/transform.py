"""The transform of albumentations that carries out one of AugDrop's, on whatever a sample consists of."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
import torch

from augdrop.adapters.albumentations.arrays import IMAGES, WHERE, corners, images_of, integer, pixels, shape_of, sides
from augdrop.adapters.albumentations.hooks import Hooks
from augdrop.adapters.checks import named
from augdrop.adapters.description import describe, rebuild
from augdrop.adapters.follow import follow, follow_classes
from augdrop.annotations.objects import Objects
from augdrop.errors import fail
from augdrop.keys import resolve_one
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.samples import edge
from augdrop.transforms.base import Transform
from augdrop.transforms.regional import RegionalDropout
from augdrop.transforms.shapes import Shape


class Draw(NamedTuple):
    """What was drawn for one sample; its plan follows from it.

    Args:
        key, epoch: by which the drop was drawn.
        shape: of the images, ``[1, C, H, W]`` or ``[1, T, C, H, W]``.
        plan: where it cannot be drawn again, for it came from pixels or boxes.
    """

    key: int
    epoch: int
    shape: tuple[int, ...]
    plan: Plan | Plans | None = None


class AugDrop(Hooks, A.DualTransform):
    """An AugDrop transform in albumentations; made by `to_albumentations`.

    Args:
        transform: the transform, or its description as ``A.to_dict`` has it.
        p: albumentations' own chance, and this transform's weight in ``A.OneOf``.
    """

    __module__ = "augdrop.adapters.albumentations"  # which A.to_dict writes down
    _targets = A.NoOp._targets  # all there are

    class InitSchema(A.BasicTransform.InitSchema):
        """What albumentations checks its constructor's arguments by."""

        transform: Any

    def __init__(self, transform: Any, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.drop = transform if isinstance(transform, Transform) else rebuild(transform)
        self._available_keys.add("key")

    @property
    def transform(self) -> dict[str, Any]:
        """The description, which is what ``A.to_dict`` writes down."""
        return describe(self.drop)

    def draw(self, data: dict[str, Any], random: Random) -> Draw:
        """What decides for one sample: its key, or albumentations' own random numbers if it has none."""
        for found in IMAGES:
            if data.get(found) is not None:
                break
        else:
            raise fail(WHERE, got=", ".join(data), expected=" or ".join(IMAGES), fix="Name the image.")
        axes = IMAGES[found]
        shape = shape_of(data[found], axes)
        key = random.getrandbits(63) if data.get("key") is None else integer(data["key"])
        with named(WHERE):
            drawn = Draw(*resolve_one(None, None, int(self.drop._epoch), key), shape)
            if not (self.drop.uses_pixels or self.drop.uses_boxes):
                return drawn
            x = images_of(np.asarray(data[found]), axes) if self.drop.uses_pixels else Shape(shape)
            given = {"boxes": [corners(data, shape[-2:])]} if self.drop.uses_boxes else {}
            draws = self.drop.draws(1, drawn.key, drawn.epoch)
            return drawn._replace(plan=self.drop.decide(x, draws, **given))  # type: ignore[arg-type]

    def _plan(self, drawn: Draw) -> Plan | Plans:
        if drawn.plan is not None:
            return drawn.plan
        return self.drop.decide(Shape(drawn.shape), self.drop.draws(1, drawn.key, drawn.epoch))  # type: ignore[arg-type]

    def apply(self, img: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        if drop.plan is None and len(drop.shape) == 4 and isinstance(self.drop, RegionalDropout):
            # Without a plan, for which nobody else may ask, one image is quicker.
            x = edge.to_image(img if img.ndim == 3 else img[..., None])
            painted = edge.like_image(self.drop(x, keys=drop.key, epoch=drop.epoch), img)
            return painted if img.ndim == 3 else painted.reshape(img.shape)
        return self._paint(img, drop, 0)

    def apply_to_images(self, images: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._paint(images, drop, 1)

    def apply_to_volume(self, volume: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._paint(volume, drop, 1)

    def apply_to_volumes(self, volumes: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._paint(volumes, drop, 2)

    def _paint(self, array: Any, drop: Draw, axes: int) -> Any:
        if isinstance(array, list):  # AlbumentationsX hands lists of images on as they are
            return list(self._paint(np.stack(array), drop, axes))
        x = images_of(array, axes)
        with named(WHERE):
            painted = self.drop.apply(x if axes else x[0], self._plan(drop))
        channels = painted.movedim(-3, -1)
        return edge.like(channels.reshape(*array.shape[: axes + 2], channels.shape[-1]), array).reshape(array.shape)

    def apply_to_mask(self, mask: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._classes(mask, drop, 0)

    def apply_to_mask3d(self, mask3d: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._classes(mask3d, drop, 1)

    def apply_to_masks3d(self, masks3d: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        return self._classes(masks3d, drop, 2)

    def _classes(self, array: np.ndarray, drop: Draw, axes: int) -> np.ndarray:
        """A class for each pixel, ``[..., H, W]`` or ``[..., H, W, C]``."""
        grey = array.ndim == axes + 2
        planes = edge.to_plain(array) if grey else edge.to_plain(array).movedim(-1, -3)
        plan = self._plan(drop)
        with named(WHERE):
            given = planes.reshape(len(plan), -1, *planes.shape[-2:])
            moved = follow_classes(self.drop, plan, given)
        if moved is given:
            return array
        moved = moved.view(planes.shape)
        return edge.like(moved if grey else moved.movedim(-3, -1), array)

    def apply_to_masks(self, masks: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        if masks.ndim == 4 and masks.shape[-1] > 1:
            return self._classes(masks, drop, 1)
        before = Objects(masks=edge.to_plain(masks).view(masks.shape[:3]))
        with named(WHERE):
            # Their number stays: boxes go by themselves, and need not belong to the masks.
            (after,) = follow(self.drop, self._plan(drop), [before], boxes="keep")
        if after.masks is None or after.masks is before.masks:
            return masks
        return edge.like(after.masks.view(masks.shape), masks)

    def apply_to_bboxes(self, bboxes: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        processor = self._processor("bboxes", "bbox_params=A.BboxParams(...)")
        if getattr(processor.params, "bbox_type", "hbb") != "hbb":  # AlbumentationsX has others
            fix = "Convert them, or leave them out."
            raise fail(f"{WHERE}: bboxes", got="oriented boxes", expected="upright ones", fix=fix)
        if not len(bboxes):  # of an empty list albumentations makes an array without columns
            return bboxes
        plan, size = self._plan(drop), drop.shape[-2:]
        given = pixels(bboxes, size)
        with named(WHERE):
            (after,) = follow(self.drop, plan, [Objects(boxes=given, fields={"row": torch.arange(len(given))})])
        rows = after.fields["row"].numpy()
        left = np.array(bboxes[rows])
        assert after.boxes is not None
        changed = (after.boxes != given[rows]).any(1).numpy()
        left[changed, :4] = (after.boxes.numpy() / sides(size))[changed]
        return left

    def apply_to_keypoints(self, keypoints: np.ndarray, drop: Draw, **params: Any) -> np.ndarray:
        processor = self._processor("keypoints", "keypoint_params=A.KeypointParams(...)")
        if not len(keypoints):
            return keypoints
        points = torch.from_numpy(np.array(keypoints[:, :2], np.float64))
        with named(WHERE):
            (after,) = follow(self.drop, self._plan(drop), [Objects(keypoints=points)])
        assert after.keypoints is not None and after.keypoints_visible is not None
        stays = ~after.keypoints.isnan().any(1)
        if processor.params.remove_invisible:
            stays &= after.keypoints_visible
        return keypoints[stays.numpy()]

    def _processor(self, name: str, fix: str) -> Any:
        processor = self.get_processor(name)
        if processor is None:
            got = f"{name} of a format that is not declared"
            raise fail(WHERE, got=got, expected="one that A.Compose knows", fix=f"Pass it {fix}.")
        return processor

    def __repr__(self) -> str:
        return f"AugDrop({self.drop!r}, p={self.p})"
