"""Decider: one plan for a batch, whichever of a stage's DALI operators asks for it first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.errors import AugDropError, fail
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform

_REMEMBERED = 8
"""Plans that are kept. DALI prefetches, so the operators of several batches ask in turns."""


class Decider:
    """Plans of a transform by keys; the last few are remembered, and a plan made again is equal in any case.

    Args:
        transform: any AugDrop transform.
        padded: keys may repeat at the end of a batch, where a reader with ``pad_last_batch=True`` repeats its last
            sample. Such copies share the plan of the first, and nobody's pairing depends on them.

    Example:
        >>> import augdrop as ad
        >>> decider = Decider(ad.Cutout(4, seed=0))
        >>> plan = decider(np.array([5, 6]), np.array([0, 0]), (2, 3, 8, 8))
        >>> plan is decider(np.array([5, 6]), np.array([0, 0]), (2, 3, 8, 8))
        True
    """

    def __init__(self, transform: Transform, padded: bool = False) -> None:
        self.transform, self.padded = transform, padded
        self._plans: OrderedDict[Hashable, Plan | Plans] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(
        self,
        keys: np.ndarray,
        epochs: np.ndarray | int | None,
        shape: tuple[int, ...],
        scores: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
        images: Tensor | None = None,
        once: bool = False,
    ) -> Plan | Plans:
        """The plan of a batch.

        Args:
            keys: int64 ``[B]``.
            epochs: int64 ``[B]``, or one for all; None is the epoch that is set on the transform.
            shape: ``(B, C, H, W)``, or ``(B, T, C, H, W)`` for videos.
            scores: maps ``[B, h, w]`` for attentive methods.
            boxes: ``[K, 4]`` in pixels of each sample, for methods that look at them.
            images: ``[B, ..., C, H, W]`` for attentive methods that get no scores; such plans are not remembered.
            once: nobody else asks, so this plan need not be remembered either.
        """
        t = self.transform
        epochs = int(t._epoch) if epochs is None else epochs
        keys = self.check(keys, shape[0])
        epochs = np.array(epochs, np.int64) if np.ndim(epochs) else np.full(len(keys), epochs, np.int64)
        given: dict[str, Any] = {}
        if t.uses_pixels and scores is None and images is None:
            raise no_scores(t)
        if scores is not None:
            if not t.uses_pixels:
                raise fail("to_dali: scores", got=type(t).__name__, expected="an attentive method", fix="Leave it out.")
            given["scores"], images = scores, None
        if t.uses_boxes:
            given["boxes"] = [torch.zeros(0, 4)] * len(keys) if boxes is None else list(boxes)
        if once or (t.uses_pixels and images is not None):
            return self._decide(keys, epochs, shape, images if t.uses_pixels else None, given)
        name = (keys.tobytes(), epochs.tobytes(), tuple(shape), *(_bytes(v) for v in given.values()))
        with self._lock:
            if name not in self._plans:
                self._plans[name] = self._decide(keys, epochs, shape, None, given)
                while len(self._plans) > _REMEMBERED:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(name)
            return self._plans[name]

    def check(self, keys: np.ndarray, batch: int) -> np.ndarray:
        """The keys as int64, if there is one of its own for every sample."""
        keys = np.asarray(keys)
        if keys.dtype.kind not in "iu" or keys.shape != (batch,):
            raise fail(
                "to_dali: keys",
                got=f"{keys.dtype} of shape {keys.shape}",
                expected=f"one integer for each of {batch} samples",
                fix="Give the reader's sample numbers.",
            )
        keys = np.ascontiguousarray(keys, np.int64)
        real = keys[: self._real(keys)]
        if _repeated(real):
            values, counts = np.unique(real, return_counts=True)
            raise fail(
                "to_dali: keys",
                got=f"{values[counts.argmax()]} {counts.max()} times in a batch of {batch}",
                expected="a key of its own for every sample",
                fix="Give sample numbers, not labels. A reader that has too few samples for its last batch repeats "
                "some: set pad_last_batch=True on it, and say to_dali(..., padded=True).",
            )
        return keys

    def _real(self, keys: np.ndarray) -> int:
        """How many samples there are before the copies of the last."""
        return _until_copies(keys) if self.padded else len(keys)

    def _decide(
        self, keys: np.ndarray, epochs: np.ndarray, shape: tuple[int, ...], images: Tensor | None, given: dict[str, Any]
    ) -> Plan | Plans:
        t, batch, n = self.transform, len(keys), self._real(keys)
        keys, epochs, given = keys[:n], epochs[:n], {name: value[:n] for name, value in given.items()}
        if images is None:
            plan = t.plan((n, *shape[1:]), keys=keys, epoch=epochs, **given)  # pyright: ignore[reportCallIssue]
        else:
            plan = t.decide(images[:n], t.draws(n, keys, epochs), **given)
        return plan if n == batch else _pad(plan, n, batch)


@njit(cache=True, nogil=True)
def _repeated(keys):
    """Are two of the keys equal?"""
    keys = np.sort(keys)
    for b in range(1, len(keys)):  # noqa: SIM110 (generators do not compile)
        if keys[b] == keys[b - 1]:
            return True
    return False


@njit(cache=True, nogil=True)
def _until_copies(keys):
    """How many keys there are with the first of those at the end that are equal."""
    n = len(keys)
    while n > 1 and keys[n - 1] == keys[n - 2]:
        n -= 1
    return n


def no_scores(t: Transform) -> AugDropError:
    """The error of an attentive method that can see neither score maps nor pixels."""
    return fail(
        "to_dali: scores",
        got=f"no score maps for {type(t).__name__}",
        expected="scores=, a map [h, w] for each sample",
        fix="Compute them in the graph, or use route='kernel', which can look at the pixels.",
    )


def _pad(plan: Plan | Plans, n: int, batch: int) -> Plan | Plans:
    """The plan of ``n`` samples for a batch whose rest are copies of the last."""
    if isinstance(plan, Plans):
        return Plans(plan.kind, tuple(_pad(p, n, batch) for p in plan.plans))
    rows = torch.arange(len(plan)).view(n, -1)  # a video may have a row for each frame
    return plan.take(rows[torch.arange(batch).clamp(max=n - 1)].flatten())


def _bytes(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return tuple(value.shape), value.detach().cpu().contiguous().numpy().tobytes()
    return tuple(_bytes(v) for v in value)
