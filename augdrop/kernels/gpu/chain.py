"""Partners in place: one launch, no second image, and nothing is touched but what drops.

A program owns a tile of one plane of all samples, and walks them in the order of `augdrop.pairing.write_order`: whoever
is read is written later. Where samples read each other in a ring, the program holds what drops of one of them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.blend import mix
from augdrop.kernels.gpu.geometry import dropped
from augdrop.kernels.gpu.tiles import offsets, some, store, tile

_NUMBERS = ("samples", "channels", "height", "width", "tiles", "n_params", "bit_rows", "bit_columns", "x_row")


@triton.jit(do_not_specialize=_NUMBERS)
def chain(
    x, hit, region, bits, index, opacity, order,
    samples, channels, height, width, tiles, n_params, bit_sample, bit_rows, bit_columns,
    x_sample, x_frame, x_channel, x_row, x_column,
    KIND: tl.constexpr, BLEND: tl.constexpr, FORM: tl.constexpr, WIDE: tl.constexpr,
    K: tl.constexpr, DENSE: tl.constexpr, WHOLE: tl.constexpr, EVEN: tl.constexpr,
    ROWS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """Paint a tile of every sample; see `augdrop.kernels.gpu.launch` for the arguments."""
    pid = tl.program_id(0)
    plane = pid // tiles
    element, vector, y, column, inside, top, bottom = tile(pid % tiles, height, width, K, WHOLE, EVEN, ROWS, VEC)
    x += (plane // channels).to(tl.int64) * x_frame + (plane % channels).to(tl.int64) * x_channel
    x += offsets(element, y, column, x_row, x_column, DENSE)
    saved, aside = tl.zeros((ROWS, VEC), x.dtype.element_ty), tl.zeros((ROWS, VEC), tl.int1)
    for i in range(samples):
        sample = tl.load(order + 3 * i)
        if tl.load(hit + sample) != 0:
            drops, which = dropped(
                region + sample * n_params, bits + sample * bit_sample, n_params, bit_rows, bit_columns, height, width,
                element, y, column, inside, top, bottom, KIND, K,
            )  # fmt: skip
            touched = some(drops) & inside
            if tl.load(order + 3 * i + 1) != 0:
                # Only what is about to be overwritten; the rest its reader finds where it was.
                saved, aside = tl.load(x + sample * x_sample, mask=touched, other=0), drops
            partner = x + tl.load(index + sample) * x_sample
            if tl.load(order + 3 * i + 2) == 0:
                value = tl.load(partner, mask=touched, other=0)
            else:
                value = tl.where(aside, saved, tl.load(partner, mask=some(aside == 0) & touched, other=0))
            if BLEND:
                own = tl.load(x + sample * x_sample, mask=touched, other=0)
                value = mix(own, value, tl.load(opacity + sample), FORM, WIDE)
            # What one thread still reads another may be about to write.
            tl.debug_barrier()
            store(x + sample * x_sample, value, drops, inside, EVEN and DENSE)
