"""Pipeline mode: the nodes of a stage in DALI's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode
from torch import Tensor

from augdrop.adapters.dali import annotate
from augdrop.adapters.dali.keys import read_epochs, read_keys
from augdrop.adapters.dali.layouts import channels_first, check_layout, spatial, stacked
from augdrop.errors import fail

if TYPE_CHECKING:
    from augdrop.adapters.dali.stage import Stage

Arrays = Sequence[np.ndarray]


def add(stage: Stage, images: DataNode, given: Mapping[str, Any], keys: Any, epoch: Any, layout: str | None) -> Any:
    """Add a stage to the graph that is being built; the nodes that come out."""
    _check_nodes({"keys": keys, **given})
    if layout is not None:
        check_layout(layout)
    nodes = {name: _on_host(node) for name, node in given.items()}
    nodes["keys"] = _on_host(keys)
    if isinstance(epoch, DataNode):
        nodes["epoch"] = _on_host(epoch)
    # DALI would copy what a Python function returns. Instead the function paints a copy that is its own, and the copy
    # goes on by a reshape, which moves no bytes, but has to wait for the function: it takes the shapes from it.
    # (`preserve` keeps DALI from making one node of several equal ones.)
    painted = {"images": fn.copy(images, preserve=True)}
    if "masks" in nodes:
        painted["masks"] = nodes["masks"] = fn.copy(nodes["masks"], preserve=True)
    outputs = [name for name in stage.outputs(given) if name not in painted and not _untouched(stage, name, given)]
    work = Work(
        stage, tuple(nodes), tuple(outputs), tuple(painted), layout, None if isinstance(epoch, DataNode) else epoch
    )
    n = len(outputs) + len(painted)
    done = fn.python_function(
        *(painted["images"], fn.get_property(painted["images"], key="layout"), *nodes.values()),
        function=work,
        batch_processing=True,
        num_outputs=n,
    )
    done = list(done) if n > 1 else [done]
    results = dict(zip([*painted, *outputs], done, strict=True))
    for name, node in painted.items():
        results[name] = fn.reshape(node, shape=results[name])
    return stage.collect(given, {**given, **results})


def _untouched(stage: Stage, name: str, given: Mapping[str, Any]) -> bool:
    """Class labels of a transform that mixes none go around the stage."""
    return name == "labels" and "boxes" not in given and not annotate.mixes_labels(stage.transform)


def _check_nodes(nodes: Mapping[str, Any]) -> None:
    for name, node in nodes.items():
        if not isinstance(node, DataNode):
            raise fail(
                f"to_dali: {name}",
                got=type(node).__name__,
                expected="a DataNode of the same graph as the images",
                fix="Let it ride as data: from the reader, or from fn.external_source.",
            )


def _on_host(node: DataNode) -> DataNode:
    return node.cpu() if node.device == "gpu" else node


class Work:
    """What DALI calls for each batch; it holds no pipeline, or that would never be freed."""

    def __init__(
        self,
        stage: Stage,
        names: tuple[str, ...],
        outputs: tuple[str, ...],
        painted: tuple[str, ...],
        layout: str | None,
        epoch: Any,
    ) -> None:
        self.stage, self.names, self.outputs, self.painted = stage, names, outputs, painted
        self.layout, self.epoch = layout, epoch

    def __call__(self, images: Arrays, layouts: Arrays, *columns: Arrays) -> Any:
        given = dict(zip(self.names, columns, strict=True))
        layout = check_layout(layouts[0].tobytes().decode(), self.layout)
        keys = read_keys(given.pop("keys"))
        epochs = read_epochs(given.pop("epoch")) if "epoch" in given else self.epoch
        tensors = {name: [torch.from_numpy(a) for a in column] for name, column in given.items()}
        results: dict[str, list[Any]] = {name: [None] * len(images) for name in self.outputs}
        for at in self.stage.groups([image.shape for image in images], keys):
            some = {name: [column[b] for b in at] for name, column in tensors.items()}
            done = self._paint([images[b] for b in at], layout, keys[at], _take(epochs, at), some)
            for name in self.outputs:
                for b, value in zip(at, done[name], strict=True):
                    results[name][b] = value.numpy()
        for name in self.painted:
            arrays = images if name == "images" else given[name]
            results[name] = [np.array(a.shape) for a in arrays]
        answer = tuple(results[name] for name in (*self.painted, *self.outputs))
        return answer if len(answer) > 1 else answer[0]

    def _paint(self, images: Arrays, layout: str, keys: Any, epochs: Any, given: dict[str, list[Tensor]]) -> Any:
        """Paint samples of one size in place; the other outputs."""
        stage, batch = self.stage, stacked(images)
        x = channels_first(batch, layout)
        shape = tuple(x.shape)
        plan = stage.plan(keys, epochs, shape, given, x)
        done = stage.follow(plan, shape, given)
        if "masks" in given:
            masks = stacked([m.numpy() for m in given["masks"]])
            annotate.paint_masks(stage.transform, plan, spatial(masks, (shape[-2], shape[-1])))
            _give_back(masks, [m.numpy() for m in given["masks"]])
        stage.transform.apply(x, plan, inplace=True)
        _give_back(batch, images)
        return done


def _take(epochs: Any, at: Any) -> Any:
    return epochs[at] if isinstance(epochs, np.ndarray) else epochs


def _give_back(batch: Tensor, samples: Arrays) -> None:
    """Write a batch that had to be copied together back to where its samples are."""
    if batch.data_ptr() != samples[0].__array_interface__["data"][0]:
        for sample, row in zip(samples, batch.numpy(), strict=True):
            sample[...] = row
