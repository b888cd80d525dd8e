"""A job: everything a compiled kernel is told about one batch, as one record of numbers that threads share."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import numba
import numpy as np

_WHOLE = (
    *("next", "sources", "units", "samples", "group", "slabs", "copy", "select", "stream"),
    *("x", "x_sample", "x_frame", "x_channel", "x_row"),
    *("out", "out_sample", "out_frame", "out_channel", "out_row"),
    *("source", "source_sample", "source_frame", "source_channel", "source_row"),
    *("frames", "channels", "height", "width", "interleaved"),
    *("kind", "params", "n_params", "bits", "bit_rows", "bit_columns", "bit_samples"),
    *("hit", "order", "index", "saved"),
    *("fill", "table", "table_samples", "table_boxes", "table_channels"),
    *("keys", "form", "normal", "narrow", "low", "high", "quantiles"),
    "opacity",
    *("cells", "factor", "cell_rows", "cell_columns", "y_weights", "x_weights"),
)


class Job(ctypes.Structure):
    """One batch's work, made by `augdrop.kernels.cpu`; memory is named by address, 0 for none.

    * ``next`` of ``units``: the next piece of work that nobody has taken. A piece is a ``group`` of samples or, with
      more than one of the ``slabs``, some of their rows.
    * ``sources``: written by the kernel, the `SOURCES` that it was compiled from.
    * ``x``, ``out``, ``source``: images and their strides, in elements. ``copy``: ``out`` does not hold ``x`` yet;
      ``select``: copy and paint in one go, see `augdrop.kernels.select`; ``stream``: the result is not read soon, and
      goes past the caches.
    * ``frames`` … ``interleaved``: the shape; with interleaved channels ``channels`` is 1.
    * ``kind`` … ``bit_samples``: the packed region, see `augdrop.regions.spans`.
    * ``hit``: bool ``[B]``; ``order``: int64 ``[B, 3]``, see `augdrop.kernels.order`; ``index``: int64 ``[B]``, whom to
      copy from; ``saved``: room for one sample put aside.
    * ``fill``: which of `augdrop.kernels.painter`'s fills. ``table``: its colours. ``keys`` … ``second``: its noise.
    * ``opacity``: float64 ``[B]``, of a blend. ``cells`` … ``x_weights``: a blur.
    """

    _fields_ = [*((name, ctypes.c_int64) for name in _WHOLE), ("first", ctypes.c_double), ("second", ctypes.c_double)]


def _sources() -> int:
    """A checksum of all that kernels are compiled from."""
    package = Path(__file__).parents[1]
    files = sorted(package.glob("kernels/*.py")) + [package / f"{n}.py" for n in ("memory", "rng", "regions/spans")]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


SOURCES = _sources()
"""Makes a kernel compiled from other sources another kernel: numba itself looks only at the file with its entry."""

RECORD = numba.from_dtype(np.dtype(Job))
"""`Job` as numba knows it."""


class Kernel(Protocol):
    """A compiled function of a job's address, as numba makes it."""

    address: int
    ctypes: Callable[[int], None]


def entry(body: Callable[[Any], None]) -> Kernel:
    """Compile what a thread calls with a job's address."""
    return cast(Kernel, numba.cfunc(numba.void(numba.types.CPointer(RECORD)), cache=True)(body))
