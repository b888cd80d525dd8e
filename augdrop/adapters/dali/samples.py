"""Samples: a batch as DALI hands it to a Python function, one DLPack capsule a sample, seen as one tensor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numba import njit
from nvidia.dali.python_function_plugin import ArrayToDLTensor, DLTensorToArray
from torch import Tensor

from augdrop.memory import pointer

_address = ctypes.pythonapi.PyCapsule_GetPointer
_address.restype, _address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class Samples(Sequence[np.ndarray]):
    """The samples of a batch, which share memory with DALI as long as its call lasts.

    An array for each of them takes longer than painting does; so nothing is made of the capsules until it is asked for.
    """

    def __init__(self, capsules: list[Any]) -> None:
        self._capsules = capsules
        self._found = np.fromiter(map(_address, capsules, repeat(b"dltensor")), np.int64, len(capsules))
        self._starts = np.empty(len(capsules), np.int64)
        self.alike = bool(_scan(self._found, self._starts))
        """Have all one shape and dtype?"""

    def __len__(self) -> int:
        return len(self._capsules)

    def __getitem__(self, b: Any) -> Any:
        return self._arrays[b]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._arrays)

    @cached_property
    def first(self) -> np.ndarray:
        return DLTensorToArray(self._capsules[0])

    @cached_property
    def _arrays(self) -> list[np.ndarray]:
        return [self.first, *map(DLTensorToArray, self._capsules[1:])]

    @cached_property
    def shared(self) -> bool:
        """Do samples that are alike lie in memory end to end?"""
        return self.first.nbytes > 0 and bool(_end_to_end(self._starts, self.first.nbytes))

    @cached_property
    def batch(self) -> Tensor:
        """Samples that are alike as one tensor: a view if they lie in memory end to end, else a copy."""
        first = self.first
        if not self.shared:
            batch = np.empty((len(self), *first.shape), first.dtype)
            _move(self._starts, _rows(batch), False)
            return torch.from_numpy(batch)
        memory: Any = (ctypes.c_char * (len(self) * first.nbytes)).from_address(int(self._starts[0]))
        return torch.from_numpy(np.ndarray((len(self), *first.shape), first.dtype, memory))

    def give_back(self) -> None:
        """Write what was done to `batch` to where the samples are, if it is a copy."""
        if not self.shared:
            _move(self._starts, _rows(self.batch.numpy()), True)

    @cached_property
    def integers(self) -> np.ndarray | None:
        """int64 ``[B]``, if each sample is one integer of 32 or 64 bits, as readers and sources count."""
        values = np.empty(len(self._starts), np.int64)
        return values if self.alike and _integers(self._found, self._starts, values) else None

    @cached_property
    def shapes(self) -> np.ndarray:
        """int64 ``[B, axes]``."""
        shapes = np.empty((len(self), self.first.ndim), np.int64)
        shapes[:] = self.first.shape if self.alike else [a.shape for a in self]
        return shapes

    def tensors(self) -> Tensor | list[Tensor]:
        """A tensor with a row for each sample, or a list of tensors if they are not alike."""
        return self.batch if self.alike else [torch.from_numpy(a) for a in self]


def to_capsules(values: Any) -> list[Any]:
    """What a Python function gives back to DALI: a capsule for each row of a table, or for each tensor of a list."""
    if isinstance(values, Tensor) and values.ndim > 1:
        values = values.numpy()  # whose rows are had in less time
    return [ArrayToDLTensor(v.numpy() if isinstance(v, Tensor) else v) for v in values]


@njit(cache=True, nogil=True)
def _scan(found, starts):
    """Put down where the data of each ``DLTensor`` start; are shapes and dtypes equal?

    As words of 64 bits it is: data, device, axes and dtype, shape, strides, offset (dlpack.h).
    """
    one = pointer(found[0], np.int64)
    alike = True
    for b in range(len(found)):
        tensor = pointer(found[b], np.int64)
        starts[b] = tensor[0] + tensor[5]
        alike &= tensor[2] == one[2]
        if alike:
            for axis in range(tensor[2] & 0xFFFFFFFF):
                alike &= pointer(tensor[3], np.int64)[axis] == pointer(one[3], np.int64)[axis]
    return alike


@njit(cache=True, nogil=True)
def _end_to_end(starts, size):
    """Does each begin where the one before it ends?"""
    together = True
    for b in range(1, len(starts)):
        together &= starts[b] - starts[b - 1] == size
    return together


@njit(cache=True, nogil=True)
def _integers(found, starts, values):
    """Read one integer of each sample, if that is what they all have; they are alike."""
    if len(found) == 0:
        return False
    tensor = pointer(found[0], np.int64)
    # Axes in the low half; then a byte for the kind (0: with a sign), one for its bits, two for lanes.
    kind, cells = tensor[2] >> 32, np.int64(1)
    for axis in range(tensor[2] & 0xFFFFFFFF):
        cells *= pointer(tensor[3], np.int64)[axis]
    if cells != 1 or (kind != 0x14000 and kind != 0x12000):
        return False
    for b in range(len(found)):
        values[b] = pointer(starts[b], np.int64)[0] if kind == 0x14000 else pointer(starts[b], np.int32)[0]
    return True


def _rows(batch: np.ndarray) -> np.ndarray:
    """The bytes of each sample."""
    return batch.reshape(-1).view(np.uint8).reshape(len(batch), batch.nbytes // len(batch))


@njit(cache=True, nogil=True)
def _move(starts, rows, back):
    """Copy samples from where they start into rows of bytes, or back."""
    n = rows.shape[1]
    for b in range(len(rows)):
        sample, row = pointer(starts[b], np.uint8), rows[b]
        for i in range(n):
            if back:
                sample[i] = row[i]
            else:
                row[i] = sample[i]
