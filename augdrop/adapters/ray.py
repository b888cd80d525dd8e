"""Ray Data: any AugDrop transform in ``Dataset.map_batches``."""

from __future__ import annotations

from typing import Any

import numpy as np

from augdrop.adapters.extras import require
from augdrop.adapters.fields import Fields, FieldStage
from augdrop.errors import fail
from augdrop.transforms.base import Transform

require("ray", extra="ray", least="2.9")


class RayStage(FieldStage):
    """A function from batches to batches; made by `to_ray`.

    As a class, for actors: ``dataset.map_batches(RayStage, fn_constructor_args=(t, fields), concurrency=2)``.
    """

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(batch, dict) or not all(isinstance(column, np.ndarray) for column in batch.values()):
            raise fail("to_ray", got=type(batch).__name__, expected="a dict of arrays", fix='Use batch_format="numpy".')
        # Columns of several shapes are arrays of objects, which to the core are lists.
        lists = {name: list(c) if _is_ragged(c) else c for name, c in batch.items()}
        out = super().__call__(lists)
        return {name: _column(value) if isinstance(value, list) else value for name, value in out.items()}


def to_ray(
    transform: Transform,
    *,
    image: str = "image",
    label: str | None = "label",
    key: str = "key",
    masks: str | None = None,
    boxes: str | None = None,
    keypoints: str | None = None,
    epoch: str | None = "epoch",
) -> RayStage:
    """Any AugDrop transform as a function for ``dataset.map_batches``, of dicts of arrays; images are ``[N, H, W, C]``.

    A row's drop goes by its key, so ``batch_size``, ``concurrency`` and the order of blocks do not matter. A mix finds
    its partners in the batch: which rows share one is Ray's doing, and ``batch_size`` fixes how many. Ray's read-only
    batches are not written to: images come back as new arrays.

    Args:
        transform: any, compositions too.
        image: column of images, of one size or several.
        label: column of classes or soft targets; only mixes need it. None: there is none.
        key: column of numbers or names, such as the paths of ``read_images(..., include_paths=True)``. There must be
            one: Ray's workers all begin with one seed, so that without keys they would repeat each other's draws.
        masks, boxes, keypoints: columns of annotations (see `augdrop.samples`); what is not named stays as it is.
        epoch: column of epochs, which need not be there; else it is what ``transform.set_epoch(e)`` had set when the
            stage was given to ``map_batches``.

    Raises:
        ImportError: ray is not installed.
        AugDropError: a column is missing, keys repeat, or images have their channels first.

    Example:
        >>> import augdrop as ad
        >>> stage = ad.to_ray(ad.CutMix(num_classes=3, seed=0))
        >>> rows = {"image": np.zeros((4, 16, 16, 3), np.uint8), "label": np.array([0, 1, 2, 0]), "key": np.arange(4)}
        >>> {name: column.shape for name, column in stage(rows).items()}  # dataset.map_batches(stage)
        {'image': (4, 16, 16, 3), 'label': (4, 3), 'key': (4,)}
    """
    if not isinstance(key, str):
        raise fail("to_ray: key", got=repr(key), expected="the name of a column", fix="Number the rows, or use paths.")
    repair = "Number the rows, or name them by their paths."
    return RayStage(transform, Fields("to_ray", image, label, masks, boxes, keypoints, key, epoch, repair))


def _is_ragged(column: np.ndarray) -> bool:
    return column.dtype == object and len(column) > 0 and isinstance(column[0], np.ndarray)


def _column(values: list[np.ndarray]) -> np.ndarray:
    """Arrays of one shape stacked, others as an array of objects, which Ray takes for a column of several shapes."""
    if len({v.shape for v in values}) == 1:
        return np.stack(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column
