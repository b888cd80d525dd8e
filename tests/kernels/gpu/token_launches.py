"""The token kernels' launches: one call for each variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from augdrop.kernels import token_ops

_MOVED = {"1 byte": torch.uint8, "2 bytes": torch.bfloat16, "4 bytes": torch.float32, "8 bytes": torch.int64}
_COMPUTED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Case(NamedTuple):
    """A call, and what of it is done by vectors: see `tests.kernels.gpu.compile_ahead.wide`."""

    name: str
    run: Callable[[], Any]
    wide: str


def cases() -> Iterator[Case]:
    """All of them."""
    keep = torch.zeros(2, 50, dtype=torch.int64)
    for name, dtype in _MOVED.items():
        yield from _moves(name, torch.zeros(2, 197, 768, dtype=dtype), keep, True)
    x = torch.zeros(2, 197, 768)
    yield from _moves("narrow rows", x[..., :21], keep, False)
    yield from _moves("planes", torch.zeros(2, 768, 197).mT, keep, False)
    yield from _moves("in an order", x, keep, True, order=keep)
    for dtype in _COMPUTED:
        yield from _merges(str(dtype), torch.zeros(2, 197, 768, dtype=dtype), None, True)
    yield from _merges("sizes", x, torch.ones(2, 197), True)
    yield from _merges("narrow rows", x[..., :21], None, False)
    yield from _merges("planes", torch.zeros(2, 768, 197).mT, None, False)


def _moves(
    name: str, x: torch.Tensor, keep: torch.Tensor, aligned: bool, order: torch.Tensor | None = None
) -> Iterator[Case]:
    y, fill, d, wide = x[:, :51], x[:, 1:], x.shape[2], "stores" if aligned else ""
    fill = fill if x.stride(2) > 1 or d % 16 else torch.zeros(2, 196, d, dtype=x.dtype)
    yield Case(f"gather, {name}", lambda: token_ops.gather(x, keep, order, 1), wide)
    yield Case(f"scatter a number, {name}", lambda: token_ops.scatter(y, keep, order, 1, 196, 1), wide)
    yield Case(f"scatter into tokens, {name}", lambda: token_ops.scatter(y, keep, order, 1, 196, fill), wide)


def _merges(name: str, x: torch.Tensor, sizes: torch.Tensor | None, aligned: bool) -> Iterator[Case]:
    source, total = torch.zeros(2, 197, dtype=torch.int64), torch.ones(2, 184)
    # Beside the means it stores sizes.
    yield Case(f"merge, {name}", lambda: token_ops.merge(x, source, 184, sizes), "some stores" if aligned else "")
    spread = torch.ops.augdrop.token_spread
    yield Case(
        f"merge's gradient, {name}", lambda: spread(x[:, :184], source, sizes, total), "stores" if aligned else ""
    )
