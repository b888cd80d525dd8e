"""DropBlock on feature maps on the CPU: seeds grow into blocks where they are drawn, and one pass scales what is left.

In plain torch the largest part is a max-pooling that looks at every cell block after block; but seeds are few, and
together their blocks have no more cells than are to be dropped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import numba
import numpy as np
import torch
from numba import carray  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from augdrop.kernels import threads
from augdrop.kernels.allocate import empty_like
from augdrop.kernels.job import Kernel
from augdrop.memory import ahead, data, load8, pointer, take
from augdrop.regions.mask import bernoulli_map

_SCALARS = {torch.float32: np.float32, torch.float64: np.float64}
_CHANNELS = 32
"""Channels of a sample that a thread takes at once."""


def takes(x: Tensor) -> bool:
    """Whether `scale_kept` is for ``x``."""
    return x.is_cpu and x.dtype in _SCALARS and x.is_contiguous()


def kept(
    stream: int, keys: np.ndarray, epochs: np.ndarray, gamma: float, channels: int, size: Sequence[int], block: Any
) -> tuple[Tensor, Tensor]:
    """What DropBlock keeps: bool ``[B, channels, *size]``, and how many cells of each sample that are, int64 ``[B]``.

    Args:
        stream: of the draws.
        keys, epochs: int64 ``[B]``.
        gamma: chance of a seed.
        channels: with blocks of their own.
        size, block: in up to three dimensions; a seed is a block's first corner.

    Example:
        >>> ids = np.arange(2)
        >>> keep, count = kept(1, ids, ids, 0.1, 4, (8, 8), (3, 3))
        >>> keep.shape, bool((keep.flatten(1).sum(1) == count).all())
        (torch.Size([2, 4, 8, 8]), True)
    """
    keep = torch.empty((len(keys), channels, *size), dtype=torch.bool)
    count = torch.empty(len(keys), dtype=torch.int64)
    chance = np.array([gamma])
    three = [*[1] * (3 - len(size))]
    numbers = (*three, *size, *three, *block)
    addresses = (a.ctypes.data for a in (keys, epochs, chance)), (t.data_ptr() for t in (keep, count))
    _run(
        _grow(), len(keys), keep.numel(), channels, *numbers, np.int64(np.uint64(stream)), *addresses[0], *addresses[1]
    )
    return keep, count


@torch.library.custom_op("augdrop::scale_kept", mutates_args=())
def scale_kept(x: Tensor, keep: Tensor, scale: Tensor) -> Tensor:
    """``x * (keep * scale)`` in one pass.

    Args:
        x: ``[B, C, *size]``, as `takes` has it.
        keep: bool ``[B, C or 1, *size]``.
        scale: ``[B]`` or ``[1]``, any float dtype; counts in that of ``x``.
    """
    keep, scale, out = keep.contiguous(), scale.to(x.dtype).contiguous(), empty_like(x)
    cells = x[0, 0].numel()
    room = x.shape[1], keep.shape[1] > 1, cells, len(scale) > 1
    places = (t.data_ptr() for t in (x, out, keep, scale))
    pieces = len(x) * -(-x.shape[1] // _CHANNELS)
    _run(_scale(_SCALARS[x.dtype]), pieces, x.numel() * x.element_size(), *room, *places)
    return out


@scale_kept.register_fake
def _(x: Tensor, keep: Tensor, scale: Tensor) -> Tensor:
    return torch.empty_like(x)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return scale_kept(grad.contiguous(), *ctx.saved_tensors), None, None


scale_kept.register_autograd(_backward, setup_context=_save)


def _run(kernel: Kernel, pieces: int, size: int, *numbers: Any) -> None:
    """Do so many pieces; a kernel is told what has been taken of them, how many there are, and ``numbers``."""
    record = (ctypes.c_int64 * (2 + len(numbers)))(0, pieces, *map(int, numbers))
    threads.run(kernel, cast(Any, record), threads.threads_for(size))


def _entry(body: Callable[[Any], None]) -> Kernel:
    return cast(Kernel, numba.cfunc(numba.void(numba.intp), cache=True)(body))


@cache
def _grow() -> Kernel:
    """Draw a sample's seeds, and clear their blocks."""

    @_entry
    def run(record):
        job = pointer(record, np.int64)
        channels, depth, height, width = job[2], job[3], job[4], job[5]
        deep, high, wide = job[6], job[7], job[8]
        layers, rows, columns = depth - deep + 1, height - high + 1, width - wide + 1
        stream, cells = np.uint64(job[9]), channels * depth * height * width
        keys, epochs = carray(pointer(job[10], np.int64), job[1]), carray(pointer(job[11], np.int64), job[1])
        chance, count = carray(pointer(job[12], np.float64), 1), pointer(job[14], np.int64)
        places = channels * layers * rows * columns
        while True:
            b = take(job)
            if b >= job[1]:
                return
            seeds = bernoulli_map(stream, keys[b : b + 1], epochs[b : b + 1], chance, places // columns, columns)
            flags = data(seeds)
            keep = pointer(job[13] + b * cells, np.uint8)
            for i in range(cells):
                keep[i] = 1
            left, i = cells, np.int64(0)
            while i < places:
                if i + 8 <= places and load8(ahead(flags, i)) == 0:
                    i += 8
                    continue
                if flags[i]:
                    x, y = i % columns, i // columns % rows
                    z, c = i // (columns * rows) % layers, i // (columns * rows * layers)
                    for layer in range(z, z + deep):
                        for row in range(y, y + high):
                            start = ((c * depth + layer) * height + row) * width + x
                            for j in range(start, start + wide):
                                left -= keep[j]
                                keep[j] = 0
                i += 1
            count[b] = left + 0 * len(seeds)  # whose memory is freed after its last use

    return run


@cache
def _scale(scalar: type) -> Kernel:
    """Scale some channels of a sample."""
    zero, size = scalar(0), np.dtype(scalar).itemsize

    @_entry
    def run(record):
        job = pointer(record, np.int64)
        channels, own, cells, by_sample = job[2], job[3], job[4], job[5]
        groups = -(-channels // _CHANNELS)
        factors = pointer(job[9], scalar)
        while True:
            piece = take(job)
            if piece >= job[1]:
                return
            b, first = piece // groups, piece % groups * _CHANNELS
            factor = factors[b * by_sample]
            for c in range(first, min(first + _CHANNELS, channels)):
                start = b * channels + c
                x, out = (
                    pointer(job[6] + start * cells * size, scalar),
                    pointer(job[7] + start * cells * size, scalar),
                )
                keep = pointer(job[8] + (start if own else b) * cells, np.uint8)
                for i in range(cells):
                    out[i] = x[i] * (factor if keep[i] else zero)

    return run
