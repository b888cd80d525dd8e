"""What every kind of region can do: areas, masks, feature maps, tokens, and how much of a box it leaves visible."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.lazy import Lazy
from augdrop.regions import spans

NO_BITS = torch.zeros(1, 1, 1, dtype=torch.uint8)


def blank(beside: Tensor) -> Tensor:
    """Bits of a kind that has none, on the device of ``beside``; nobody reads them."""
    return NO_BITS if beside.is_cpu else beside.new_empty((1, 1, 1), dtype=torch.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class Region(Lazy):
    """Where: one region for each of B samples, on a canvas of ``size = (H, W)`` pixels.

    A subclass is a frozen dataclass whose tensor fields have B as their first axis. It defines `mask` in plain torch
    and `packed` for the compiled kernels.
    """

    size: tuple[int, int]
    kind: ClassVar[int]
    shapes: ClassVar[dict[str, tuple[torch.dtype, tuple[int, ...]]]]
    """Each tensor's dtype and its shape after the first axis; -1 is any length."""

    def mask(self) -> Tensor:
        """bool ``[B, H, W]``, True where dropped."""
        raise NotImplementedError

    def packed(self) -> tuple[int, Tensor, Tensor]:
        """For `regions.spans`: ``(kind, params int64 [B, …], bits uint8 [B or 1, h, w])``, dense."""
        raise NotImplementedError

    def packing(self) -> dict[str, Tensor]:
        """What of `packed` is none of the tensors: only the host can make it, so it goes with them to a device."""
        return {}

    def holding(self, params: Tensor | None) -> Self:
        """Remember `packing` that came along; returns the region itself, which is the same region with it."""
        if params is not None:
            vars(self)["_params"] = params
        return self

    def held(self) -> Tensor | None:
        """The params that came along with a region on a device."""
        return vars(self).get("_params")

    def packed_there(self) -> tuple[int, Tensor, Tensor]:
        """`packed` on a device, for kinds with `packing`."""
        params = self.held()
        if params is None:  # the region was made there: this waits for it
            host = self.replace(**{name: t.cpu() for name, t in self.tensors().items()})
            params = host.packed()[1].to(self.device)
        return self.kind, params, blank(params)

    def check(self, batch: int) -> None:
        """Refuse tensors that are not what `shapes` says: compiled code would read past them."""
        for name, tensor in self.tensors().items():
            dtype, shape = self.shapes[name]
            wanted = (batch, *shape)
            fits = len(wanted) == tensor.ndim and all(n in (-1, m) for n, m in zip(wanted, tensor.shape, strict=True))
            if not fits or tensor.dtype != dtype:
                raise fail(
                    f"{type(self).__name__}: {name}",
                    got=f"{tuple(tensor.shape)} {tensor.dtype}",
                    expected=f"{wanted} {dtype}, -1 being any length",
                    fix="Make the region anew.",
                )

    def tensors(self) -> dict[str, Tensor]:
        """The tensor fields by name."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: value for name, value in values if isinstance(value, Tensor)}

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors().values())).device

    def area(self) -> Tensor:
        """Dropped pixels of each sample, int64 ``[B]``; overlaps count once, what lies off the canvas not at all."""
        if self.device.type != "cpu":
            return self.mask().flatten(1).sum(1)
        kind, params, bits = self.packed()
        return torch.from_numpy(spans.count(kind, params.flatten(1).numpy(), bits.numpy(), *self.size))

    def rescale(self, height: int, width: int) -> Region:
        """The same regions on another canvas: a cell is dropped when the pixel at its centre is."""
        raise NotImplementedError

    def tokens(self, patch: int | tuple[int, int], min_share: float = 0.5) -> Tensor:
        """bool ``[B, N]``, True for each token (patch, row-major) of which at least ``min_share`` is dropped."""
        counts, area = per_patch(self.mask(), patch)
        counts = counts.flatten(1)
        return (counts > 0) & (counts >= min_share * area)

    def covered(self, boxes: Tensor, index: Tensor) -> Tensor:
        """Dropped area inside boxes, float64 ``[M]``, exact for fractional edges.

        Args:
            boxes: ``[M, 4]`` as ``x0, y0, x1, y1`` in pixels, a pixel being the unit square from its index on.
            index: int64 ``[M]``, the sample that each box belongs to.
        """
        h, w = self.size
        # The integral of a piecewise constant image is its summed-area table, interpolated bilinearly.
        table = torch.zeros(len(self), h + 1, w + 1, dtype=torch.float64, device=self.device)
        table[:, 1:, 1:] = self.mask().to(torch.float64).cumsum(1).cumsum(2)
        x0, y0, x1, y1 = (boxes[:, i].double().clamp(0, (w, h)[i % 2]) for i in range(4))

        def integral(y: Tensor, x: Tensor) -> Tensor:
            j, i = y.floor().long().clamp(max=h - 1), x.floor().long().clamp(max=w - 1)
            fy, fx = y - j, x - i
            top = table[index, j, i] * (1 - fx) + table[index, j, i + 1] * fx
            bottom = table[index, j + 1, i] * (1 - fx) + table[index, j + 1, i + 1] * fx
            return top * (1 - fy) + bottom * fy

        return (integral(y1, x1) - integral(y0, x1) - integral(y1, x0) + integral(y0, x0)).clamp(min=0)

    def visible_share(self, boxes: Tensor, index: Tensor) -> Tensor:
        """Share of each box (clipped to the canvas) that is not dropped, float64 ``[M]``; 0 for an empty box."""
        h, w = self.size
        x0, y0, x1, y1 = (boxes[:, i].double().clamp(0, (w, h)[i % 2]) for i in range(4))
        area = (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)
        return torch.where(area > 0, 1 - self.covered(boxes, index) / area.clamp(min=1e-300), 0.0).clamp(0, 1)

    def contains(self, points: Tensor, index: Tensor) -> Tensor:
        """bool ``[M]``: does the pixel under each point ``(x, y)`` of ``points [M, 2]`` drop? False off the canvas."""
        return under(self.mask(), points, index)

    def take(self, index: Tensor) -> Self:
        """The regions of the samples in ``index``, in that order."""
        taken = dataclasses.replace(self, **{name: t[index] for name, t in self.tensors().items()})
        return taken.holding(None if (held := self.held()) is None else held[index])

    def replace(self, **tensors: Tensor) -> Self:
        """The same region with other tensors (moved to a device, say)."""
        return dataclasses.replace(self, **tensors)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        for f in dataclasses.fields(self):
            a, b = getattr(self, f.name), getattr(other, f.name)
            if isinstance(a, Tensor) and not (a.shape == b.shape and torch.equal(a.cpu(), b.cpu())):
                return False
            if not isinstance(a, Tensor) and a != b:
                return False
        return True

    __hash__ = None  # type: ignore[assignment]


def per_patch(mask: Tensor, patch: int | tuple[int, int]) -> tuple[Tensor, int]:
    """How many pixels of ``mask [B, H, W]`` are in each patch, int64 ``[B, gh, gw]``, and how many a patch has."""
    ph, pw = patch if isinstance(patch, (tuple, list)) else (patch, patch)
    n, h, w = mask.shape
    if ph < 1 or pw < 1 or h % ph or w % pw:
        raise fail(
            "tokens: patch", got=patch, expected=f"a patch that divides the canvas {h}×{w}", fix="Resize the images."
        )
    return mask.reshape(n, h // ph, ph, w // pw, pw).sum((2, 4)), ph * pw


def under(mask: Tensor, points: Tensor, index: Tensor) -> Tensor:
    """`Region.contains`, of a ``mask [B, H, W]``."""
    h, w = mask.shape[1:]
    x, y = points[:, 0].floor().long(), points[:, 1].floor().long()
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return inside & mask[index, y.clamp(0, h - 1), x.clamp(0, w - 1)]


def centres(old: int, new: int, device: torch.device | str = "cpu") -> Tensor:
    """For each of ``new`` equal cells, the index among ``old`` pixels of the one that holds its centre."""
    return (2 * torch.arange(new, device=device) + 1) * old // (2 * new)
