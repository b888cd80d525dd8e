"""Images in every dtype and layout, and plans around every region and fill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from augdrop import Plan, fills, rng
from augdrop.fills import Fill
from benchmarks.gpu.cases import FILLS as FILLS
from benchmarks.gpu.cases import WHERES as WHERES

SIZE = (37, 53)

LAYOUTS = ["contiguous", "channels_last", "crop", "video", "transposed", "planes first"]


def plan_for(
    where: object,
    fill: Fill,
    batch: int = 6,
    size: tuple[int, int] = SIZE,
    p: float = 0.8,
    partner: Tensor | None = None,
    opacity: Tensor | None = None,
) -> Plan:
    """A plan of a drawn region; a partner fill pairs each with the one before unless told otherwise."""
    draws = rng.Draws(rng.stream_key(3, "Kernels"), np.arange(batch), np.zeros(batch, np.int64))
    noise = draws.words(1, first=1)[:, 0].view(np.int64)
    if isinstance(fill, fills.Partner) and partner is None:
        partner = torch.arange(batch).roll(1)
    hit = torch.from_numpy(draws.uniforms(1, first=0)[:, 0] < p)
    ids = torch.arange(batch)
    region = where.sample(draws, size)
    return Plan("Test", region, fill, hit, ids, torch.zeros_like(ids), torch.from_numpy(noise), partner, opacity)


def opacities(batch: int) -> Tensor:
    """Weights of a blend, both ends included."""
    return torch.linspace(0, 1, batch, dtype=torch.float64)


def images(layout: str, dtype: torch.dtype, batch: int = 6, size: tuple[int, int] = SIZE) -> Tensor:
    """Random images; the integers take both signs where they can."""
    h, w = size

    def make(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 50
        return (
            (values > 0)
            if dtype == torch.bool
            else values.abs().to(dtype)
            if dtype == torch.uint8
            else values.to(dtype)
        )

    if layout == "channels_last":
        return make(batch, 3, h, w).contiguous(memory_format=torch.channels_last)
    if layout == "crop":
        return make(batch, 3, h + 13, w + 7)[:, :, 3 : h + 3, 5 : w + 5]
    if layout == "video":
        return make(batch, 2, 3, h, w)
    if layout == "transposed":
        return make(batch, 3, w, h).transpose(2, 3)
    if layout == "planes first":
        return make(3, batch, h, w).transpose(0, 1)
    return make(batch, 3, h, w)


def twin(x: Tensor) -> Tensor:
    """A copy with the very strides of ``x``, also if its rows do not touch."""
    reach = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
    copy = torch.zeros(reach, dtype=x.dtype).as_strided(x.shape, x.stride())
    return copy.copy_(x)


def alike(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit."""
    return a.shape == b.shape and a.dtype == b.dtype and _bytes(a) == _bytes(b)


def _bytes(x: Tensor) -> bytes:
    return x.detach().contiguous().view(torch.uint8).numpy().tobytes()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """A block in which torch uses ``n`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
