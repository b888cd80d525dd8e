"""The CPU backend: one compiled pass that copies a batch and paints its regions, moving bytes by item size.

A kernel takes flat integer views (see `augdrop.kernels.layout`), so that one compilation serves every dtype of an item
size. It works on a range of samples and a range of rows, which is how threads share a batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.kernels import noise, threads
from augdrop.kernels.blend import BLENDED, blend_rows, weights
from augdrop.kernels.layout import flat, layout
from augdrop.kernels.memory import copy_run, fill_run
from augdrop.kernels.noise import noise_run
from augdrop.kernels.paint import Paint
from augdrop.regions.base import Region
from augdrop.regions.spans import BOXES, row_range, row_spans

TABLE, NOISE, SOURCE = 0, 1, 2
_BAND = 1 << 15
"""Elements copied before they are painted: small enough to be still in the cache then."""

_NO_TABLE = {size: np.zeros((1, 1, 1), f"{'u' if size == 1 else 'i'}{size}") for size in (1, 2, 4, 8)}
_NO_KEYS = np.zeros(1, np.uint64)
_NO_LAW = (0, False, 0.0, 0.0, 0, 0)
_NO_QUANTILES = np.zeros(1, np.float32)
_PLAIN = (1, 1, 1, 1)


def apply(x: Tensor, out: Tensor, region: Region, hit: Tensor, paint: Paint) -> bool:
    """Paint ``x [B, T, C, H, W]`` into ``out`` (which may be ``x``); False where a layout is not one for this backend."""
    source = x if paint.source is None else paint.source
    kind, params, bits = region.packed()
    xl, ol, sl = layout(x), layout(out), layout(source)
    if xl is None or ol is None or sl is None or not xl.interleaved == ol.interleaved == sl.interleaved:
        return False
    inplace = out.data_ptr() == x.data_ptr()
    if paint.opacity is not None:
        if x.dtype not in BLENDED:
            return False
        if inplace and kind == BOXES and params.shape[1] > 4:
            return False  # a pixel under two boxes would be mixed twice
    b, t, c, h, w = x.shape
    k = xl.interleaved
    dims = (t, 1 if k > 1 else c, h, w, k)
    size = x.element_size()
    code, table, keys, law, quantiles = TABLE, _NO_TABLE[size], _NO_KEYS, _NO_LAW, _NO_QUANTILES
    index = hit_rows = hit.numpy()
    if paint.table is not None:
        table = flat(paint.table).reshape(paint.table.shape)
    elif paint.noise is not None and paint.keys is not None:
        code, keys, law = NOISE, paint.keys.numpy().view(np.uint64), tuple(paint.noise)
        quantiles = noise.quantiles() if paint.noise.normal else _NO_QUANTILES
    elif paint.index is not None:
        code, index = SOURCE, paint.index.numpy()
    chained = inplace and code == SOURCE and source is x
    order = write_order(index, hit_rows) if chained else in_order(b)
    xf, of = flat(x), flat(out)
    sf = xf if source is x else flat(source)
    saved = np.empty(t * c * h * w if chained and order[:, 1].any() else 0, xf.dtype)
    if paint.opacity is not None:
        scalar, whole = BLENDED[x.dtype], not x.dtype.is_floating_point
        own, other = (v.numpy() for v in weights(paint.opacity, x.dtype))
        xf, of, sf, saved = (a.view(scalar) for a in (xf, of, sf, saved))

    def work(first: int, last: int, top: int, bottom: int) -> None:
        span = (first, last, top, bottom)
        where = (kind, params, bits)
        lay = (dims, xl.strides, ol.strides, sl.strides)
        if paint.opacity is not None:
            blend_rows(xf, of, sf, saved, *lay, not inplace, *where, hit_rows, order, index, own, other, whole, *span)
        else:
            paint_rows(
                xf, of, sf, saved, *lay, not inplace, *where, hit_rows, order,
                code, table, index if code == SOURCE else _NO_INDEX, keys, law, quantiles, *span,
            )  # fmt: skip

    threads.share(work, b, h, x.numel() * size, by_rows=chained)
    return True


_NO_INDEX = np.zeros(1, np.int64)
_ORDERS: dict[int, np.ndarray] = {}


def in_order(n: int) -> np.ndarray:
    """Samples one after the other, nothing saved."""
    order = _ORDERS.get(n)
    if order is None:
        if len(_ORDERS) > 64:
            _ORDERS.clear()
        order = _ORDERS[n] = np.zeros((n, 3), np.int64)
        order[:, 0] = np.arange(n)
    return order


@njit(cache=True, nogil=True)
def write_order(partner, hit):
    """In which order samples can be painted in place from each other: rows ``(sample, save it first, read the saved one)``.

    A sample is written only after all that read it. What is left are rings, and there one sample is put aside: a ring of
    any length costs one buffer of one sample, not a copy of the batch.
    """
    n = len(partner)
    readers = np.zeros(n, np.int64)
    for i in range(n):
        if hit[i] and partner[i] != i:
            readers[partner[i]] += 1
    order = np.zeros((n, 3), np.int64)
    done = np.zeros(n, np.bool_)
    free = np.empty(n, np.int64)
    waiting, count = 0, 0
    for i in range(n):
        if readers[i] == 0:
            free[waiting] = i
            waiting += 1
    ring = 0
    while count < n:
        if waiting:
            waiting -= 1
            i = free[waiting]
            order[count, 0] = i
            count += 1
            done[i] = True
            if hit[i] and partner[i] != i:
                readers[partner[i]] -= 1
                if readers[partner[i]] == 0:
                    free[waiting] = partner[i]
                    waiting += 1
            continue
        while done[ring]:
            ring += 1
        i = ring
        order[count, 1] = 1
        while not done[i]:
            order[count, 0] = i
            done[i] = True
            i = partner[i]
            order[count, 2] = i == ring
            count += 1
    return order


@njit(cache=True, nogil=True)
def copy_rows(x, out, dims, xs, os, b, to, top, bottom):
    """Copy rows ``top`` to ``bottom`` of sample ``b`` to sample ``to``, whole planes at a time where rows touch."""
    t_n, c_n, _, w_n, k_n = dims
    row = w_n * k_n
    for t in range(t_n):
        for c in range(c_n):
            i = b * xs[0] + t * xs[1] + c * xs[2]
            o = to * os[0] + t * os[1] + c * os[2]
            if xs[3] == row and os[3] == row:
                copy_run(out, o + top * row, x, i + top * row, (bottom - top) * row)
            else:
                for y in range(top, bottom):
                    copy_run(out, o + y * os[3], x, i + y * xs[3], row)


@njit(cache=True, nogil=True)
def dense(dims):
    """Strides of one sample put aside in a buffer."""
    t_n, c_n, h_n, w_n, k_n = dims
    row = w_n * k_n
    return (0, c_n * h_n * row, h_n * row, row)


@njit(cache=True, nogil=True)
def paint_rows(
    x, out, source, saved, dims, xs, os, ss, copy, kind, params, bits, hit, order,
    code, table, index, keys, law, quantiles, first, last, top, bottom,
):  # fmt: skip
    """Rows ``top`` to ``bottom`` of the samples ``order[first:last]``: copy ``x`` to ``out``, then paint the dropped runs."""
    t_n, c_n, h_n, w_n, k_n = dims
    boxes = params.shape[1] // 4 if kind == BOXES else 1
    spans = np.empty((w_n // 2 + 2 + boxes, 3), np.int64)
    raw = np.empty(w_n if code == NOISE else 1, np.float32)
    values = np.empty(w_n if code == NOISE else 1, np.int64)
    aside = dense(dims)
    band = max(1, _BAND // max(1, t_n * c_n * w_n * k_n)) if copy else max(1, bottom - top)
    for item in range(first, last):
        b = order[item, 0]
        if not hit[b]:
            if copy:
                copy_rows(x, out, dims, xs, os, b, b, top, bottom)
            continue
        if order[item, 1]:
            copy_rows(x, saved, dims, xs, aside, b, 0, top, bottom)
        upper, lower = row_range(kind, params, b, h_n)
        for start in range(top, bottom, band):
            stop = min(start + band, bottom)
            if copy:
                copy_rows(x, out, dims, xs, os, b, b, start, stop)
            for y in range(max(start, upper), min(stop, lower)):
                n = row_spans(kind, params, bits, b, y, w_n, spans)
                if n == 0:
                    continue
                for t in range(t_n):
                    for c in range(c_n):
                        o = b * os[0] + t * os[1] + c * os[2] + y * os[3]
                        if code == TABLE:
                            fill_spans(out, o, table, b, c, spans, n, k_n)
                        elif code == NOISE:
                            for i in range(n):
                                x0, width = spans[i, 0], spans[i, 1] - spans[i, 0]
                                for k in range(k_n):
                                    plane = (t * c_n * k_n + c * k_n + k) * h_n
                                    noise_run(keys[b], (plane + y) * w_n + x0, width, law, quantiles, raw, values)
                                    for j in range(width):
                                        out[o + (x0 + j) * k_n + k] = values[j]
                        elif order[item, 2]:
                            copy_spans(out, o, saved, t * aside[1] + c * aside[2] + y * aside[3], spans, n, k_n)
                        else:
                            s = index[b] * ss[0] + t * ss[1] + c * ss[2] + y * ss[3]
                            copy_spans(out, o, source, s, spans, n, k_n)


@njit(cache=True, nogil=True)
def copy_spans(out, o, source, s, spans, n, k_n):
    """Paste the runs of one row from another image's row."""
    for i in range(n):
        x0 = spans[i, 0] * k_n
        copy_run(out, o + x0, source, s + x0, (spans[i, 1] - spans[i, 0]) * k_n)


@njit(cache=True, nogil=True)
def fill_spans(out, o, table, b, c, spans, n, k_n):
    """Write the runs of one row with the colours of ``table [samples, boxes, channels]``."""
    sample = b if table.shape[0] > 1 else 0
    for i in range(n):
        box = spans[i, 2] if table.shape[1] > 1 else 0
        x0, width = spans[i, 0], spans[i, 1] - spans[i, 0]
        if k_n == 1:
            fill_run(out, o + x0, width, table[sample, box, c])
        elif same_channels(table, sample, box):
            fill_run(out, o + x0 * k_n, width * k_n, table[sample, box, 0])
        else:
            for j in range(width):
                for k in range(k_n):
                    out[np.uint64(o + (x0 + j) * k_n + k)] = table[sample, box, k]


@njit(cache=True, nogil=True)
def same_channels(table, sample, box):
    """Whether all channels of a colour are equal, so that interleaved pixels are one run of one value."""
    for k in range(1, table.shape[2]):
        if table[sample, box, k] != table[sample, box, 0]:
            return False
    return True


def supports(x: Tensor) -> bool:
    """Whether this backend can read ``x`` at all."""
    return x.device.type == "cpu" and not x.is_complex() and x.layout == torch.strided
