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
from torch.autograd import forward_ad

_LARGE = 1 << 22
"""Bytes from which on huge pages are worth the question."""

_FRESH = 1 << 25
"""Bytes from which on the C library takes every allocation from the system and gives it back."""

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
    return _advised(torch.empty_like(x))


def room(shape: tuple[int, ...] | torch.Size, *inputs: Tensor) -> Tensor | None:
    """A large new tensor in huge pages, for the ``out=`` of an operation: of the first input's dtype.

    None where memory is likely to be at hand already, and where the operation is to make its own, because something
    follows what is done to the ``inputs``: a gradient, the compiler, or a transform of `torch.func`.
    """
    first = inputs[0]
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return None
    if torch.Size(shape).numel() * first.element_size() < _FRESH or any(not x.is_cpu for x in inputs):
        return None
    if any(type(x) not in (Tensor, torch.nn.Parameter) or _followed(x) for x in inputs):
        return None
    return _advised(first.new_empty(shape))


def _followed(x: Tensor) -> bool:
    return (x.requires_grad and torch.is_grad_enabled()) or forward_ad.unpack_dual(x).tangent is not None


def _advised(out: Tensor) -> Tensor:
    size = out.numel() * out.element_size()
    if size >= _LARGE and _madvise is not None and out.is_cpu:
        # Only whole pages can be advised. It is a wish: the answer does not matter.
        start = -(-out.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        _madvise(start, (out.data_ptr() + size - start) // mmap.PAGESIZE * mmap.PAGESIZE, _ADVICE)
    return out
