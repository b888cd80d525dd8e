"""What a machine's GPUs can do: whether the kernels run there, and on which images.

Triton comes with CUDA builds of torch. Where it is missing or does not start, or the device is too old, the reference
backend does the work, and a warning says so once.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

OLDEST = (8, 0)
"""The least compute capability that the kernels are compiled for and tested with (Ampere)."""


def available() -> bool:
    """Whether kernels run on this machine: on a GPU, or in Triton's interpreter."""
    return find_spec("triton") is not None and (interpreted() or torch.cuda.is_available())


def interpreted() -> bool:
    """Whether Triton interprets kernels (``TRITON_INTERPRET=1``), on tensors of the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def supports(x: Tensor) -> bool:
    """Whether this backend can read ``x`` at all."""
    return x.is_cuda and x.layout is torch.strided and usable(x.device) and fits(x)


@cache
def usable(device: torch.device) -> bool:
    """Whether kernels run on a device; says once why they do not."""
    why = ""
    if find_spec("triton") is None:
        why = "Triton is not installed (pip install triton)"
    elif torch.version.hip is not None:
        why = "the kernels have been tested on NVIDIA's devices only"
    elif (found := capability(device)) < OLDEST:
        why = f"it has compute capability {found}, and {OLDEST} is the least"
    else:
        why = _cannot_start()
    if why:
        message = f"augdrop: plain torch paints on {device}, slower than a kernel and with more memory: {why}."
        warnings.warn(message, stacklevel=2)
    return not why


def _cannot_start() -> str:
    """Why Triton does not start, if it does not: on its first day it compiles a little C, and keeps it in a folder."""
    if not torch.cuda.is_available():
        return ""
    from triton.runtime import driver

    try:
        driver.active.get_current_device()  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:  # no C compiler, no Python.h, no folder to write to, no libcuda where it looks
        return f"Triton does not start here ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return ""


def capability(device: torch.device) -> tuple[int, int]:
    """The compute capability of a device; without any it is made up (fake tensors), and can do everything."""
    return torch.cuda.get_device_capability(device) if torch.cuda.is_available() else OLDEST


def fits(x: Tensor) -> bool:
    """Whether 32-bit offsets reach every pixel of a frame, and the lattice of a grid is exact; says once if not."""
    (*_, c, h, w), (*_, channel, row, column) = x.shape, x.stride()
    reach = max(h * w * c, (h - 1) * row + (w - 1) * column + (c - 1) * channel)
    # The last tile reaches past the end.
    return (reach < (1 << 31) - (1 << 16) and h * h + w * w < 1 << 44) or _too_large()


@cache
def _too_large() -> bool:
    warnings.warn(
        "augdrop: plain torch paints images of 2^31 elements or more a frame, slower than a kernel.", stacklevel=2
    )
    return False
