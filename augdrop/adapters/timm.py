"""timm: any AugDrop transform in the three places where timm's training script mixes or erases."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from augdrop import labels
from augdrop.adapters.checks import check_layout, check_transform, named
from augdrop.adapters.extras import require
from augdrop.datasets import collate
from augdrop.errors import fail
from augdrop.plans import restrict
from augdrop.transforms.base import Transform

require("timm", extra="timm", least="1.0")

from timm.data.loader import fast_collate  # noqa: E402
from timm.data.mixup import FastCollateMixup  # noqa: E402


def to_timm(
    t: Transform, *, num_classes: int | None = None, label_smoothing: float | None = None, num_splits: int = 0
) -> TimmStage:
    """A transform as timm's ``mixup_fn``, ``loader.random_erasing`` or ``collate_fn``; one object serves in each place.

    - ``mixup_fn = to_timm(t)``: called as ``x, target = mixup_fn(x, target)``. Edits ``x`` in place and hands it back,
      as timm's does. ``x`` is ``[B, C, H, W]``, of any B and dtype; the targets are float32 ``[B, num_classes]``
      whatever the dtype of ``x``, and add up to 1: use ``SoftTargetCrossEntropy``.
    - ``loader.random_erasing = to_timm(t)``: called as ``x = random_erasing(x)`` on the normalised batch, in place. So
      a fill is in units of the normalised image: 0 is the mean colour.
    - ``create_loader(..., collate_fn=to_timm(t))``: collates, then works as ``mixup_fn``. The place to mix beside
      timm's prefetcher, with which its script calls no ``mixup_fn``: images are uint8, not normalised yet, 0 is black.

    Keys: timm's loops hand no sample names on, so a call draws from torch's generator. ``with ad.keys(ids, epoch):``
    around a call names the samples in a loop of your own; in timm's, use the collate place with
    ``create_loader(ad.keyed(dataset, attach=True), ..., collate_fn=to_timm(t))``, and call ``set_epoch`` on the keyed
    data set; that keeps the drop of each sample the same in any batch, order and worker.

    Args:
        t: any AugDrop transform; one that mixes has ``num_classes`` and ``label_smoothing`` of its own.
        num_classes: of a transform that does not mix, for its targets, which must be soft beside those of mixes.
        label_smoothing: the same, as timm has it: ``smoothing / num_classes`` everywhere, and the rest on the class.
        num_splits: where erasing, keep the first ``B // num_splits`` samples clean if more than 1 (AugMix splits).

    Example:
        >>> import augdrop as ad
        >>> mixup_fn = ad.to_timm(ad.CutMix(num_classes=10, label_smoothing=0.1, seed=0))
        >>> x, target = mixup_fn(torch.zeros(7, 3, 32, 32, dtype=torch.uint8), torch.arange(7))
        >>> target.shape, target.dtype, target.sum(1).allclose(torch.ones(7))
        (torch.Size([7, 10]), torch.float32, True)
        >>> mixup_fn.mixup_enabled = False  # as timm's --mixup-off-epoch does
        >>> mixup_fn(x, torch.arange(7))[1][0, :3]
        tensor([0.9100, 0.0100, 0.0100])
    """
    return TimmStage(t, num_classes, label_smoothing, num_splits)


class TimmStage(FastCollateMixup):
    """What `to_timm` returns: is called as timm calls its own.

    A ``FastCollateMixup`` by class alone, for timm's ``PrefetchLoader`` hands ``mixup_enabled`` on to nothing else; it
    shares no code with it, and so does not call its constructor.
    """

    def __init__(self, t: Transform, num_classes: int | None, label_smoothing: float | None, num_splits: int) -> None:
        check_transform("to_timm", t)
        if t.uses_boxes:
            raise fail("to_timm", got=t, expected="a method without object boxes", fix="timm's batches have none.")
        own = t.label_options()
        self.transform, self.num_splits, self._mixes = t, num_splits, own is not None
        if self._mixes and (num_classes is not None or label_smoothing is not None or num_splits > 1):
            raise fail(
                "to_timm",
                got=f"num_classes, label_smoothing or num_splits for {type(t).__name__}, which mixes",
                expected="the mix's own classes and smoothing, and no splits",
                fix=f"Pass num_classes and label_smoothing to {type(t).__name__}.",
            )
        own = own or {"num_classes": num_classes, "smoothing": label_smoothing or 0.0}
        if own.get("form") == "pairs":
            raise fail("to_timm", got="targets='pairs'", expected="soft targets", fix="Leave targets= out.")
        self.num_classes, self.label_smoothing = own["num_classes"], own["smoothing"]
        self.multi_label = own.get("multi_label", False)
        # In shared memory: persistent workers collate on while timm's script turns mixing off in the main process.
        self._enabled = torch.ones(1, dtype=torch.bool).share_memory_()

    @property
    def mixup_enabled(self) -> bool:
        """False turns the stage off, in running DataLoader workers too: images stay, targets are one-hot, smoothed."""
        return bool(self._enabled)

    @mixup_enabled.setter
    def mixup_enabled(self, on: bool) -> None:
        self._enabled[0] = bool(on)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of calls that bring none, also in DataLoader workers that already run."""
        self.transform.set_epoch(epoch)

    def __call__(self, x: Any, target: Any = None) -> Any:
        """See `to_timm` for the three ways to call it."""
        with named("to_timm"):
            if isinstance(x, (list, tuple)) and target is None:
                return collate(self._mix, _stack)(list(x))
            if not isinstance(x, Tensor):
                raise fail(
                    "images",
                    got=f"a {type(x).__name__} of them",
                    expected="a tensor [B, C, H, W]",
                    fix="NaFlex batches hold images of several sizes: mix where they have one.",
                )
            return self._erase(x) if target is None else self._mix(x, target)

    def _mix(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        t = self.transform
        check_layout("images", x.shape, "BCHW")
        if self.num_classes is None and target.ndim == 1:
            raise fail(
                "targets",
                got="class indices without num_classes",
                expected="num_classes, for the targets are soft",
                fix=f"Pass it to {type(t).__name__ if self._mixes else 'to_timm'}.",
            )
        if self._mixes and self.mixup_enabled:
            return t(x, target, inplace=True)
        options = {"num_classes": self.num_classes, "smoothing": self.label_smoothing, "multi_label": self.multi_label}
        clean = labels.mix(target, labels.Told(torch.ones(len(x), dtype=torch.float64), None), **options)
        return t(x, inplace=True) if self.mixup_enabled else x, clean

    def _erase(self, x: Tensor) -> Tensor:
        t = self.transform
        check_layout("images", x.shape, "BCHW")
        if self._mixes:
            raise fail(
                "random_erasing",
                got=f"images without targets for {type(t).__name__}",
                expected="a transform that leaves labels alone",
                fix="A mix goes to mixup_fn or collate_fn, not to loader.random_erasing.",
            )
        if not self.mixup_enabled:
            return x
        if self.num_splits <= 1 or x.ndim == 3:
            return t(x, inplace=True)
        plan = t.decide(x, t.draws(len(x)))
        return t.apply(x, restrict(plan, torch.arange(len(x)) >= len(x) // self.num_splits), inplace=True)

    def __repr__(self) -> str:
        return f"to_timm({self.transform})"


def _stack(items: Any) -> Any:
    """Collate as timm does: uint8 images for its prefetcher to normalise, all else by torch's rule."""
    image = items[0][0]
    if isinstance(image, tuple):
        raise fail(
            "collate_fn",
            got=f"{len(image)} views of each image (AugMix splits)",
            expected="one",
            fix="timm mixes no splits either: erase them, by loader.random_erasing.",
        )
    bytes_ = getattr(image, "dtype", None) in (torch.uint8, np.uint8)
    return (fast_collate if bytes_ else default_collate)(items)
