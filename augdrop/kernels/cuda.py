"""The CUDA backend: what a plan and a fill are as one launch of a Triton kernel, which is imported at the first."""

from __future__ import annotations

import torch
from torch import Tensor

from augdrop.kernels import ops
from augdrop.kernels.gpus import fits
from augdrop.kernels.paint import Paint
from augdrop.kernels.painter import BLEND, BLUR, NOISE, SOURCE, TABLE
from augdrop.pairing import write_order
from augdrop.regions.base import Region
from augdrop.regions.spans import CELLS


def apply(x: Tensor, out: Tensor, region: Region, hit: Tensor, how: Paint) -> bool:
    """Paint ``x [B, T, C, H, W]`` into ``out`` (which may be ``x``); False where this backend has no way to do it."""
    if not (fits(out) and (how.source is None or fits(how.source))):
        return False
    kind, params, bits = region.packed()
    if kind == CELLS and max(x.shape[3] * bits.shape[1], x.shape[4] * bits.shape[2]) >= 1 << 32:
        return False  # the kernel finds a pixel's cell in 32 bits
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


def _order(index: Tensor | None, hit: Tensor) -> Tensor:
    """The order of writing for a plan that did not bring one; on a device this waits for it."""
    assert index is not None
    return torch.from_numpy(write_order(index.cpu().numpy(), hit.cpu().numpy())).to(hit.device)
