"""The launch that mixes labels."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from augdrop.kernels.gpu import labels
from augdrop.kernels.gpu.launch import Launch

_BLOCK = 1024
"""Classes of a program, at the most."""


def soft_labels(out: Tensor, *given: Any) -> None:
    """The work of `augdrop.kernels.ops.soft_labels`, into ``out [B, classes]``."""
    mixing(out, *given).run(out.device)


def mixing(
    out: Tensor, target: Tensor, others: Tensor, partner: Tensor | None, own: Tensor,
    classes: int, keep: float, off: float,
) -> Launch:  # fmt: skip
    """The launch of the labels' kernel."""
    block = min(_BLOCK, triton.next_power_of_2(classes))
    tiles, indices = triton.cdiv(classes, block), target.ndim == 1
    numbers = {
        "target": _readable(target), "others": _readable(others), "out": out, "own": own.contiguous(),
        "partner": None if partner is None else partner.contiguous(),
        "donors": len(others), "classes": classes, "tiles": tiles,
        "target_sample": target.stride(0), "target_class": 0 if indices else target.stride(1),
        "others_sample": others.stride(0), "others_class": 0 if indices else others.stride(1),
    }  # fmt: skip
    constants = {"KEEP": keep, "OFF": off, "INDICES": indices, "BLOCK": block}
    return Launch(labels.soft_labels, len(target) * tiles, numbers, constants, max(1, min(4, block // 128)))


def _readable(target: Tensor) -> Tensor:
    return target.view(torch.uint8) if target.dtype == torch.bool else target
