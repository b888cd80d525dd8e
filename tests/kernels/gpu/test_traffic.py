"""What the kernels read and write, counted lane by lane in Triton's interpreter, is what the cost meter says.

The meter counts dropped pixels. Kernels move vectors of 16 bytes (or four elements): out of place a vector of which
nothing stays is not read, and one that an edge cuts is read whole, from each side that has a part in it. In a plane
that vectors do not divide, what lies past its end counts as staying.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("triton")
pytest.importorskip("psutil", reason="the meter is part of the benchmark, which needs augdrop[bench]")

from triton.runtime.interpreter import InterpreterBuilder

import augdrop as ad
from augdrop.kernels import gpus
from augdrop.kernels.dispatch import use_backend
from benchmarks.gpu_cost.meter import measure

pytestmark = pytest.mark.skipif(not gpus.interpreted(), reason="lanes are counted in Triton's interpreter")

TRANSFORMS = {
    "boxes": ad.Cutout(9, p=0.8, seed=0),
    "several boxes, noise a channel": ad.CoarseDropout((2, 4), fill=ad.fills.Noise(per="channel"), seed=0),
    "noise": ad.RandomErasing(p=1.0, seed=0),
    "mean": ad.RandomErasing(p=0.7, fill="mean", seed=0),
    "blur": ad.RandomErasing(p=0.7, fill="blur", seed=0),
    "grid": ad.GridMask((7, 13), seed=0),
    "cells": ad.HideAndSeek((8,), seed=0),
    "blocks": ad.DropBlock(0.2, 5, seed=0),
    "pixels": ad.PixelDropout(0.2, seed=0),
    "partner": ad.CutMix(p=0.9, seed=0),
    "partner, in pairs": ad.CutMix(per="pair", seed=0),
    "blend": ad.Mixup(seed=0),
}


class Lanes:
    """Bytes that kernels move in the block, by the tensor that they lie in."""

    def __init__(self, monkeypatch, **tensors):
        self.read, self.written = dict.fromkeys(tensors, 0), dict.fromkeys(tensors, 0)
        self.spans = {name: (t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for name, t in tensors.items()}
        load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store

        def counting_load(builder, pointers, mask, *rest):
            result = load(builder, pointers, mask, *rest)
            self.count(self.read, pointers, mask, result.data.itemsize)
            return result

        def counting_store(builder, pointers, value, mask, *rest):
            self.count(self.written, pointers, mask, value.data.itemsize)
            return store(builder, pointers, value, mask, *rest)

        monkeypatch.setattr(InterpreterBuilder, "create_masked_load", counting_load)
        monkeypatch.setattr(InterpreterBuilder, "create_masked_store", counting_store)

    def count(self, into, pointers, mask, width):
        for name, (start, end) in self.spans.items():
            there = (pointers.data >= start) & (pointers.data < end)
            into[name] += int((there & mask.data).sum()) * width


def vectors(x, flags, past=False):
    """bool ``[B, H * W]``: pixels of the vectors that have any flag; ``past`` is the flag past the end of a plane."""
    width, pixels = max(4, 16 // x.element_size()), flags[0].numel()
    flat = F.pad(flags.flatten(1), (0, -pixels % width), value=past).view(len(flags), -1, width)
    return flat.any(-1).repeat_interleave(width, 1)[:, :pixels]


def small(t, x, plan):
    """Bytes of means, or of a blur's squares: written by the first launch, read by the second."""
    b, c, h, w = x.shape
    if isinstance(t.fill, ad.fills.Blur):
        return int(plan.hit.sum()) * c * -(-h // t.fill.factor) * -(-w // t.fill.factor) * 4
    return b * c * x.element_size() if isinstance(t.fill, ad.fills.ImageMean) else 0


def painted(name, dtype, size, inplace, monkeypatch):
    """The transform, images, plan, bytes of a pixel, what the meter says and the lanes of one call."""
    t, x = TRANSFORMS[name], torch.randint(0, 200, (4, 3, *size)).to(dtype)
    plan, out = t.plan(x.shape, keys=range(4)), torch.empty_like(x)
    cost = measure(lambda x: lambda: t.apply(x, plan, inplace=inplace), x)
    expected = t.apply(x, plan)
    lanes = Lanes(monkeypatch, x=x, out=out)
    with use_backend("cuda"):
        t.apply(x, plan, **({"inplace": True} if inplace else {"out": out}))
    assert torch.equal(x if inplace else out, expected)
    return t, x, plan, x.shape[1] * x.element_size(), cost, lanes


CASES = pytest.mark.parametrize(("dtype", "size"), [(torch.uint8, (16, 32)), (torch.float32, (14, 19))])


@CASES
@pytest.mark.parametrize("name", TRANSFORMS)
def test_out_of_place(name, dtype, size, monkeypatch):
    t, x, plan, pixel, cost, lanes = painted(name, dtype, size, False, monkeypatch)
    mask, whole, extra = plan.mask(), x.numel() * x.element_size(), small(t, x, plan)
    go, stay = (int(v.sum()) * pixel for v in (vectors(x, mask), vectors(x, ~mask, past=True)))
    looked = int(plan.hit.sum()) * whole // len(x) if extra else 0
    assert lanes.written["out"] == whole == cost.written - extra
    assert lanes.read["out"] == lanes.written["x"] == 0
    assert lanes.read["x"] == (whole if name == "blend" else stay + looked) + (go if t.mixes else 0)
    # The meter says no less, but for vectors that have a part of both.
    claimed = cost.read - cost.parameters - (extra if name == "blur" else 0)
    assert lanes.read["x"] <= claimed + (stay + go - whole if t.mixes else 0)
    assert lanes.read["x"] >= claimed - (0 if t.mixes else go)


@CASES
@pytest.mark.parametrize("name", TRANSFORMS)
def test_in_place(name, dtype, size, monkeypatch):
    t, x, plan, pixel, cost, lanes = painted(name, dtype, size, True, monkeypatch)
    mask, extra = plan.mask(), small(t, x, plan)
    touched, read = vectors(x, mask), 0
    if t.mixes:
        read = int(touched[plan.hit].sum()) * (2 if name == "blend" else 1)
    looked = int(plan.hit.sum()) * x[0].numel() * x.element_size() if extra else 0
    assert lanes.written["x"] == int(mask.sum()) * pixel == cost.written - extra
    assert lanes.read["x"] == read * pixel + looked
    # To the pixel where no edge cuts a vector: the meter does not say more.
    claimed = cost.read - cost.parameters - (extra if name == "blur" else 0)
    assert claimed <= lanes.read["x"] <= claimed + 4 * int((touched & vectors(x, ~mask, past=True)).sum()) * pixel
