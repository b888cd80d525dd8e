"""DropBlock on feature maps: modules for sequences, images and volumes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from augdrop.checks import check_choice, check_share, check_whole, plain, seed_of
from augdrop.errors import fail
from augdrop.kernels import block_ops
from augdrop.kernels.allocate import sent
from augdrop.keys import Ids, resolve
from augdrop.regions.blocks import block_gamma, grow
from augdrop.regions.mask import bernoulli_map
from augdrop.rng import stream_key


class _DropBlock(nn.Module):
    """The three modules, which differ in their number of axes."""

    ndim: ClassVar[int]

    def __init__(
        self,
        p: float = 0.1,
        block_size: int = 7,
        per_channel: bool = True,
        scale_by: str = "batch",
        gamma_scale: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_share(f"{name}: p", p)
        check_whole(f"{name}: block_size", block_size, 1)
        check_choice(f"{name}: scale_by", scale_by, ("batch", "sample", "none"))
        self.p, self.block_size, self.per_channel, self.scale_by = plain(p), plain(block_size), per_channel, scale_by
        self.gamma_scale = plain(gamma_scale)
        self.seed = seed_of(f"{name}: seed", seed)
        self._stream = int(stream_key(self.seed, name))

    def forward(self, x: Tensor, keys: Ids | None = None, epoch: int | None = None) -> Tensor:
        """``x [B, C, *spatial]`` of any float dtype; ``keys`` int64 ``[B]`` as for the image transforms."""
        if x.ndim != self.ndim + 2 or not x.is_floating_point():
            raise fail(
                type(self).__name__,
                got=f"{tuple(x.shape)} {x.dtype}",
                expected=f"floats [B, C, {', '.join('DHW'[-self.ndim :])}]",
                fix="Pass a batch of feature maps.",
            )
        if not self.training or self.p == 0 or not x.numel():
            return x
        size = tuple(x.shape[2:])
        block = tuple(min(self.block_size, n) for n in size)
        gamma = min(1.0, block_gamma(self.p, block, size) * self.gamma_scale)
        channels = x.shape[1] if self.per_channel else 1
        ids = None if keys is None else torch.as_tensor(keys)
        keep, count = torch.ops.augdrop.block_keep(x, ids, epoch, f"{self._stream}", gamma, channels, size, block)
        scale = self._scale(keep, count)
        if block_ops.takes(x):
            return block_ops.scale_kept(x, keep, scale)
        return x * (keep * scale.view(-1, *[1] * (x.ndim - 1))).to(x.dtype)

    def _scale(self, keep: Tensor, count: Tensor) -> Tensor:
        """What is left is scaled up by this: float32 ``[1]`` or ``[B]``."""
        if self.scale_by == "none":
            return torch.ones(1, device=keep.device)
        # Counted in float32: a half cannot count a map's cells.
        total, count = keep[0].numel(), count.to(torch.float32)
        if self.scale_by == "batch":
            return (total * len(keep) / count.sum().clamp(min=1))[None]
        return total / count.clamp(min=1)

    def extra_repr(self) -> str:
        return f"p={self.p}, block_size={self.block_size}, per_channel={self.per_channel}, scale_by={self.scale_by!r}"


class DropBlock1d(_DropBlock):
    """DropBlock on sequences ``[B, C, W]``; see `DropBlock2d`."""

    ndim = 1


class DropBlock2d(_DropBlock):
    """Drop contiguous blocks of a feature map ``[B, C, H, W]`` in training, and scale up what is left.

    Seeds are drawn where a whole block fits (the paper's valid-seed rule), with a probability that makes the expected
    area of all blocks, before overlaps, ``p`` of the map. A block as large as the map drops the whole map or nothing.

    Args:
        p: share to drop, in [0, 1] (``1 - keep_prob``); may be set between steps, by a schedule.
        block_size: side of a block in cells, odd or even; clipped to the map.
        per_channel: each channel has blocks of its own (the paper's better variant); else all channels share them.
        scale_by: keep the mean over the ``"batch"`` (paper, torchvision), over each ``"sample"``, or ``"none"``.
        gamma_scale: factor on the seed probability (timm uses 0.25 in a ResNet's stage 3).
        seed: any integer; None takes one from torch's generator.

    Source:
        Ghiasi, Lin & Le (2018), "DropBlock", NeurIPS, arXiv 1810.12890.

    Example:
        >>> drop = DropBlock2d(p=0.1, block_size=3, seed=0)
        >>> x = torch.ones(8, 16, 14, 14)
        >>> y = drop(x)
        >>> round(y.mean().item(), 4), bool((drop.eval()(x) == x).all())
        (1.0, True)
    """

    ndim = 2


class DropBlock3d(_DropBlock):
    """DropBlock on volumes ``[B, C, D, H, W]``; see `DropBlock2d`."""

    ndim = 3


@torch.library.custom_op("augdrop::block_keep", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _block_keep(
    x: Tensor,
    keys: Tensor | None,
    epoch: int | None,
    stream: str,
    gamma: float,
    channels: int,
    size: list[int],
    block: list[int],
) -> tuple[Tensor, Tensor]:
    """What is kept of ``x``, bool ``[B, channels, *size]``, and how many cells of each sample, int64 ``[B]``."""
    ids, epochs = resolve(keys, epoch, len(x), 0)
    if x.is_cpu:
        return block_ops.kept(int(stream), ids, epochs, gamma, channels, size, block)
    valid = [n - b + 1 for n, b in zip(size, block, strict=True)]
    rows = channels * int(np.prod(valid[:-1]))
    drawn = bernoulli_map(np.uint64(int(stream)), ids, epochs, np.full(len(ids), gamma), rows, valid[-1])
    seeds = sent(torch.from_numpy(drawn).view(torch.bool).view(len(x), channels, *valid), x.device)
    keep = ~grow(seeds, tuple(block))
    return keep, keep.flatten(1).sum(1)


@_block_keep.register_fake
def _(x: Tensor, keys: Any, epoch: Any, stream: str, gamma: float, channels: int, size: list[int], block: Any) -> Any:
    keep = x.new_empty((x.shape[0], channels, *size), dtype=torch.bool)
    return keep, x.new_empty(x.shape[0], dtype=torch.int64)
