"""Mask: any set of pixels, the region of PixelDropout and the fallback for shapes without a kind of their own.

A pixel is a bit: a plan that goes to a GPU is then an eighth of what bytes would be.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from augdrop.errors import fail
from augdrop.memory import ahead, data
from augdrop.regions import spans
from augdrop.regions.alone import batch_of_one, hand_over, is_hit, once_a_size
from augdrop.regions.base import Region, centres
from augdrop.regions.gaps import ROOM, blocks_for, gaps, skip_scale
from augdrop.rng import FIRST, UINT8, Draws, words_run


@dataclasses.dataclass(frozen=True, eq=False)
class Mask(Region):
    """``bits``: uint8 ``[B, room(H, W)]``, a bit a pixel, row by row, the lowest of a byte first; 1 where dropped.

    Example:
        >>> import torch
        >>> Mask.of(torch.ones(1, 2, 5, dtype=torch.bool)).bits.tolist()
        [[255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    """

    bits: Tensor
    kind: ClassVar[int] = spans.MASK
    shapes: ClassVar = {"bits": (torch.uint8, (-1,))}

    def __post_init__(self) -> None:
        if self.bits.shape[1:] != (room(*self.size),):
            raise fail(
                "Mask: bits",
                got=tuple(self.bits.shape),
                expected=f"[B, {room(*self.size)}] for a canvas of {self.size[0]}×{self.size[1]}",
                fix="Make it of pixels: Mask.of(pixels).",
            )

    @classmethod
    def of(cls, pixels: Tensor) -> Mask:
        """The region of ``pixels``, bool ``[B, H, W]``, True where dropped."""
        n, *size = pixels.shape
        flat = pixels.new_zeros((n, 8 * room(*size)))
        flat[:, : size[0] * size[1]] = pixels.flatten(1)
        if pixels.is_cpu and not isinstance(pixels, FakeTensor):
            bits = torch.from_numpy(np.packbits(flat.numpy(), 1, "little"))
        else:
            bits = (flat.view(torch.uint8).unflatten(1, (-1, 8)) << _places(pixels)).sum(2, dtype=torch.uint8)
        return cls((size[0], size[1]), bits)

    def mask(self) -> Tensor:
        bits, (h, w) = self.bits, self.size
        if bits.is_cpu and not isinstance(bits, FakeTensor):
            flat = torch.from_numpy(np.unpackbits(bits.numpy(), 1, h * w, "little"))
        else:
            flat = (bits[:, :, None] >> _places(bits) & 1).flatten(1)[:, : h * w]
        return flat.view(-1, h, w) != 0

    def packed(self) -> tuple[int, Tensor, Tensor]:
        params = self.bits.new_empty((len(self.bits), 1), dtype=torch.int64)  # nobody reads them
        return self.kind, params, self.bits.contiguous()[:, None]

    def rescale(self, height: int, width: int) -> Mask:
        return resample(self, height, width)


def _places(beside: Tensor) -> Tensor:
    """The places of a byte's bits, as bytes: wider numbers would take eight times an image's memory on a device."""
    return torch.arange(8, dtype=torch.uint8, device=beside.device)


def room(height: int, width: int) -> int:
    """Bytes of a sample: the bits of its pixels, and some more, so that eight bytes can be read from any pixel on."""
    return (height * width // 64 + 2) * 8


def resample(region: Region, height: int, width: int) -> Mask:
    """Regions of any kind on another canvas, where most kinds keep no shape of their own; see `Region.rescale`."""
    rows, columns = (centres(n, m, region.device) for n, m in zip(region.size, (height, width), strict=True))
    return Mask.of(region.mask()[:, rows][:, :, columns])


_RUN = 256
"""Blocks of words at once: 4 KiB, which stay in the fastest cache."""


@njit(cache=True, nogil=True)
def bernoulli_map(stream, keys, epochs, probability, height, width):
    """uint8 ``[B, height, width]``, 1 with the sample's probability.

    Below 1/16 the draws are the gaps from one 1 to the next, two a block; else a 32-bit word a cell, four a block.
    """
    out = np.empty((len(keys), height * width), np.uint8)
    _bernoulli(stream, keys, epochs, probability, height * width, out, False)
    return out.reshape(len(keys), height, width)


@njit(cache=True, nogil=True)
def _bernoulli(stream, keys, epochs, probability, n, out, as_bits):
    """`bernoulli_map` of ``n`` cells a sample, a byte each or a bit."""
    out[:] = 0
    room, words = np.empty(ROOM), np.empty(4 * _RUN, np.uint32)
    for b in range(len(keys)):
        chance = probability[b if len(probability) > 1 else 0]
        cells = ahead(data(out), b * out.shape[1])
        if chance < 0.0625:
            _sparse(stream, keys[b], epochs[b], chance, n, cells, as_bits, data(room))
        else:
            _dense(stream, keys[b], epochs[b], chance, n, cells, as_bits, data(words))


@njit(cache=True, nogil=True)
def _dense(stream, key, epoch, probability, n, cells, as_bits, words):
    threshold = np.uint64(min(probability, 1.0) * 4294967296.0)
    for start in range(0, n, 4 * _RUN):
        count = min(n - start, 4 * _RUN)
        words_run(stream, key, epoch, FIRST + 1 + start // 4, (count + 3) // 4, words)
        if not as_bits:
            for i in range(count):
                cells[start + i] = np.uint64(words[i]) < threshold
            continue
        for i in range((count + 7) // 8):
            octet = np.uint8(0)
            for j in range(8):
                octet |= np.uint8(np.uint64(words[8 * i + j]) < threshold) << np.uint8(j)
            cells[start // 8 + i] = octet
        if count % 8:  # what fills the last byte is no pixel, whatever the chance
            cells[start // 8 + count // 8] &= np.uint8((1 << (count % 8)) - 1)


@njit(cache=True, nogil=True)
def _sparse(stream, key, epoch, probability, n, cells, as_bits, room):
    if probability <= 0.0:
        return
    scale, blocks = skip_scale(probability), blocks_for(n * probability)
    draw, place = FIRST + 1, np.int64(-1)
    while place < n:
        skipped = gaps(stream, key, epoch, draw, blocks, scale, n, room)
        for i in range(2 * blocks):
            place += 1 + skipped[i]
            if place >= n:
                break
            if as_bits:
                cells[place >> 3] |= np.uint8(1 << (place & 7))
            else:
                cells[place] = 1
        draw += blocks


@njit(cache=True, nogil=True)
def _pixels_alone(images, draw, painter, numbers):
    if not is_hit(draw):
        return False
    stream, key, epoch = batch_of_one(draw)
    pixels, bytes_, drop_ratio = numbers
    bits = np.empty((1, bytes_), np.uint8)
    _bernoulli(stream, key, epoch, np.array([drop_ratio]), pixels, bits, True)
    hand_over(images, draw, painter, np.zeros((1, 1), np.int64), bits.reshape(1, 1, bytes_))
    return True


@dataclasses.dataclass(frozen=True)
class RandomPixels:
    """Each pixel drops by itself with probability ``drop_ratio``."""

    drop_ratio: float = 0.01
    alone: ClassVar = staticmethod(_pixels_alone)

    @once_a_size
    def numbers(self, size: tuple[int, int]) -> tuple[float, ...]:
        return size[0] * size[1], room(*size), float(self.drop_ratio)

    def sample(self, draws: Draws, size: tuple[int, int]) -> Mask:
        stream, keys, epochs = draws
        pixels, bytes_, drop_ratio = self.numbers(size)
        bits = np.empty((len(keys), bytes_), UINT8)
        _bernoulli(stream, keys, epochs, _chance(drop_ratio), pixels, bits, True)
        return Mask.drawn({"bits": bits}, size=size)


@lru_cache(64)
def _chance(p: float) -> np.ndarray:
    return np.array([p])
