"""Soft targets of mixed batches: a program has one sample's row, or a part of it."""

from __future__ import annotations

import triton
import triton.language as tl

_NUMBERS = ("donors", "classes", "tiles", "target_sample", "target_class", "others_sample", "others_class")


@triton.jit(do_not_specialize=_NUMBERS)
def soft_labels(
    target, others, partner, own, out,
    donors, classes, tiles, target_sample, target_class, others_sample, others_class,
    KEEP: tl.constexpr, OFF: tl.constexpr, INDICES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``out [B, classes]`` of class indices or of targets ``[B, classes]``; see `augdrop.labels.mix`.

    ``KEEP`` is 1 without the smoothing, ``OFF`` the smoothing's share of each class. A row without an answer, for there
    is no such class or partner, is NaN: whoever looked would have to wait for the device.
    """
    pid = tl.program_id(0)
    sample, column = (pid // tiles).to(tl.int64), pid % tiles * BLOCK + tl.arange(0, BLOCK)
    inside, weight, there = column < classes, tl.load(own + sample), sample >= 0
    whom = sample
    if partner is not None:
        whom = tl.load(partner + sample)
        there = (whom >= 0) & (whom < donors)
        whom = tl.where(there, whom, 0)
    # Named here: a bare number would be one of float32.
    keep, off = tl.full((), KEEP, tl.float64), tl.full((), OFF, tl.float64)
    target += sample * target_sample
    others += whom * others_sample
    if INDICES:
        mine, theirs = tl.load(target).to(tl.int64), tl.load(others).to(tl.int64)
        there = there & (mine >= 0) & (mine < classes) & (theirs >= 0) & (theirs < classes)
        share = tl.where(column == mine, weight, 1 - weight)
        value = tl.where((column == mine) | (column == theirs), off + share * keep, off)
        value = tl.where((mine == theirs) & (column == mine), off + keep, value)
    else:
        mine = tl.load(target + column.to(tl.int64) * target_class, mask=inside, other=0).to(tl.float64)
        theirs = tl.load(others + column.to(tl.int64) * others_class, mask=inside, other=0).to(tl.float64)
        # Where nothing was pasted, the partner's target must not matter, even if it is NaN.
        value = tl.where(weight == 1, mine, weight * mine + (1 - weight) * theirs)
        if KEEP != 1:
            value = value * keep + off
    value = tl.where(there, value, float("nan"))
    tl.store(out + sample * classes + column, value.to(out.dtype.element_ty), mask=inside)
