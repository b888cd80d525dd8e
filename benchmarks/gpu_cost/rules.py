"""What an ATen operator costs on CUDA, as far as its name and arguments tell. Where in doubt, the lower number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_cost.cost import Cost

FREE = {
    # Memory without a value, and answers that the host knows.
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_"),
    *("is_pinned", "_pin_memory", "is_same_size", "record_stream", "lift_fresh", "lift", "detach_", "_unsafe_view"),
}
"""Operators that launch nothing, besides views."""

WAITS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "unique_dim", "unique_consecutive"} | {
    *("_unique", "_unique2", "unique_dim_consecutive", "bincount", "is_nonzero"),
}
"""Operators whose result, or its shape, the host has to wait for."""

OVERWRITES = {"fill_", "zero_", "copy_", "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "log_normal_"}
"""In-place operators that do not read what they write."""

PICKS = {"index", "index_select", "gather", "embedding", "take", "take_along_dim"}
"""Operators that read as many of their first input's elements as they return."""

PUTS = {"index_put_", "scatter_", "index_copy_", "index_fill_", "masked_scatter_"}
"""In-place operators that write as many elements as they are given, and read none of what they write."""

NO_LAUNCH = {"_local_scalar_dense"}
"""Operators that are a copy to the host and nothing else."""


def size(t: Tensor) -> int:
    """Bytes of memory behind a tensor: an expanded axis lies there once."""
    elements = 1
    for n, stride in zip(t.shape, t.stride(), strict=True):
        elements *= n if stride or not n else 1
    return elements * t.element_size()


def name_of(func: Any) -> str:
    return func._schema.name.removeprefix("aten::")


def is_free(func: Any) -> bool:
    return func.is_view or func.namespace in ("prim", "profiler") or name_of(func) in FREE


def charge(cost: Cost, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor]) -> None:
    """Enter one operator that has run on device tensors; ``results`` are its tensors there."""
    name = name_of(func)
    if name in ("_to_copy", "copy_") and _crosses(cost, name, args, kwargs):
        return
    if is_free(func):
        return
    if name == "index" or name.startswith(("index_put", "_index_put_impl")):
        _index(cost, name, args)
    if name in WAITS or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        cost.wait(name)
    if name in NO_LAUNCH or (results and not any(t.numel() for t in results)):
        return
    cost.launch(name, *traffic(func, args, kwargs, results))


def traffic(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor]) -> tuple[int, int]:
    """Bytes read and bytes written by one operator; every tensor counts once, however often it is named."""
    name = name_of(func)
    written = sum(size(t) for t in results)
    target = args[0] if name.endswith("_") and args and isinstance(args[0], Tensor) else None
    inputs = {_place(t): t for t in leaves((args, kwargs)) if on_device(t)}
    if target is not None and name in OVERWRITES | PUTS:
        inputs.pop(_place(target), None)
    if name in PUTS:
        # As many elements as there are values, or as the indices name.
        given = [t for t in leaves(args[1:]) if isinstance(t, Tensor)]
        elements = max((t.numel() for t in given), default=0)
        written = min(written, elements * args[0].element_size())
    read = {place: size(t) for place, t in inputs.items()}
    if name in PICKS and args and on_device(args[0]):
        read[_place(args[0])] = min(read[_place(args[0])], written)
    return sum(read.values()), written


def _place(t: Tensor) -> tuple[Any, ...]:
    return t.untyped_storage()._cdata, t.storage_offset(), tuple(t.shape), t.stride()


def leaves(tree: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(tree)


def on_device(t: Any) -> bool:
    return isinstance(t, Tensor) and t.is_cuda


def _crosses(cost: Cost, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """A copy between host and device, if that is what it is."""
    if name == "_to_copy":
        source, there = args[0], kwargs.get("device")
        to_device = there is not None and torch.device(there).type == "cuda"
        to_host = there is not None and not to_device
        # The dtype changes on the side that it comes from.
        width = (kwargs.get("dtype") or source.dtype).itemsize
        waits = not kwargs.get("non_blocking", False)
    else:
        source, width = args[1], args[0].element_size()
        to_device, to_host = args[0].is_cuda, not args[0].is_cuda
        waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    if source.is_cuda and to_host:
        cost.wait("to the host")
        return True
    if not source.is_cuda and to_device:
        elements = args[0].numel()  # of what it is broadcast to, which happens on the host
        if elements:
            cost.copy("blocking copy", elements * width, waits)
        if elements and name == "copy_" and not args[0].is_contiguous():
            # Bytes land side by side; a kernel takes them to their rows.
            cost.launch(name, elements * width, elements * width)
        return True
    return False


def _index(cost: Cost, name: str, args: tuple[Any, ...]) -> None:
    """What indexing does before its own kernel (ATen/native/IndexingUtils.h, TensorAdvancedIndexingUtils.h)."""
    given = [i for i in args[1] if i is not None]
    masks = [i for i in given if i.dtype in (torch.bool, torch.uint8)]
    if name != "index":
        value = args[2]
        # One value for all pixels of one mask is a masked_fill, without a list of places.
        if value.numel() == 1 and not value.is_cuda and len(given) == 1 and masks and masks[0].is_cuda:
            return
    for index in given:
        mask = any(index is m for m in masks)
        if index.is_cuda and mask:
            cost.launch("nonzero", size(index), 0)
            cost.wait("nonzero")
        elif not index.is_cuda:
            places = int(index.count_nonzero()) * index.ndim if mask else index.numel()
            # A mask's places go over from pinned memory, a list of places as it is.
            cost.copy("blocking copy", places * 8, waits=not mask)
    if name != "index" and args[2].numel() == 1 and not args[2].is_cuda:
        cost.copy("blocking copy", args[2].element_size(), waits=True)
