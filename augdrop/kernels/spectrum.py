"""A spectral residual on the CPU: what `augdrop.saliency` does by torch, image after image in compiled passes.

An image alone takes some twenty operations of torch, each of which costs more to call than to carry out; and a batch of
them would not do, for a drop must not know its batch.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import torch
from numba import njit
from torch import Tensor


def residual_energy(images: Tensor, size: int, weights: np.ndarray) -> Tensor:
    """The blurred energy of the spectral residual, float32 ``[B, size, size]``.

    Args:
        images: ``[B, ..., H, W]`` on the CPU, of any real dtype; all planes of a sample count the same.
        size: side of the small grey image.
        weights: of the blur, an odd number of them, as float32.
    """
    if images.dtype not in (torch.uint8, torch.float32):
        images = images.to(torch.float32)
    planes = images.detach().flatten(1, -3).contiguous().numpy()
    small = np.empty((len(planes), size, size), np.float32)
    _shrink(planes, small)
    # Of a real image, half of the spectrum says it all.
    spectrum = scipy.fft.rfft2(small)
    _whiten(spectrum, size)
    energy = scipy.fft.irfft2(spectrum, s=(size, size))
    blurred = np.empty_like(small)
    _blur(energy, weights, blurred)
    return torch.from_numpy(blurred)


@njit(cache=True, nogil=True)
def _shrink(planes, small):
    """Mean over planes, and over the windows of `torch.nn.functional.adaptive_avg_pool2d`."""
    batch, count, height, width = planes.shape
    size = small.shape[1]
    line = np.empty(width, np.float32)
    for b in range(batch):
        for i in range(size):
            top, bottom = i * height // size, -(-(i + 1) * height // size)
            line[:] = 0
            for p in range(count):
                for y in range(top, bottom):
                    row = planes[b, p, y]
                    for x in range(width):
                        line[x] += np.float32(row[x])
            for j in range(size):
                left, right = j * width // size, -(-(j + 1) * width // size)
                total = np.float32(0)
                for x in range(left, right):
                    total += line[x]
                small[b, i, j] = total / np.float32(count * (bottom - top) * (right - left))


@njit(cache=True, nogil=True)
def _whiten(spectrum, size):
    """Divide each frequency by the local mean of amplitudes around it, a geometric one of 3×3; in place."""
    batch, _, columns = spectrum.shape
    level = np.empty((size, columns + 2), np.float32)
    for b in range(batch):
        for u in range(size):
            for v in range(columns):
                value = spectrum[b, u, v]
                level[u, v + 1] = math.log(math.sqrt(value.real * value.real + value.imag * value.imag) + 1e-8)
        # The spectrum is periodic, and so is its local mean: beyond its half it goes on mirrored.
        beyond = size - columns
        for u in range(size):
            level[u, 0] = level[-u % size, 1 + 1 % columns]
            level[u, columns + 1] = level[-u % size, 1 + beyond]
        for u in range(size):
            above, own, below = level[u - 1], level[u], level[(u + 1) % size]
            for v in range(columns):
                total = np.float32(0)
                for w in range(v, v + 3):
                    total += above[w] + own[w] + below[w]
                spectrum[b, u, v] *= math.exp(-total / np.float32(9))


@njit(cache=True, nogil=True)
def _blur(energy, weights, out):
    """The squares of ``energy [B, n, n]``, blurred along both axes; beyond its edges it is mirrored."""
    batch, n, _ = energy.shape
    radius = len(weights) // 2
    padded = np.empty((n, n + 2 * radius), np.float32)
    for b in range(batch):
        for y in range(n):
            line = padded[y, radius : radius + n]
            line[:] = 0
            for k in range(-radius, radius + 1):
                source = energy[b, _mirrored(y + k, n)]
                weight = weights[k + radius]
                for x in range(n):
                    line[x] += weight * source[x] * source[x]
            for x in range(radius):
                padded[y, x] = line[_mirrored(x - radius, n)]
                padded[y, radius + n + x] = line[_mirrored(n + x, n)]
        for y in range(n):
            line = out[b, y]
            line[:] = 0
            for k in range(len(weights)):
                weight = weights[k]
                source = padded[y, k:]
                for x in range(n):
                    line[x] += weight * source[x]


@njit(cache=True, nogil=True, inline="always")
def _mirrored(i, n):
    if i < 0:
        return -i
    return i if i < n else 2 * (n - 1) - i
