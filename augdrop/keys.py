"""Keys: the integers that name samples, and how they and the epoch travel to a transform.

In this order: the ``keys=`` argument, ``with augdrop.keys(...)`` around the call, a ``"key"`` entry of a dict sample,
and else one draw from torch's generator a call: ``torch.manual_seed``, or a DataLoader worker's own seed, governs.

Samples of one key and epoch drop alike, within a batch too. Where repeats of a sample are to differ (repeated
augmentation), number the repeats: ``key * repeats + number``, or ``key_of(f"{name}#{number}")``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor

from augdrop.errors import fail

_HALF, EPOCHS = 1 << 63, 1 << 32
"""One above the largest key and epoch."""

NO_EPOCH = -1
"""The epoch of items whose data set was told none (see `augdrop.keyed`): then that of the transform counts."""

Ids = int | Sequence[int] | np.ndarray | Tensor
"""One key, or one for each sample of a batch."""


class _Fresh(threading.local):
    """Where torch's generator puts a key: one a thread, for others may run while it draws."""

    def __init__(self) -> None:
        tensor = torch.empty(1, dtype=torch.int64, device="cpu")
        array = tensor.numpy()
        self.draw, self.read, self.number = tensor.random_, array.copy, array.item


_fresh = _Fresh()

_context: ContextVar[tuple[Ids, Ids | None] | None] = ContextVar("augdrop_keys", default=None)


@contextmanager
def keys(ids: Ids, epoch: Ids | None = None) -> Iterator[None]:
    """Give every transform called in the block these keys (and this epoch, if any). Equal keys drop alike.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.Cutout(length=4, seed=0)
        >>> with ad.keys(17):
        ...     a = t(torch.ones(1, 8, 8))
        >>> bool((a == t(torch.ones(1, 8, 8), keys=17)).all())
        True
    """
    token = _context.set((ids, None if isinstance(epoch, int) and epoch == NO_EPOCH else epoch))
    try:
        yield
    finally:
        _context.reset(token)


def key_of(name: str | bytes) -> int:
    """A key for a sample that is known by name (a relative path, say): 63 bits of its hash.

    Example:
        >>> key_of("cats/1.jpg") == key_of(b"cats/1.jpg"), key_of("cats/1.jpg") == key_of("cats/2.jpg")
        (True, False)
    """
    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") >> 1


def resolve(
    given: Ids | None, epoch: Ids | None, batch: int, default_epoch: int, carried: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The keys and epochs of a call, int64 ``[batch]`` each; ``carried`` are the keys found in dict samples."""
    if given is None:
        given, epoch = _in_context(epoch)
        given = carried if given is None else given
    if given is not None:
        ids = _integers("keys", given, batch)
    else:
        _fresh.draw()
        ids = _fresh.read()
        if batch != 1:
            ids = ids + _places(batch)
    return ids, _epochs_of(epoch, batch, default_epoch)


def resolve_one(
    given: Ids | None, epoch: Ids | None, default_epoch: int, carried: int | None = None
) -> tuple[int, int]:
    """`resolve` for one sample, whose key and epoch stay plain numbers."""
    if given is None:
        given, epoch = _in_context(epoch)
        given = carried if given is None else given
    if given is None:
        _fresh.draw()
        key = _fresh.number()
    elif type(given) is int and -_HALF <= given < _HALF:
        key = given
    else:
        key = _integers("keys", given, 1).item()
    if epoch is None:
        epoch = default_epoch
    if type(epoch) is int and 0 <= epoch < EPOCHS:
        return key, epoch
    return key, _epochs_of(epoch, 1, default_epoch).item()


def _in_context(epoch: Ids | None) -> tuple[Ids | None, Ids | None]:
    """The keys of a ``with augdrop.keys(...)`` around the call, and its epoch, if the call has none."""
    context = _context.get()
    return (None, epoch) if context is None else (context[0], context[1] if epoch is None else epoch)


def _epochs_of(epoch: Ids | None, batch: int, default: int) -> np.ndarray:
    """int64 ``[batch]``; ``default`` where there is none."""
    if epoch is None or isinstance(epoch, int):
        return _epochs(default if epoch is None else epoch, batch)
    epochs = _integers("epoch", epoch, batch)
    epochs[epochs == NO_EPOCH] = default
    if batch and not 0 <= epochs.min() <= epochs.max() < EPOCHS:
        wrong = epochs[(epochs < 0) | (epochs >= EPOCHS)][0]
        raise fail("epoch", got=wrong, expected="numbers from 0 to 2**32 - 1", fix="Count epochs from 0.")
    return epochs


def _integers(what: str, given: Ids, batch: int) -> np.ndarray:
    array = cast(Tensor, given).cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.ndim == 0 and (batch == 1 or what == "epoch"):
        array = array.repeat(batch)
    if array.dtype.kind not in "iu" and array.size:
        raise fail(
            what, got=f"{array.dtype} values", expected="integers", fix="Name samples by number, or by key_of(name)."
        )
    if array.shape != (batch,):
        raise fail(
            what,
            got=f"shape {array.shape}",
            expected=f"one for each of {batch} samples",
            fix="Give them in batch order.",
        )
    return np.array(array, np.int64)  # of its own: a plan reads its keys later, too


@lru_cache(64)
def _places(batch: int) -> np.ndarray:
    return np.arange(batch)


@lru_cache(64)
def _epochs(epoch: int, batch: int) -> np.ndarray:
    if not 0 <= epoch < EPOCHS:
        raise fail("epoch", got=epoch, expected="a number from 0 to 2**32 - 1", fix="Count epochs from 0.")
    return np.full(batch, epoch, np.int64)
