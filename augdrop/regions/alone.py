"""One image alone: inside one compiled call its region is drawn and handed to whoever paints it.

An image is painted in a few microseconds; arrays that Python makes of one sample's numbers would take longer. A sampler
may have, beside ``sample``, ``numbers(size)``, a tuple of the scalars that its compiled law takes, and ``alone``, a
compiled function of ``(images, draw, painter, numbers)``:

* ``images``: the addresses of an image and of its result;
* ``draw``: stream (signed, as plain integers are), key, epoch, and the chance to be hit;
* ``painter``: the address of a C function of integers, and two that go to it first; see `augdrop.transforms.single`.

It returns whether the image was hit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numba import njit

from augdrop.memory import address, data, invoke
from augdrop.rng import block, uniform_pair

_MOST = 256
"""Sizes of which a sampler remembers its numbers."""


def once_a_size(numbers: Callable[[Any, tuple[int, int]], tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """A sampler's ``numbers`` that are worked out once for each canvas."""

    @wraps(numbers)
    def look_up(self: Any, size: tuple[int, int]) -> tuple[Any, ...]:
        try:
            return self.__dict__["_numbers"][size]
        except KeyError:
            known = self.__dict__.setdefault("_numbers", {})
            if len(known) >= _MOST:
                known.clear()
            known[size] = found = numbers(self, size)
            return found

    return look_up


@njit(cache=True, nogil=True)
def is_hit(draw):
    """Whether a sample is hit: `augdrop.rng.header`'s first number against its chance."""
    stream, key, epoch, chance = draw
    return uniform_pair(np.uint64(stream), key, epoch, 0)[0] < chance


@njit(cache=True, nogil=True)
def batch_of_one(draw):
    """Stream, keys and epochs of a draw, as a sampler's law takes them."""
    stream, key, epoch, _ = draw
    return np.uint64(stream), np.array([key]), np.array([epoch])


@njit(cache=True, nogil=True)
def hand_over(images, draw, painter, params, bits):
    """Have a packed region painted: ``params`` int64, ``bits`` uint8 ``[1, h, w]``, as `Region.packed` has them."""
    stream, key, epoch, _ = draw
    w0, w1, _, _ = block(np.uint64(stream), key, epoch, 1)
    noise = np.array([w0 | (w1 << np.uint64(32))])
    where = (address(data(params)), params.size, address(data(bits)), bits.shape[1], bits.shape[2])
    invoke(painter[0], (painter[1], painter[2], images[0], images[1], address(data(noise)), *where))
    return params.size + bits.size + noise.size  # what the painter read lives until here


@njit(cache=True, nogil=True)
def no_bits():
    """The bits of a region that has none."""
    return np.zeros((1, 1, 1), np.uint8)
