"""What two fills read off the image first: the means of channels, and of cells in the summation order of the CPU."""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.values import INTEGER, decode, encode, nearest, quotient


@triton.jit(do_not_specialize=("frames", "channels", "pixels"))
def channel_means(
    x, out, hit, frames, channels, width, size, pixels, x_sample, x_frame, x_channel, x_row, x_column,
    FORM: tl.constexpr, FLAT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The mean of one channel of one sample: exact for integers, else sums in float64; 0 if the sample is not hit."""
    pid = tl.program_id(0)
    sample, channel = (pid // channels).to(tl.int64), (pid % channels).to(tl.int64)
    TOTAL: tl.constexpr = tl.int64 if FORM == INTEGER else tl.float64
    sums = tl.zeros((BLOCK,), TOTAL)
    if tl.load(hit + sample) != 0:
        start = x + sample * x_sample + channel * x_channel
        for _ in range(frames):
            for first in range(0, size, BLOCK):
                pixel = first + tl.arange(0, BLOCK)
                # One row of all pixels, where rows touch.
                place = pixel * x_column
                if not FLAT:
                    place += pixel // width * (x_row - width * x_column)
                words = tl.load(start + place, mask=pixel < size, other=0)
                sums += words.to(tl.int64) if FORM == INTEGER else decode(words, FORM, tl.float64)
            start += x_frame
    mean = tl.sum(sums, 0).to(tl.float64) / pixels.to(tl.float64)
    if FORM == INTEGER:
        tl.store(out + pid, nearest(mean).to(out.dtype.element_ty))
    else:
        tl.store(out + pid, encode(mean, FORM, out.dtype.element_ty))


@triton.jit(do_not_specialize=("frames", "channels", "height", "cell_rows", "cell_columns", "groups"))
def cell_means(
    x, out, hit, frames, channels, height, width, cell_rows, cell_columns, groups,
    x_sample, x_frame, x_channel, x_row, x_column,
    FORM: tl.constexpr, WIDE: tl.constexpr, FACTOR: tl.constexpr, CELLS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Means of some cells of one row of cells; a sample that is not hit has none."""
    pid = tl.program_id(0)
    group, rest = pid % groups, pid // groups
    row, plane = rest % cell_rows, rest // cell_rows
    channel, frame = (plane % channels).to(tl.int64), (plane // channels % frames).to(tl.int64)
    sample = (plane // channels // frames).to(tl.int64)
    if tl.load(hit + sample) == 0:
        return
    TOTAL: tl.constexpr = tl.int64 if FORM == INTEGER else WIDE
    cell, lane = group * CELLS + tl.arange(0, CELLS), tl.arange(0, SPAN)
    columns = cell[:, None] * FACTOR + lane[None, :]
    there = (lane < FACTOR)[None, :] & (columns < width)
    start = x + sample * x_sample + frame * x_frame + channel * x_channel
    high = tl.minimum(height - row * FACTOR, FACTOR)
    # Down the rows first, then along, one after the other: a sum of floats depends on the order.
    sums = tl.zeros((CELLS, SPAN), TOTAL)
    for y in range(high):
        words = tl.load(start + (row * FACTOR + y) * x_row + columns * x_column, mask=there, other=0)
        sums += words.to(tl.int64) if FORM == INTEGER else decode(words, FORM, WIDE)
    total = tl.zeros((CELLS,), TOTAL)
    for i in range(FACTOR):
        total += tl.sum(tl.where(lane[None, :] == i, sums, 0), 1)
    count = high * tl.maximum(tl.minimum(width - cell * FACTOR, FACTOR), 1)
    place = (plane.to(tl.int64) * cell_rows + row) * cell_columns + cell
    tl.store(out + place, quotient(total, count, WIDE), mask=cell < cell_columns)
