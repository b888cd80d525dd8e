"""Gather, scatter and merge of tokens: whole rows of D elements, moved as words of their size.

A program owns ``ROWS`` tokens of one sample and ``COLUMNS`` of their elements. Widths and strides come divided by
``STEP`` and are multiplied here, so that the compiler knows what they are multiples of, and loads whole vectors.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Alignment is said by STEP: no compilation of its own for each length and stride.
_NUMBERS = (
    *("prefix", "tokens", "kept", "length", "width", "number", "halvings", "kept_tiles", "row_tiles", "column_tiles"),
    *("x_sample", "x_row", "x_column", "fill_sample", "fill_row", "fill_column", "keep_sample", "keep_slot"),
    *("order_sample", "order_slot", "source_sample", "source_token", "sizes_sample", "sizes_token"),
)


@triton.jit
def _tile(row_tiles, column_tiles, COLUMNS: tl.constexpr):
    """The program's sample, tile of rows, and columns."""
    pid = tl.program_id(0)
    columns = pid % column_tiles * COLUMNS + tl.arange(0, COLUMNS)
    pid //= column_tiles
    return (pid // row_tiles).to(tl.int64), pid % row_tiles, columns


@triton.jit
def _places(sample, rows, columns, x_sample, x_row, x_column, STEP: tl.constexpr, STRIDED: tl.constexpr):
    """Where the elements of rows lie: offsets ``[ROWS, COLUMNS]``, 64 bits wide."""
    start = sample * x_sample * STEP + rows.to(tl.int64) * x_row * STEP
    if STRIDED:
        return start[:, None] + (columns.to(tl.int64) * x_column)[None, :]
    return start[:, None] + columns[None, :]


@triton.jit
def _slots(order, sample, rows, there, order_sample, order_slot, ORDERED: tl.constexpr):
    """Which entry of ``keep`` each row is."""
    if ORDERED:
        return tl.load(order + sample * order_sample + rows * order_slot, mask=there, other=0)
    return rows.to(tl.int64)


@triton.jit
def _among(keep, sample, tokens, kept, halvings, keep_sample, keep_slot):
    """Whether tokens are among the kept ones, by halving: ``keep`` ascends, and ends in -1 where it is padded."""
    low = tokens * 0
    high = low + kept
    for _ in range(halvings):
        middle = (low + high) // 2
        value = tl.load(keep + sample * keep_sample + middle * keep_slot, mask=low < high, other=0)
        before = (low < high) & (value >= 0) & (value < tokens)
        high = tl.where(before, high, middle)
        low = tl.where(before, middle + 1, low)
    return tl.load(keep + sample * keep_sample + low * keep_slot, mask=low < kept, other=-1) == tokens


@triton.jit(do_not_specialize=_NUMBERS)
def gather(
    x, keep, order, out,
    prefix, tokens, kept, width,
    x_sample, x_row, x_column,
    keep_sample, keep_slot, order_sample, order_slot,
    row_tiles, column_tiles,
    ORDERED: tl.constexpr, STRIDED: tl.constexpr, STEP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """``out [B, prefix + kept, D]``: the prefix of ``x [B, prefix + tokens, D]``, then the tokens that are kept."""
    sample, tile, columns = _tile(row_tiles, column_tiles, COLUMNS)
    rows = tile * ROWS + tl.arange(0, ROWS)
    length = prefix + kept
    body = (rows >= prefix) & (rows < length)
    slots = _slots(order, sample, rows - prefix, body, order_sample, order_slot, ORDERED)
    token = tl.load(keep + sample * keep_sample + slots * keep_slot, mask=body, other=-1)
    # No address outside of x, whatever a selection that is wrong may hold.
    there = (rows < prefix) | ((token >= 0) & (token < tokens))
    token = tl.where(rows < prefix, rows, token + prefix)
    within = (columns < width * STEP)[None, :]
    source = _places(sample, token, columns, x_sample, x_row, x_column, STEP, STRIDED)
    value = tl.load(x + source, mask=there[:, None] & within, other=0)
    target = _places(sample, rows, columns, length.to(tl.int64) * width, width, 1, STEP, False)
    tl.store(out + target, value, mask=(rows < length)[:, None] & within)


@triton.jit(do_not_specialize=_NUMBERS)
def scatter(
    x, keep, order, fill, out,
    prefix, tokens, kept, width, number, halvings,
    x_sample, x_row, x_column, fill_sample, fill_row, fill_column,
    keep_sample, keep_slot, order_sample, order_slot,
    kept_tiles, row_tiles, column_tiles,
    ORDERED: tl.constexpr, FILLED: tl.constexpr, STRIDED: tl.constexpr, STEP: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """``out [B, prefix + tokens, D]``: the rows of ``x [B, prefix + kept, D]`` where they were, a fill elsewhere.

    The first ``kept_tiles`` programs of a sample take what is there to its place; the others look for the places that
    nothing comes to. The fill is rows of ``fill [B, tokens, D]``, or the bits of ``number``.
    """
    sample, tile, columns = _tile(row_tiles, column_tiles, COLUMNS)
    within = (columns < width * STEP)[None, :]
    length = prefix + tokens
    if tile < kept_tiles:
        rows = tile * ROWS + tl.arange(0, ROWS)
        body = (rows >= prefix) & (rows < prefix + kept)
        slots = _slots(order, sample, rows - prefix, body, order_sample, order_slot, ORDERED)
        token = tl.load(keep + sample * keep_sample + slots * keep_slot, mask=body, other=-1)
        there = (rows < prefix) | ((token >= 0) & (token < tokens))
        token = tl.where(rows < prefix, rows, token + prefix)
        mask = there[:, None] & within
        value = tl.load(x + _places(sample, rows, columns, x_sample, x_row, x_column, STEP, STRIDED), mask=mask)
        target = _places(sample, token, columns, length.to(tl.int64) * width, width, 1, STEP, False)
        tl.store(out + target, value, mask=mask)
    else:
        rows = (tile - kept_tiles) * ROWS + tl.arange(0, ROWS)
        removed = (rows < tokens) & ~_among(keep, sample, rows, kept, halvings, keep_sample, keep_slot)
        mask = removed[:, None] & within
        target = _places(sample, rows + prefix, columns, length.to(tl.int64) * width, width, 1, STEP, False)
        if FILLED:
            source = _places(sample, rows, columns, fill_sample, fill_row, fill_column, STEP, STRIDED)
            tl.store(out + target, tl.load(fill + source, mask=mask), mask=mask)
        else:
            bits = number.to(out.dtype.element_ty)
            tl.store(out + target, tl.full((ROWS, COLUMNS), 0, out.dtype.element_ty) + bits, mask=mask)


@triton.jit
def _rounded(value, DTYPE: tl.constexpr):
    """A value of the working type, rounded to one of DTYPE."""
    if DTYPE == tl.bfloat16:  # noqa: SIM300
        # By hand, for the interpreter cuts off.
        bits = value.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
        return tl.where(value == value, bits.to(tl.float32, bitcast=True), value)
    if DTYPE == tl.float16:  # noqa: SIM300
        return value.to(tl.float16).to(tl.float32)
    return value


@triton.jit
def _inverse(total):
    """One over a sum of sizes to 2^-51, by Newton's steps: a division of float64 is a call, and costs registers."""
    total = tl.where(total > 0, total, 1)
    inverse = (1.0 / total).to(tl.float64)
    for _ in tl.static_range(2):
        inverse = inverse * (2 - total.to(tl.float64) * inverse)
    return inverse


@triton.jit
def _shares(size, inverse, DTYPE: tl.constexpr):
    """``size / total`` as float32 has it, then rounded as an array of DTYPE would be.

    A quotient of two float32 is never nearer than 2^-49 to where rounding turns: this product has its very bits.
    """
    share = (size.to(tl.float64) * inverse).to(tl.float32)
    if DTYPE == tl.float64:  # noqa: SIM300
        return share.to(tl.float64)
    else:
        return _rounded(share, DTYPE)


@triton.jit
def _next(goes, rows, after, start, SCAN: tl.constexpr):
    """The first token after ``after`` for each row, of ``SCAN`` tokens from ``start`` on, or one too high."""
    span = start + tl.arange(0, SCAN)
    found = (goes[None, :] == rows[:, None]) & (span[None, :] > after[:, None])
    return tl.min(tl.where(found, span[None, :], 2147483647), axis=1)


@triton.jit
def _goes(source, sample, start, tokens, source_sample, source_token, SCAN: tl.constexpr):
    """Where ``SCAN`` tokens from ``start`` on go."""
    span = start + tl.arange(0, SCAN)
    place = source + sample * source_sample + span * source_token
    return tl.load(place, mask=span < tokens, other=-1).to(tl.int32)


@triton.jit(do_not_specialize=_NUMBERS)
def merge(
    x, source, sizes, out, total,
    tokens, length, width,
    x_sample, x_row, x_column, source_sample, source_token, sizes_sample, sizes_token,
    row_tiles, column_tiles,
    SIZED: tl.constexpr, STRIDED: tl.constexpr, STEP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCAN: tl.constexpr,
):  # fmt: skip
    """Means ``out [B, length, D]`` of the tokens of ``x [B, tokens, D]`` that share a place, and their ``total`` sizes.

    Each row collects what goes to it, one token after the other in ascending order: the same bits every time.
    """
    sample, tile, columns = _tile(row_tiles, column_tiles, COLUMNS)
    rows = tile * ROWS + tl.arange(0, ROWS)
    before = tl.full((ROWS,), -1, tl.int32)
    sums = tl.zeros((ROWS,), tl.float32)
    for start in range(0, tokens, SCAN):
        goes = _goes(source, sample, start, tokens, source_sample, source_token, SCAN)
        if SIZED:
            token = _next(goes, rows, before, start, SCAN)
            while tl.min(token, axis=0) < tokens:
                place = sample * sizes_sample + token.to(tl.int64) * sizes_token
                sums += tl.load(sizes + place, mask=token < tokens, other=0)
                token = _next(goes, rows, token, start, SCAN)
        else:
            sums += tl.sum((goes[None, :] == rows[:, None]).to(tl.float32), axis=1)
    if tl.min(columns, axis=0) == 0:
        tl.store(total + sample * length + rows, sums, mask=rows < length)

    DTYPE: tl.constexpr = out.dtype.element_ty
    WORK: tl.constexpr = tl.float64 if DTYPE == tl.float64 else tl.float32  # noqa: SIM300
    within = (columns < width * STEP)[None, :]
    mean = tl.zeros((ROWS, COLUMNS), WORK)
    inverse = _inverse(sums)
    for start in range(0, tokens, SCAN):
        goes = _goes(source, sample, start, tokens, source_sample, source_token, SCAN)
        token = _next(goes, rows, before, start, SCAN)
        while tl.min(token, axis=0) < tokens:
            there = token < tokens
            size = tl.full((ROWS,), 1, tl.float32)
            if SIZED:
                size = tl.load(sizes + sample * sizes_sample + token.to(tl.int64) * sizes_token, mask=there, other=1)
            share = _shares(size, inverse, DTYPE)
            place = _places(sample, tl.where(there, token, 0), columns, x_sample, x_row, x_column, STEP, STRIDED)
            value = tl.load(x + place, mask=there[:, None] & within, other=0).to(WORK)
            part = _rounded(value * share[:, None], DTYPE)
            mean = tl.where(there[:, None], mean + part, mean)
            token = _next(goes, rows, token, start, SCAN)
    target = _places(sample, rows, columns, length.to(tl.int64) * width, width, 1, STEP, False)
    tl.store(out + target, _rounded(mean, DTYPE).to(DTYPE), mask=(rows < length)[:, None] & within)


@triton.jit(do_not_specialize=_NUMBERS)
def spread(
    x, source, sizes, total, out,
    tokens, length, width,
    x_sample, x_row, x_column, source_sample, source_token, sizes_sample, sizes_token,
    row_tiles, column_tiles,
    SIZED: tl.constexpr, STRIDED: tl.constexpr, STEP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """What a mean's gradient ``x [B, length, D]`` means for each token that went into it: ``out [B, tokens, D]``."""
    sample, tile, columns = _tile(row_tiles, column_tiles, COLUMNS)
    rows = tile * ROWS + tl.arange(0, ROWS)
    exists = rows < tokens
    place = tl.load(source + sample * source_sample + rows * source_token, mask=exists, other=-1)
    there = (place >= 0) & (place < length)
    size = tl.full((ROWS,), 1, tl.float32)
    if SIZED:
        size = tl.load(sizes + sample * sizes_sample + rows * sizes_token, mask=there, other=1)
    whole = tl.load(total + sample * length + place, mask=there, other=1)
    DTYPE: tl.constexpr = out.dtype.element_ty
    WORK: tl.constexpr = tl.float64 if DTYPE == tl.float64 else tl.float32  # noqa: SIM300
    within = (columns < width * STEP)[None, :]
    origin = _places(sample, tl.where(there, place, 0), columns, x_sample, x_row, x_column, STEP, STRIDED)
    value = tl.load(x + origin, mask=there[:, None] & within, other=0).to(WORK)
    value = _rounded(value * _shares(size, _inverse(whole), DTYPE)[:, None], DTYPE)
    target = _places(sample, rows, columns, tokens.to(tl.int64) * width, width, 1, STEP, False)
    tl.store(out + target, value.to(DTYPE), mask=exists[:, None] & within)
