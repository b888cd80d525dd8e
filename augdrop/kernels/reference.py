"""The reference backend: plain torch on any device, the definition that the compiled kernels are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from augdrop.kernels import noise
from augdrop.kernels.blend import weights
from augdrop.kernels.blur import smooth
from augdrop.kernels.paint import Paint
from augdrop.regions.base import Region
from augdrop.regions.boxes import Boxes


def apply(x: Tensor, out: Tensor, region: Region, hit: Tensor, paint: Paint) -> None:
    """Paint ``x [B, T, C, H, W]`` into ``out``, which may be ``x``."""
    source = x.clone() if paint.source is x and out is x else paint.source
    hit, paint = hit.to(x.device), paint.drawn(x, noise.words)
    if out is not x:
        out.copy_(x)
    table = None if paint.table is None else paint.table.to(x.device)
    if table is not None and table.shape[1] > 1 and isinstance(region, Boxes):
        # Each box has a colour of its own, and later boxes lie on earlier ones.
        for i in range(region.boxes.shape[1]):
            box = Boxes(region.size, region.boxes[:, i : i + 1])
            _write(out, box, hit, table[:, min(i, table.shape[1] - 1), None, :, None, None])
        return
    if table is not None:
        value = table[:, 0, None, :, None, None]
    elif paint.noise is not None and paint.keys is not None:
        drawn = noise.words(paint.keys.to(x.device), x[0].numel(), paint.noise.narrow)
        value = noise.values(paint.noise, drawn, x.dtype).view(x.shape)
    elif paint.cells is not None:
        value = smooth(paint.cells, paint.factor, x.shape[3], x.shape[4], x.dtype)
    else:
        assert source is not None and paint.index is not None
        value = source[paint.index.to(x.device)]
        if paint.opacity is not None:
            own, other = (v.to(x.device)[:, None, None, None, None] for v in weights(paint.opacity, x.dtype))
            mixed = x.to(own.dtype) * own + value.to(own.dtype) * other
            value = (mixed if x.dtype.is_floating_point else mixed.round()).to(x.dtype)
    _write(out, region, hit, value)


def _write(out: Tensor, region: Region, hit: Tensor, value: Tensor) -> None:
    mask = (region.mask().to(out.device) & hit[:, None, None])[:, None, None]
    out.copy_(torch.where(mask, value, out))
