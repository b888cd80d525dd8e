"""Dynamic mode: a stage is called with batches of `nvidia.dali.experimental.dynamic`, and paints at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import torch
from torch import Tensor

from augdrop.adapters.dali import annotate, native
from augdrop.adapters.dali.keys import read_epochs, read_keys
from augdrop.adapters.dali.layouts import channels_first, check_layout, one_tensor, spatial
from augdrop.adapters.dali.task import Given, Task
from augdrop.errors import fail


def run(task: Task, images: Any, given: Mapping[str, Any], keys: Any, epoch: Any, layout: str | None) -> Any:
    """Carry a stage out on a batch, or on a single `ndd.Tensor`; batches, or tensors, come out."""
    if isinstance(images, ndd.Tensor):
        alone = {name: [value] for name, value in given.items()}
        batch = ndd.as_batch([images], layout=images.layout)
        return _each(run(task, batch, alone, [keys], epoch, layout), lambda b: b.tensors[0])
    if not isinstance(images, ndd.Batch):
        raise fail(
            "to_dali: images",
            got=type(images).__name__,
            expected="a DataNode of a pipeline, or an ndd.Batch or ndd.Tensor of dynamic mode",
            fix="Make one: ndd.as_batch(images, layout='HWC').",
        )
    layout = check_layout(images.layout, layout)
    n, t = images.batch_size, task.transform
    columns = {name: _column(name, value, n) for name, value in given.items()}
    ids = read_keys(_column("keys", keys, n))
    epochs = epoch if epoch is None or isinstance(epoch, int) else read_epochs(_column("epoch", epoch, n))
    task.decider.check(ids, n)
    if task.route_for(images.device.device_type, given) == "native":
        shape = channels_first(torch.empty(n, *images.shape[0], device="meta"), layout).shape
        done = _follow(task, shape, ids, epochs, columns)[1]
        painted = native.paint(
            *(t, images, task.decide, ids, epochs),
            ops=ndd,
            layout=layout,
            scores=columns.get("scores"),
            boxes=columns.get("boxes") if t.uses_boxes else None,
        )
    else:
        done = _paint(task, images, layout, ids, epochs, columns)
        painted = ndd.as_batch(done["images"], layout=layout)
    return task.collect(given, {name: ndd.as_batch(done[name]) for name in task.outputs(given)} | {"images": painted})


def _paint(task: Task, images: Any, layout: str, keys: np.ndarray, epochs: Any, given: Given) -> dict[str, Any]:
    """Everything that comes out, samples of one size being painted together."""
    groups = task.groups([tuple(shape) for shape in images.shape])
    if len(groups) == 1:
        return _paint_size(task, images.torch(), layout, keys, epochs, given)
    results: dict[str, list[Any]] = {}
    for at in groups:
        some = {name: [column[b] for b in at] for name, column in given.items()}
        batch = torch.stack([images.tensors[b].torch() for b in at])
        part = epochs[at] if isinstance(epochs, np.ndarray) else epochs
        for name, column in _paint_size(task, batch, layout, keys[at], part, some).items():
            for b, value in zip(at, column, strict=True):
                results.setdefault(name, [None] * len(keys))[b] = value
    return results


def _paint_size(task: Task, batch: Tensor, layout: str, keys: np.ndarray, epochs: Any, given: Given) -> dict[str, Any]:
    """Everything that comes out for samples of one size."""
    x = channels_first(batch, layout)
    plan, done = _follow(task, x.shape, keys, epochs, given, x)
    if task.inplace:
        task.transform.apply(x, plan, inplace=True)
        return done | {"images": batch}
    out = torch.empty_like(batch)
    task.transform.apply(x, plan, out=channels_first(out, layout))
    return done | {"images": out}


def _follow(
    task: Task, shape: tuple[int, ...], keys: np.ndarray, epochs: Any, given: Given, x: Tensor | None = None
) -> tuple[Any, dict[str, Any]]:
    """The plan of samples of one size, and all that comes out but the images."""
    plan = task.plan(keys, epochs, shape, given, x)
    done: dict[str, Any] = dict(task.follow(plan, shape, given))
    if "masks" in given:
        done["masks"] = one_tensor(given["masks"])
        annotate.paint_masks(task.transform, plan, spatial(done["masks"], shape))
    return plan, done


def _column(name: str, values: Any, batch: int) -> list[Tensor]:
    """One tensor a sample of a batch, a tensor, an array or a list."""
    if isinstance(values, ndd.Batch):
        values = [t.torch() for t in values.cpu().tensors]
    tensors = [v.cpu().torch() if isinstance(v, ndd.Tensor) else torch.as_tensor(v) for v in values]
    if len(tensors) != batch:
        raise fail(
            f"to_dali: {name}",
            got=len(tensors),
            expected=f"one for each of {batch} samples",
            fix="Give them in batch order.",
        )
    return tensors


def _each(value: Any, change: Any) -> Any:
    return tuple(_each(v, change) for v in value) if isinstance(value, tuple) else change(value)
