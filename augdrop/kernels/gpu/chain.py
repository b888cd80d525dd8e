"""Partners in place: one launch, no second image, and nothing is touched but what drops.

A program owns some vectors of one plane in all samples. It goes through the samples in the order of
`augdrop.pairing.write_order`, in which whoever is read is written later, by groups: it reads all that a group takes,
and only then writes. Reading early is always right, so the samples of a group need not wait for each other. A ring of
samples that read each other is one group's own affair, or the program holds the first of it from one group to another.
"""

from __future__ import annotations

import triton
import triton.language as tl

from augdrop.kernels.gpu.blend import mix
from augdrop.kernels.gpu.geometry import dropped
from augdrop.kernels.gpu.tiles import elements, offsets, some, store

_NUMBERS = (
    *("samples", "vectors", "channels", "height", "width", "tiles"),
    *("n_params", "bit_sample", "bit_rows", "bit_columns", "x_sample", "x_frame", "x_channel", "x_row"),
)


@triton.jit(do_not_specialize=_NUMBERS)
def chain(
    x, hit, region, bits, index, opacity, order,
    samples, vectors, channels, height, width, tiles, n_params, bit_sample, bit_rows, bit_columns,
    x_sample, x_frame, x_channel, x_row, x_column,
    KIND: tl.constexpr, BLEND: tl.constexpr, FORM: tl.constexpr, WIDE: tl.constexpr,
    K: tl.constexpr, DENSE: tl.constexpr, WHOLE: tl.constexpr, EVEN: tl.constexpr,
    ROWS: tl.constexpr, VEC: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Paint ``vectors`` vectors of every sample, ``ROWS // vectors`` samples at a time.

    See `augdrop.kernels.gpu.launch` for the arguments.
    """
    pid = tl.program_id(0)
    plane, start = pid // tiles, pid % tiles * vectors * VEC
    line = tl.arange(0, ROWS)[:, None]
    first = start + line % vectors * VEC
    element, y, column, inside = elements(first, height, width, K, WHOLE, EVEN, VEC)
    top, bottom = start // (width * K), (start + vectors * VEC - 1) // (width * K)
    x += ((plane // channels).to(tl.int64) * x_frame + (plane % channels).to(tl.int64) * x_channel) * STEP
    x += offsets(element, y, column, x_row, x_column, DENSE)
    saved = tl.zeros((ROWS, VEC), x.dtype.element_ty)
    for group in range(0, samples, ROWS // vectors):
        place = group + line // vectors
        there = place < samples
        sample = tl.load(order + 3 * place, mask=there, other=0)
        saves = tl.load(order + 3 * place + 1, mask=there, other=0) != 0
        closes = tl.load(order + 3 * place + 2, mask=there, other=0) != 0
        painted = inside & there & (tl.load(hit + sample) != 0)
        drops, which = dropped(
            region + sample * n_params, bits + sample * bit_sample,
            n_params, bit_rows, bit_columns, height, width,
            element, y, column, painted, top, bottom, KIND, K, True,
        )  # fmt: skip
        touched = some(drops) & painted
        # Where a ring ends before another has begun in this group, it began in one before.
        event = tl.where(saves | closes, 2 * place + saves.to(tl.int32), 2147483647)
        late = closes & (event == tl.min(event))
        last = tl.max(tl.where(saves | closes, event, 0))
        partner = x + tl.load(index + sample) * x_sample * STEP
        value = tl.where(late, saved, tl.load(partner, mask=touched & (late == 0), other=0))
        if BLEND:
            own = tl.load(x + sample * x_sample * STEP, mask=touched, other=0)
            value = mix(own, value, tl.load(opacity + sample), FORM, WIDE)
        if last % 2 == 1:
            # A ring that this group begins and does not end.
            head = tl.load(order + 3 * (last // 2))
            saved = tl.load(x + head * x_sample * STEP, mask=inside, other=0)
        # What one thread still reads another may be about to write.
        tl.debug_barrier()
        store(x + sample * x_sample * STEP, value, drops, painted, EVEN and DENSE)
