"""Room for results, and the way to a device: large new tensors lie in huge pages, where Linux has them.

A new tensor costs a page fault for every 4 KiB that is first written, which takes several times as long as the copy
into it. In pages of 2 MiB it costs next to nothing. NumPy asks the kernel for them in the same way.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor

_LARGE = 1 << 22
"""Bytes from which on huge pages are worth the question."""

_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)
_madvise = ctypes.CDLL(None).madvise if sys.platform == "linux" and _ADVICE is not None else None
if _madvise is not None:
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A small host tensor on a device; on a GPU by a copy that does not wait."""
    if device.type != "cuda" or not x.is_cpu:
        return x.to(device)
    pinned = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
    return pinned.copy_(x).to(device, non_blocking=True)


def empty_like(x: Tensor) -> Tensor:
    """``torch.empty_like(x)``, in huge pages if it is large and on the CPU."""
    out = torch.empty_like(x)
    size = out.numel() * out.element_size()
    if size >= _LARGE and _madvise is not None and out.is_cpu:
        # Only whole pages can be advised. It is a wish: the answer does not matter.
        start = -(-out.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        _madvise(start, (out.data_ptr() + size - start) // mmap.PAGESIZE * mmap.PAGESIZE, _ADVICE)
    return out
