"""The GPU's operators for torch: each is one launch, and none but the launch itself looks at data.

``paint`` and ``paint_`` carry out a plan out of place and in place, ``channel_means`` and ``cell_means`` read off the
image what two fills need, ``soft_labels`` mixes targets. Under fake tensors they do nothing but know their shapes.
Autograd passes them by: `augdrop.kernels.dispatch` has the gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from augdrop.kernels.blend import working_type

_FILL = (
    "Tensor hit, Tensor params, Tensor bits, Tensor? source, Tensor? index, Tensor? opacity, Tensor? table, "
    "Tensor? keys, Tensor? cells, {}int kind, int fill, float[] law, int factor"
)
_library = Library("augdrop", "FRAGMENT")


def define(schema: str, launch: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Define an operator that launches one kernel; returns what calls it.

    Args:
        schema: as `torch.library.Library.define` takes it.
        launch: what it does; on the CPU, too, where Triton's interpreter stands in for a GPU.
        fake: what it returns for tensors without data.
    """
    name = schema.split("(")[0]
    _library.define(schema)
    for key in ("CUDA", "CPU"):
        _library.impl(name, launch, key)
    _library.impl(name, torch.library.fallthrough_kernel, "Autograd")
    _library.impl(name, torch.library.fallthrough_kernel, "ADInplaceOrView")
    torch.library.register_fake(f"augdrop::{name}", fake, lib=_library)
    return getattr(torch.ops.augdrop, name).default


def _nothing(*args: Any) -> None:
    return None


def _paint(x: Tensor, out: Tensor, *rest: Any) -> None:
    from augdrop.kernels.gpu import launch

    launch.paint(x, out, *rest)


def _paint_in_place(x: Tensor, *rest: Any) -> None:
    from augdrop.kernels.gpu import launch

    # The order of writing is the tenth of what follows the image, and paint out of place has none.
    *first, order, kind, fill, law, factor = rest
    if order is None:
        launch.paint(x, x, *first, kind, fill, law, factor)
    else:
        launch.chain(x, *first, order, kind, fill)


def _channel_means(x: Tensor, hit: Tensor) -> Tensor:
    from augdrop.kernels.gpu import launch

    return launch.channel_means(x, hit)


def _cell_means(x: Tensor, hit: Tensor, factor: int) -> Tensor:
    from augdrop.kernels.gpu import launch

    return launch.cell_means(x, hit, factor)


def _soft_labels(*given: Any) -> Tensor:
    from augdrop.kernels.gpu import label_launch

    out = _fake_soft_labels(*given)
    if out.numel():
        label_launch.soft_labels(out, *given)
    return out


def _fake_channel_means(x: Tensor, hit: Tensor) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[2]))


def _fake_cell_means(x: Tensor, hit: Tensor, factor: int) -> Tensor:
    b, t, c, h, w = x.shape
    return x.new_empty((b, t, c, -(-h // factor), -(-w // factor)), dtype=working_type(x.dtype))


def _fake_soft_labels(
    target: Tensor, others: Tensor, partner: Tensor | None, own: Tensor, classes: int, keep: float, off: float
) -> Tensor:
    return target.new_empty((len(target), classes), dtype=soft_type(target.dtype))


def soft_type(dtype: torch.dtype) -> torch.dtype:
    """What targets of a dtype are mixed to."""
    return torch.float64 if dtype == torch.float64 else torch.float32


paint = define(f"paint(Tensor x, Tensor(a!) out, {_FILL.format('')}) -> ()", _paint, _nothing)
"""``paint(x, out, hit, params, bits, source, index, opacity, table, keys, cells, kind, fill, law, factor)``.

Args:
    x, out, source: ``[B, T, C, H, W]``, any strides; ``out`` is overwritten.
    hit: bool ``[B]``.
    params, bits, kind: the packed region, see `augdrop.regions.spans`.
    index, opacity: int64 and float64 ``[B]``, from whom and how much, for a source.
    table: colours ``[1 or B, 1 or N, C]`` in the dtype of ``x``; None is the constant colour ``law``.
    keys: int64 ``[B]``, the noise keys; ``law`` then holds `augdrop.kernels.noise.Law` and a count of colours a sample,
        0 for noise in every element.
    cells, factor: of a blur.
    fill: one of `augdrop.kernels.painter`'s.
"""

paint_ = define(f"paint_(Tensor(a!) x, {_FILL.format('Tensor? order, ')}) -> ()", _paint_in_place, _nothing)
"""`paint` in place. With ``order``, see `augdrop.pairing.write_order`, samples of ``x`` itself are the source."""

channel_means = define("channel_means(Tensor x, Tensor hit) -> Tensor", _channel_means, _fake_channel_means)
"""Like `augdrop.kernels.statistics.channel_means`."""

cell_means = define("cell_means(Tensor x, Tensor hit, int factor) -> Tensor", _cell_means, _fake_cell_means)
"""Like `augdrop.kernels.statistics.cell_means`; cells of samples that are not hit hold anything."""

soft_labels = define(
    "soft_labels(Tensor target, Tensor others, Tensor? partner, Tensor own, int classes, float keep, float off)"
    " -> Tensor",
    _soft_labels,
    _fake_soft_labels,
)
"""``soft_labels(target, others, partner, own, classes, keep, off)``: the soft targets of `augdrop.labels.mix`.

Args:
    target, others: class indices ``[B]``, ``[M]``, or targets ``[B, classes]``, ``[M, classes]``, of one dtype.
    partner: int64 ``[B]``, whose target in ``others`` comes in; None is each sample's own.
    own: float64 ``[B]``, the weight of ``target``.
    keep, off: 1 less the smoothing, and what smoothing gives to each class.
"""
