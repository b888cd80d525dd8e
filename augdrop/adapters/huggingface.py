"""Hugging Face: any AugDrop transform in a Transformers ``Trainer``, and in ``datasets.Dataset.set_transform``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augdrop.adapters.checks import check_layout, check_transform, named
from augdrop.adapters.extras import require
from augdrop.adapters.fields import Fields, FieldStage
from augdrop.datasets import Keyed, keyed
from augdrop.errors import fail
from augdrop.keys import key_of
from augdrop.transforms.base import Transform

LABELS = ("label", "labels", "label_ids")
"""Columns that Trainer leaves in, whatever the model takes."""


def to_transformers(t: Transform, train_dataset: Any, collate_fn: Callable[..., Any] | None = None) -> dict[str, Any]:
    """A transform for training batches of a ``Trainer``: ``Trainer(model, args, **ad.to_transformers(t, train_set))``.

    The result has these arguments of ``Trainer``, of which none may be left out:

    - ``train_dataset``: items carry their index as key. Only they are transformed: the same collator leaves
      evaluation and prediction alone, so that their labels stay integers.
    - ``data_collator``: collates, then transforms ``pixel_values`` ``[B, C, H, W]`` and ``labels``: class indices
      ``[B]``, targets ``[B, K]``, or masks ``[B, H, W]``. A ``"key"`` of the items' own, a number or a name, is
      taken in place of the index; models do not see it.
    - ``callbacks``: one that sets the epoch, in any number of workers and processes. To have others too:
      ``parts = ad.to_transformers(t, train_set); parts["callbacks"] += [mine]``.
    - ``compute_loss_func``, if ``t`` mixes: cross entropy of soft targets in training and of integer labels in
      evaluation (binary cross entropy with ``multi_label=True``), a mean over all samples that an optimizer step
      accumulates. Without it, soft labels would make a model switch to binary cross entropy for the rest of the run.

    Label smoothing is the transform's ``label_smoothing``. ``remove_unused_columns`` works as ever, but for keys, which
    arrive; a data set for evaluation whose images ``set_transform`` makes still needs it to be False.

    Args:
        t: any AugDrop transform.
        train_dataset: map-style, of dict items, or what ``collate_fn`` takes.
        collate_fn: from items to a dict; Transformers' ``default_data_collator`` by default.

    Raises:
        AugDropError: in training, if images or labels are missing or cannot be followed, or if
            ``label_smoothing_factor`` is set and ``t`` mixes; in evaluation, if it runs on the training items.

    Example:
        >>> import augdrop as ad
        >>> items = [{"pixel_values": torch.rand(3, 32, 32), "labels": i % 2} for i in range(8)]
        >>> parts = ad.to_transformers(ad.CutMix(num_classes=2, seed=0), items)
        >>> batch = parts["data_collator"]([parts["train_dataset"][i] for i in range(4)])
        >>> batch["labels"].shape, parts["data_collator"](items[:4])["labels"]
        (torch.Size([4, 2]), tensor([0, 1, 0, 1]))
    """
    require("transformers", extra="transformers", least="4.46")
    from transformers import TrainerCallback, default_data_collator

    check_transform("to_transformers", t)
    own = t.label_options()
    if own is not None and own["form"] == "pairs":
        raise fail("to_transformers", got="targets='pairs'", expected="soft targets", fix="Leave targets= out.")
    with named("to_transformers: train_dataset"):
        items = TrainingItems(train_dataset.dataset if isinstance(train_dataset, keyed) else train_dataset)
    collator = Collator(t, collate_fn or default_data_collator, fresh=collate_fn is None)

    class Epochs(TrainerCallback):
        """Sets the epoch of the training items, and which of their columns the model takes."""

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **given: Any) -> None:
            if args.remove_unused_columns:
                collator.columns = {*inspect.signature(_base(model).forward).parameters, *LABELS}
            if own is not None and args.label_smoothing_factor:
                raise fail(
                    "to_transformers: TrainingArguments",
                    got=f"label_smoothing_factor={args.label_smoothing_factor}, which Trainer would not apply",
                    expected="0",
                    fix=f"Pass label_smoothing to {type(t).__name__}.",
                )

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            items.set_epoch(int(state.epoch))

    parts = {"train_dataset": items, "data_collator": collator, "callbacks": [Epochs()]}
    return parts if own is None else parts | {"compute_loss_func": SoftLoss(own["multi_label"])}


def _base(model: Any) -> Any:
    """The model within PEFT's adapters, if there are any."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class TrainingItem(Keyed):
    """An item that is to be transformed; what other data sets give is only collated."""


class TrainingItems(keyed):
    """A data set of training items."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset, attach=True)

    def __getitem__(self, index: int) -> TrainingItem:
        return TrainingItem(*super().__getitem__(index))


class Collator:
    """Collate items; transform the batch if they are training items, in place if ``collate_fn`` makes it afresh."""

    def __init__(self, t: Transform, collate_fn: Callable[..., Any], fresh: bool) -> None:
        self.transform, self.collate_fn, self.fresh = t, collate_fn, fresh
        self.columns: set[str] | None = None  # all

    def __call__(self, items: Sequence[Any]) -> dict[str, Any]:
        """A batch for the model."""
        training = isinstance(items[0], TrainingItem)
        rows = [i.item if isinstance(i, Keyed) else i for i in items]
        if training and self.columns:
            rows = [self._taken(row) if isinstance(row, Mapping) else row for row in rows]
        batch = dict(self.collate_fn(rows))
        batch.pop("key", None)
        if not training:
            return batch
        with named("to_transformers"):
            keys, epochs = np.array([_key(i) for i in items]), np.array([i.epoch for i in items])
            return batch | self.transform(self._part(batch), keys=keys, epoch=epochs, inplace=self.fresh)

    def _taken(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What Trainer would leave of a row; it does not see that a training item is one."""
        return {name: value for name, value in row.items() if name in (self.columns or ())}

    def _part(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the transform is to see of a batch."""
        if not isinstance(batch.get("pixel_values"), Tensor):
            raise fail(
                "pixel_values",
                got=", ".join(batch) or "no columns",
                expected="a tensor [B, C, H, W] by this name",
                fix="Let the items have it, or collate_fn make it.",
            )
        check_layout("pixel_values", batch["pixel_values"].shape, "BCHW")
        target = batch.get("labels")
        needed = self.transform.label_options() is not None
        if (needed and target is None) or not (target is None or isinstance(target, Tensor)):
            raise fail(
                "labels",
                got=", ".join(batch) if target is None else type(target).__name__,
                expected="a tensor of class indices, targets or masks",
                fix="Transform what has boxes before the image processor, by torchvision's or albumentations' route.",
            )
        return {name: batch[name] for name in ("pixel_values", "labels") if name in batch}


def _key(item: Keyed) -> Any:
    """The name of an item's own, if it has one, else its index."""
    key = item.item.get("key", item.key) if isinstance(item.item, Mapping) else item.key
    return key_of(key) if isinstance(key, (str, bytes)) else key


class SoftLoss:
    """Cross entropy for ``Trainer(compute_loss_func=...)``, of soft targets and class indices alike."""

    def __init__(self, multi_label: bool) -> None:
        self.multi_label = multi_label

    def __call__(self, outputs: Any, labels: Tensor | None, num_items_in_batch: Any = None) -> Tensor:
        """The sum over the batch by the number of samples in all batches of an optimizer step.

        Args:
            outputs: of the model, with ``logits`` ``[B, K]``.
            labels: class indices ``[B]``, -100 being ignored; or targets ``[B, K]``.
            num_items_in_batch: entries of all accumulated ``labels`` that are not -100; None stands for this batch's.
        """
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
        if labels is None or logits.ndim != 2 or not (labels.ndim == 1 or labels.shape == logits.shape):
            raise fail(
                "to_transformers: compute_loss_func",
                got=f"labels {'None' if labels is None else tuple(labels.shape)} for logits {tuple(logits.shape)}",
                expected="logits [B, K], and labels [B] or [B, K]",
                fix='For masks, leave out parts.pop("compute_loss_func"): their labels stay integers.',
            )
        counted = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
        if self.multi_label:
            return F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="sum") / counted
        if labels.ndim == 2:
            if not torch.is_grad_enabled():
                raise fail(
                    "to_transformers: evaluation",
                    got="soft labels, as training items have them",
                    expected="class indices",
                    fix="Evaluate on the data set itself, not on trainer.train_dataset.",
                )
            # A soft target has K entries, of which Trainer counts each.
            counted = counted / labels.shape[1]
        return F.cross_entropy(logits.float(), labels, reduction="sum") / counted


def to_datasets(
    t: Transform,
    *,
    image: str = "image;img",
    label: str | None = "label;labels",
    masks: str | None = None,
    boxes: str | None = None,
    keypoints: str | None = None,
    key: str | None = None,
) -> Rows:
    """A transform for ``dataset.set_transform`` of Hugging Face Datasets: rows as a dict of lists, in and out.

    Images are PIL images or arrays H×W×C, and come back as they came; so do masks. For a mix, labels become soft
    targets, float32 tensors ``[K]``. Rows are mixed among themselves: those of one ``dataset[[3, 1, 2]]``, which is how
    a ``DataLoader`` fetches a batch; ``dataset[3]`` alone has no partner, and stays as it is. It works in
    ``dataset.map(..., batched=True)``, too, also of streams.

    Keys come from a column of integers or names; without, from ``ad.keys`` or torch's generator. The epoch is that of
    ``t.set_epoch``.

    Args:
        t: any AugDrop transform.
        image: the column of the images; ``"a;b"`` takes the one that is there.
        label: the column of class indices or targets ``[K]``; None if there is none.
        masks: a column of masks, PIL images or arrays.
        boxes: a column of boxes, as torchvision's ``BoundingBoxes`` or arrays ``[N, 4]`` of ``x0, y0, x1, y1``.
        keypoints: a column of keypoints, arrays ``[N, 2 or 3]`` or ``[N, P, 2 or 3]``.
        key: the column of the keys; ``"key"`` if there is such a column.

    Raises:
        AugDropError: a column is missing, boxes or keypoints are lists (whose format nobody has said), a key repeats.

    Example:
        >>> import augdrop as ad, numpy as np
        >>> rows = {"image": [np.ones((32, 32, 3), np.uint8)] * 4, "label": [0, 1, 2, 3], "key": [7, 8, 9, 10]}
        >>> out = ad.to_datasets(ad.CutMix(num_classes=4, seed=0))(rows)
        >>> out["image"][0].shape, out["label"][0].shape, out["key"]
        ((32, 32, 3), torch.Size([4]), [7, 8, 9, 10])
    """
    require("datasets", extra="datasets", least="2.14")
    return Rows(t, Fields("to_datasets", image, label, masks, boxes, keypoints, key))


class Rows(FieldStage):
    """A function of a dict of lists; made by `to_datasets`."""

    def __call__(self, rows: Mapping[str, Any]) -> Any:
        fields = self.fields
        if fields.key is None and "key" in rows:
            fields = dataclasses.replace(fields, key="key")
        for role in ("boxes", "keypoints"):
            column = getattr(fields, role)
            if column in rows and not all(isinstance(value, (Tensor, np.ndarray)) for value in rows[column]):
                raise fail(
                    f"to_datasets: {column}",
                    got="lists of numbers",
                    expected="arrays x0, y0, x1, y1 or torchvision's BoundingBoxes" if role == "boxes" else "arrays",
                    fix="Convert the column first, for a list does not say what its numbers are.",
                )
        return fields.transformed(self.transform, rows)
