"""Fields: which entries of a sample or a batch are its image, annotations, label and key, whatever they are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from augdrop.adapters.checks import check_distinct, check_layout, check_transform, named
from augdrop.errors import fail
from augdrop.keys import key_of
from augdrop.samples import roles
from augdrop.samples.tree import leaves
from augdrop.transforms.base import Transform

Name = str | int
"""A key of a dict, or several of which one is there (``"jpg;png"``); or a position in a tuple."""


@dataclasses.dataclass(frozen=True)
class Fields:
    """The entries of a sample or batch, a dict or a tuple, that a transform is to see.

    Args:
        where: the adapter, for errors.
        image, label, masks, boxes, keypoints: their names; None is not there.
        key: name of the key, numbers or names; None has the keys found as the core finds them.
        epoch: name of the epoch, which need not be there.
        repair: what to do about repeated keys, for errors.
    """

    where: str
    image: Name
    label: Name | None
    masks: Name | None = None
    boxes: Name | None = None
    keypoints: Name | None = None
    key: Name | None = None
    epoch: Name | None = None
    repair: str = "Number the samples."

    def transformed(self, transform: Transform, sample: Any) -> Any:
        """The sample or batch after the transform; entries without a part in it are handed on."""
        names = self._names(transform, sample)
        part = {role: sample[name] for role, name in names.items()}
        for path, leaf in leaves(part["image"]):
            if isinstance(leaf, np.ndarray):
                check_layout(f"{self.where}: {names['image']}{list(path) or ''}", leaf.shape, "HWC")
        with named(self.where):
            single = roles.layout(part).kind == "single"
            if single and transform.mixes:
                raise fail(type(transform).__name__, got="one sample", expected="a batch to mix", fix="Batch it first.")
            keys = None if self.key is None else self._keys(sample[self._found(sample, self.key, "key")], single)
            epoch = None if self.epoch is None or not _has(sample, self.epoch) else sample[self.epoch]
            out = transform(part, keys=keys, epoch=epoch if epoch is None else np.asarray(epoch))
        # Flags of what is still visible come under the name of what they are about.
        added = {
            f"{names[role.removesuffix('_visible')]}_visible": out[role]
            for role in out
            if role not in part and isinstance(sample, Mapping)
        }
        return _with(sample, {names[role]: out[role] for role in part} | added)

    def _names(self, transform: Transform, sample: Any) -> dict[str, Name]:
        names = {"image": self._found(sample, self.image, "image")}
        for role in ("masks", "boxes", "keypoints"):
            if (name := getattr(self, role)) is not None:
                names[role] = self._found(sample, name, role)
        # Only a mix has to see labels; but fields of objects go with their boxes.
        if self.label is not None and (transform.label_options() is not None or _has(sample, self.label)):
            names["labels"] = self._found(sample, self.label, "label")
        return names

    def _found(self, sample: Any, name: Name, role: str) -> Name:
        for word in name.split(";") if isinstance(name, str) else [name]:
            if _has(sample, word):
                return word
        got = ", ".join(map(repr, sample)) if isinstance(sample, Mapping) else f"{len(sample)} entries"
        words = " or ".join(map(repr, name.split(";"))) if isinstance(name, str) else repr(name)
        raise fail(f"{self.where}: {role}", got=got, expected=words, fix=f"Say where it is: {role}=...")

    def _keys(self, given: Any, single: bool) -> Any:
        ids = np.asarray([given] if single else given)
        if ids.dtype.kind in "OUS":
            ids = np.array([key_of(name) if isinstance(name, (str, bytes)) else name for name in ids.tolist()])
        check_distinct("keys", ids, self.repair)
        return ids


class FieldStage:
    """A function of samples or batches that shows a transform some of their entries.

    Args:
        transform: any AugDrop transform.
        fields: which entries.
    """

    def __init__(self, transform: Transform, fields: Fields) -> None:
        check_transform(fields.where, transform)
        self.transform, self.fields = transform, fields

    def __call__(self, sample: Any) -> Any:
        """The sample or batch after the transform."""
        return self.fields.transformed(self.transform, sample)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of samples that carry none, also in workers that already run."""
        self.transform.set_epoch(epoch)


def _has(sample: Any, name: Name) -> bool:
    return name in sample if isinstance(sample, Mapping) else isinstance(name, int) and name < len(sample)


def _with(sample: Any, values: Mapping[Any, Any]) -> Any:
    if isinstance(sample, Mapping):
        return {**sample, **values}
    return type(sample)(values.get(i, entry) for i, entry in enumerate(sample))
