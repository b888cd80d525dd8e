"""The floor of erasing in place: a plain loop that zeroes the dropped bytes where they lie, and knows no regions.

As many bytes in one piece would take far less: runs begin and end within lines of memory, which move as a whole.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba import carray, types  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from augdrop.kernels import threads
from augdrop.kernels.job import Kernel
from augdrop.memory import pointer, take

_AT_ONCE = 256
"""Runs that a thread takes at once."""


def floor(x: Tensor, mask: Tensor) -> Callable[[], None]:
    """A call that zeroes what bool ``mask [B, H, W]`` drops from contiguous images ``x [(B,) C, H, W]``."""
    _, height, width = mask.shape
    rows, planes = mask.flatten(0, 1).numpy().view(np.int8), np.arange(x.shape[-3])[:, None]
    # Runs end where rows do, as every mask's do for a loop over rows.
    edges = np.diff(rows, axis=1, prepend=np.int8(0), append=np.int8(0))
    begun, start = np.nonzero(edges == 1)
    (_, end), (image, y) = np.nonzero(edges == -1), divmod(begun, height)
    pixels = ((image * len(planes) + planes) * height + y) * width + start
    order = np.argsort(np.broadcast_to(image, pixels.shape), axis=None, kind="stable")
    starts = x.data_ptr() + pixels.ravel()[order] * x.element_size()
    lengths = np.broadcast_to(end - start, pixels.shape).ravel()[order] * x.element_size()
    work: Any = (ctypes.c_int64 * 4)(0, len(starts), starts.ctypes.data, lengths.ctypes.data)
    keep, n = (starts, lengths), threads.threads_for(x.nbytes)

    def call() -> None:
        assert keep  # named by address alone
        work[0] = 0
        threads.run(_write, work, n)

    return call


@numba.cfunc(types.void(types.voidptr), cache=True)
def _compiled(shared):
    work = carray(shared, 4, np.int64)
    starts, lengths = pointer(work[2], np.int64), pointer(work[3], np.int64)
    while True:
        first = take(shared) * _AT_ONCE
        if first >= work[1]:
            break
        for run in range(first, min(first + _AT_ONCE, work[1])):
            bytes_ = pointer(starts[run], np.uint8)
            for i in range(lengths[run]):
                bytes_[i] = 0


_write = cast(Kernel, _compiled)
