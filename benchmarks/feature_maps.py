"""DropBlock as a module on feature maps, beside torchvision's and timm's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

import augdrop as ad
from benchmarks.timing import Effort, Row, micros, named, race, ratio

STAGES = ((64, 512, 28, 28), (64, 1024, 14, 14))


def rows(effort: Effort) -> Iterator[Row]:
    """Per-channel blocks (torchvision) and blocks that all channels share (timm's default)."""
    for shape in [(4, 64, 14, 14)] if effort.quick else STAGES:
        x = torch.rand(shape)
        out = torch.empty_like(x)
        for library, call, per_channel in (
            ("torchvision", "ops.DropBlock2d", True),
            ("timm", "DropBlock2d", False),
            ("timm", "DropBlock2d(couple_channels=False)", True),
        ):
            ours = ad.nn.DropBlock2d(p=0.1, block_size=7, per_channel=per_channel, seed=0)
            state = "blocks a channel" if per_channel else "shared blocks"
            theirs = _theirs(library, couple=not per_channel)
            if theirs is None:
                yield Row("feature maps", "nn.DropBlock2d", peer=library, note=f"{library} is not installed")
                continue
            calls = {"copy_": partial(out.copy_, x), "ours": partial(ours, x), "theirs": partial(theirs, x)}
            seconds = race(calls, effort)
            yield Row(
                *("feature maps", "nn.DropBlock2d", state, named(shape), "float32", micros(seconds["ours"])),
                to_copy=ratio(seconds["ours"], seconds["copy_"]),
                peer=f"{library} {call}",
                peer_value=micros(seconds["theirs"]),
                to_peer=ratio(seconds["ours"], seconds["theirs"]),
                goal="to_peer",
                target=1.0,
            )


def _theirs(library: str, couple: bool) -> torch.nn.Module | None:
    if library == "torchvision":
        from torchvision.ops import DropBlock2d

        return DropBlock2d(p=0.1, block_size=7)
    try:
        from timm.layers.drop import DropBlock2d
    except ImportError:
        return None
    return DropBlock2d(drop_prob=0.1, block_size=7, couple_channels=couple)
