"""Lightning: any AugDrop transform in ``on_after_batch_transfer``, on the batch's device, only in training."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from augdrop.adapters.checks import check_transform, named
from augdrop.adapters.extras import require
from augdrop.datasets import Keyed
from augdrop.errors import fail
from augdrop.transforms.base import Transform

if find_spec("pytorch_lightning") is None:  # the other name of the same library
    require("lightning", extra="lightning", least="2.0")

BEFORE, HOOK, CHECK = "on_before_batch_transfer", "on_after_batch_transfer", "on_fit_start"


def to_lightning(t: Transform, module: Any = None) -> Any:
    """A transform for a ``LightningModule`` or ``LightningDataModule``.

    - ``class Net(ad.to_lightning(t), LightningModule)``: a base class with the hook; it comes first.
    - ``ad.to_lightning(t, net)``: gives an existing module or data module the hook, and hands it back; also in its own
      constructor, ``ad.to_lightning(t, self)``.

    A hook of the module's own runs before the transform. Batches are what the transform takes: ``(images, labels)``, a
    dict, or another sample structure (see `augdrop.samples`); they are not edited in place. Validation, the sanity
    check before it, test and prediction are left alone. In training, the labels of a mix become soft targets, float32
    ``[B, num_classes]``, which ``nn.CrossEntropyLoss`` takes.

    Keys come with the batch, as a ``"key"`` entry of a dict or from ``ad.keyed(dataset, attach=True)``, whose `Keyed`
    batches are unwrapped in every stage; else from torch's generator. The epoch is ``trainer.current_epoch``.

    Args:
        t: any AugDrop transform.
        module: a ``LightningModule`` or ``LightningDataModule``; None makes a base class.

    Raises:
        AugDropError: ``module`` is neither, or has a transform already. In training: module and data module both have
            the hook, of which Lightning would run the data module's alone.

    Example:
        >>> import augdrop as ad, torch
        >>> from lightning.pytorch import LightningModule
        >>> class Net(ad.to_lightning(ad.CutMix(num_classes=10)), LightningModule):
        ...     def training_step(self, batch, index):
        ...         images, targets = batch
        >>> net = ad.to_lightning(ad.GridMask(), LightningModule())
    """
    check_transform("to_lightning", t)
    if module is None:
        return type("AugDropHooks", (Hooks,), {"augdrop": t})
    if isinstance(module, type) or not hasattr(module, HOOK):
        raise fail(
            "to_lightning",
            got=module.__name__ if isinstance(module, type) else type(module).__name__,
            expected="an instance of LightningModule or LightningDataModule",
            fix="A class takes the hook by class Net(ad.to_lightning(t), LightningModule).",
        )
    if isinstance(module, Hooks) or HOOK in vars(module):
        raise fail(
            "to_lightning",
            got=f"{type(module).__name__}, which has a transform already",
            expected="one transform a module",
            fix="Put the two in ad.Compose.",
        )
    # Partials: Lightning looks for the function behind a hook, and they are copied and pickled with the module.
    setattr(module, BEFORE, partial(_before, module))
    setattr(module, HOOK, partial(_after_its_own, module, t))
    setattr(module, CHECK, partial(_at_start, module))
    return module


class Hooks:
    """The hooks as a base class; `to_lightning` adds the transform."""

    augdrop: Transform
    trainer: Any

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch after the hook of the classes behind, its keys held back on the host."""
        return _held_back(super().on_before_batch_transfer(batch, dataloader_idx))  # type: ignore[misc]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch after the hook of the classes behind, transformed in training."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)  # type: ignore[misc]
        return _transformed(self.augdrop, self.trainer, batch)

    def on_fit_start(self) -> None:
        """See that Lightning is going to run the hook."""
        getattr(super(), CHECK, lambda: None)()
        _check(self.trainer)


def _before(module: Any, batch: Any, dataloader_idx: int) -> Any:
    return _held_back(type(module).on_before_batch_transfer(module, batch, dataloader_idx))


def _held_back(batch: Any) -> Any:
    # Arrays are not moved. Keys on a GPU would have to be read back, and the host would wait for the step before.
    return batch._replace(key=np.asarray(batch.key)) if isinstance(batch, Keyed) else batch


def _after_its_own(module: Any, t: Transform, batch: Any, dataloader_idx: int) -> Any:
    batch = type(module).on_after_batch_transfer(module, batch, dataloader_idx)
    return _transformed(t, module.trainer, batch)


def _at_start(module: Any) -> None:
    type(module).on_fit_start(module)
    _check(module.trainer)


def _transformed(t: Transform, trainer: Any, batch: Any) -> Any:
    keys = None
    if isinstance(batch, Keyed):
        batch, keys = batch.item, batch.key
    if not trainer.training:
        return batch
    _check(trainer)
    with named("to_lightning"):
        return t(batch, keys=keys, epoch=trainer.current_epoch)


def _check(trainer: Any) -> None:
    """Raise if one of two hooks would be passed over."""
    net, data = trainer.lightning_module, trainer.datamodule
    if data is not None and _overrides(net) and _overrides(data):
        raise fail(
            f"to_lightning: {HOOK}",
            got=f"one in {type(net).__name__} and one in {type(data).__name__}",
            expected="one in all, for Lightning runs the data module's alone",
            fix="Move what they do to one of them; to_lightning(t, module) keeps the hook that the module has.",
        )


def _overrides(module: Any) -> bool:
    owner = next(c for c in type(module).__mro__ if HOOK in vars(c))
    return HOOK in vars(module) or owner.__name__ != "DataHooks"  # Lightning's own
