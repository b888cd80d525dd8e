"""The CUDA backend: what a plan and a fill are as one launch of a Triton kernel.

Triton comes with CUDA builds of torch and is imported at the first launch. Where it is missing, or the device is too
old, the reference backend does the work, and a warning says so once.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from augdrop.kernels import ops
from augdrop.kernels.painter import BLEND, BLUR, NOISE, SOURCE, TABLE
from augdrop.pairing import write_order
from augdrop.regions.base import Region

if TYPE_CHECKING:
    from augdrop.kernels.paint import Paint

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
    return x.is_cuda and x.layout is torch.strided and usable(x.device)


@cache
def usable(device: torch.device) -> bool:
    """Whether kernels run on a device; says once why they do not."""
    why = ""
    if find_spec("triton") is None:
        why = "Triton is not installed (pip install triton)"
    elif torch.version.hip is not None:
        why = "the kernels have been tested on NVIDIA's devices only"
    # Without a CUDA device this one is made up (fake tensors): there is nothing to ask.
    elif torch.cuda.is_available() and torch.cuda.get_device_capability(device) < OLDEST:
        why = f"it has compute capability {torch.cuda.get_device_capability(device)}, and {OLDEST} is the least"
    if why:
        warnings.warn(f"augdrop: plain torch paints on {device}, slower than a kernel: {why}.", stacklevel=2)
    return not why


def apply(x: Tensor, out: Tensor, region: Region, hit: Tensor, how: Paint) -> bool:
    """Paint ``x [B, T, C, H, W]`` into ``out`` (which may be ``x``); False where this backend has no way to do it."""
    kind, params, bits = region.packed()
    if not all(fits(v) for v in (x, out, how.source) if v is not None):
        return False
    fill, law = TABLE, []
    if how.noise is not None:
        fill, law = NOISE, [*(float(v) for v in how.noise), float(how.boxes)]
    elif how.cells is not None:
        fill = BLUR
    elif how.source is not None:
        fill = SOURCE if how.opacity is None else BLEND
    table = how.table
    if table is not None and how.constant is not None:
        # A colour that is one for all goes as numbers: the launch keeps it on the device.
        table, law = None, how.constant
    keys = how.keys if how.noise is not None else None
    if out is not x:
        ops.paint(
            x, out, hit, params, bits, how.source, how.index, how.opacity, table, keys, how.cells,
            kind, fill, law, how.factor,
        )  # fmt: skip
        return True
    order = None
    if how.source is x:
        order = how.order if how.order is not None else _order(how.index, hit)
    ops.paint_(
        x, hit, params, bits, None if order is not None else how.source, how.index, how.opacity, table, keys, how.cells,
        order, kind, fill, law, how.factor,
    )  # fmt: skip
    return True


def fits(x: Tensor) -> bool:
    """Whether 32-bit offsets reach every pixel of a plane (of all channels, where they are interleaved)."""
    (*_, c, h, w), (*_, channel, row, column) = x.shape, x.stride()
    return max((h - 1) * row + (w - 1) * column + (c - 1) * channel * (channel < column), h * w * c) < 1 << 31


def _order(index: Tensor | None, hit: Tensor) -> Tensor:
    """The order of writing for a plan that did not bring one; on a device this waits for it."""
    assert index is not None
    return torch.from_numpy(write_order(index.cpu().numpy(), hit.cpu().numpy())).to(hit.device)
