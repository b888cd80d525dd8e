"""The one kernel that carries out plans: every region and fill, out of place and in place.

A program owns a tile of a sample's frame. Which of its pixels drop is found once and used for every channel. Out of
place, vectors of which something stays are read from the image and vectors of which something drops from the source;
all are written whole. In place, only what drops is written, and nothing of the image is read but for a blend.
"""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.blend import mix
from augdrop.kernels.gpu.blur import smooth
from augdrop.kernels.gpu.geometry import dropped
from augdrop.kernels.gpu.noise import noise, runs_of_words, words
from augdrop.kernels.gpu.tiles import offsets, some, store, tile
from augdrop.kernels.gpu.values import encode

TABLE: tl.constexpr = tl.constexpr(0)
NOISE: tl.constexpr = tl.constexpr(1)
BLEND: tl.constexpr = tl.constexpr(3)
BLUR: tl.constexpr = tl.constexpr(4)

# STEP says what is aligned, and the compiler need know nothing else of a number: no compilation for each size or batch.
_NUMBERS = (
    *("frames", "channels", "height", "width", "tiles", "n_params", "bit_sample", "bit_rows", "bit_columns"),
    *("table_sample", "table_box", "cell_rows", "cell_columns", "first", "second", "low", "high", "base", "choices"),
    *(f"{name}_{which}" for name in ("x", "out", "source") for which in ("sample", "frame", "channel", "row")),
)


@triton.jit(do_not_specialize=_NUMBERS)
def paint(
    x, out, source, hit, region, bits, index, opacity, table, keys, quantiles, cells,
    frames, channels, height, width, tiles, n_params, bit_sample, bit_rows, bit_columns,
    table_sample, table_box, cell_rows, cell_columns, first, second, low, high, base, choices,
    x_sample, x_frame, x_channel, x_row, x_column,
    out_sample, out_frame, out_channel, out_row, out_column,
    source_sample, source_frame, source_channel, source_row, source_column,
    KIND: tl.constexpr, FILL: tl.constexpr, COPY: tl.constexpr, FORM: tl.constexpr, WIDE: tl.constexpr,
    NORMAL: tl.constexpr, NARROW: tl.constexpr, BOXES: tl.constexpr, FACTOR: tl.constexpr,
    K: tl.constexpr, DENSE: tl.constexpr, WHOLE: tl.constexpr, EVEN: tl.constexpr,
    ROWS: tl.constexpr, VEC: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Paint a tile; see `augdrop.kernels.gpu.launch` for the arguments."""
    pid = tl.program_id(0)
    plane = pid // tiles
    frame, sample = (plane % frames).to(tl.int64), (plane // frames).to(tl.int64)
    is_hit = tl.load(hit + sample) != 0
    if not COPY:  # noqa: SIM102 (the one is known when the kernel is compiled, the other is not)
        if is_hit == 0:
            return
    element, vector, y, column, inside, top, bottom = tile(pid % tiles, height, width, K, WHOLE, EVEN, ROWS, VEC)
    drops = ((y + column) < 0) & inside
    which = tl.where(drops, 1, 0)
    if is_hit:
        drops, which = dropped(
            region + sample * n_params, bits + sample * bit_sample,
            n_params, bit_rows, bit_columns, height, width,
            element, y, column, inside, top, bottom, KIND, K, False,
        )  # fmt: skip
    own, other = some(drops == 0) & inside, some(drops) & inside
    busy = tl.max(some(drops).to(tl.int32)) != 0 if FILL == NOISE else True
    if source is not None:
        partner = tl.load(index + sample)
        source += (partner * source_sample + frame * source_frame) * STEP
        given = offsets(element, y, column, source_row, source_column, DENSE)
    if FILL == BLEND:
        weight = tl.load(opacity + sample)
    x += (sample * x_sample + frame * x_frame) * STEP
    out += (sample * out_sample + frame * out_frame) * STEP
    read = offsets(element, y, column, x_row, x_column, DENSE)
    written = offsets(element, y, column, out_row, out_column, DENSE)
    WORD: tl.constexpr = x.dtype.element_ty
    for c in range(channels):
        channel = tl.cast(c, tl.int64)
        if FILL == TABLE:
            # One colour a plane, or one a box or interleaved channel.
            if BOXES == 0 and K == 1:
                value = tl.load(table + sample * table_sample + channel)
            else:
                place = which * table_box + (column % K if K > 1 else c)
                value = tl.load(table + sample * table_sample + place, mask=drops, other=0)
        elif FILL == NOISE:
            value = tl.zeros((ROWS, VEC), WORD)
            if busy:
                key = tl.load(keys + sample)
                size = height * width
                if BOXES:
                    drawn = words(key, (which * table_box + (column % K if K > 1 else c)).to(tl.int64), NARROW)
                elif K > 1:
                    drawn = words(key, (frame * K + column % K) * size + element // K, NARROW)
                elif EVEN and (VEC >= 16 or not NARROW):
                    shift = 4 if NARROW else 2
                    block = ((frame * channels + channel) * size >> shift).to(tl.uint32)
                    drawn = runs_of_words(key, block + (vector >> shift).to(tl.uint32), ROWS, VEC, NARROW)
                else:
                    drawn = words(key, (frame * channels + channel) * size + element, NARROW)
                value = noise(
                    drawn, drops, first, second, low, high, base, choices, quantiles, FORM, NORMAL, NARROW, WORD
                )  # fmt: skip
        elif FILL == BLUR:
            image = cells + ((sample * frames + frame) * channels * K + channel) * cell_rows * cell_columns
            if K > 1:
                image += column % K * (cell_rows * cell_columns)
            value = encode(smooth(image, cell_rows, cell_columns, y, column // K, drops, FACTOR, WIDE), FORM, WORD)
        else:
            value = tl.load(source + channel * source_channel * STEP + given, mask=other, other=0)
        if FILL == BLEND:
            mine = tl.load(x + channel * x_channel * STEP + read, mask=inside if COPY else other, other=0)
            value = mix(mine, value, weight, FORM, WIDE)
        elif COPY:
            mine = tl.load(x + channel * x_channel * STEP + read, mask=own, other=0)
        if COPY:
            tl.store(out + channel * out_channel * STEP + written, tl.where(drops, value, mine), mask=inside)
        else:
            store(out + channel * out_channel * STEP + written, value, drops, inside, EVEN and DENSE)
