"""Samples: a batch as DALI hands it to a Python function, one DLPack capsule a sample, seen as one tensor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cached_property
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
        found = np.fromiter((_address(c, b"dltensor") for c in capsules), np.int64, len(capsules))
        self._starts = np.empty(len(found), np.int64)
        self.alike = bool(_scan(found, self._starts))
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
    def batch(self) -> Tensor:
        """Samples that are alike as one tensor: a view if they lie in memory at equal distances, else a copy."""
        first, n = self.first, len(self)
        step = int(self._starts[1] - self._starts[0]) if n > 1 else first.nbytes
        evenly = step >= first.nbytes > 0 and step % first.itemsize == 0
        self.shared = evenly and bool((np.diff(self._starts) == step).all())
        if not self.shared:
            return torch.from_numpy(np.stack(self._arrays))
        return torch.from_numpy(np.lib.stride_tricks.as_strided(first, (n, *first.shape), (step, *first.strides)))

    def give_back(self) -> None:
        """Write what was done to `batch` to where the samples are, if it is a copy."""
        if not self.shared:
            for sample, row in zip(self, self.batch.numpy(), strict=True):
                sample[...] = row

    def tensors(self) -> Tensor | list[Tensor]:
        """A tensor with a row for each sample, or a list of tensors if they are not alike."""
        return self.batch if self.alike else [torch.from_numpy(a) for a in self]


def to_capsules(values: Any) -> list[Any]:
    """What a Python function gives back to DALI: a capsule for each row of a tensor, or tensor of a list."""
    # Rows of a table are quickly had from NumPy, which makes numbers of single values, though.
    arrays = values.numpy() if isinstance(values, Tensor) and values.ndim > 1 else [v.numpy() for v in values]
    return [ArrayToDLTensor(a) for a in arrays]


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
