"""Pipeline mode: the nodes of a stage in DALI's graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode
from torch import Tensor

from augdrop.adapters.dali import annotate
from augdrop.adapters.dali.keys import read_epochs, read_keys
from augdrop.adapters.dali.layouts import channels_first, check_layout, spatial
from augdrop.adapters.dali.samples import Samples, to_capsules
from augdrop.errors import fail

if TYPE_CHECKING:
    from augdrop.adapters.dali.stage import Stage


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
    done = fn.dl_tensor_python_function(
        *(painted["images"], fn.get_property(painted["images"], key="layout"), *nodes.values()),
        function=work,
        batch_processing=True,
        num_outputs=n,
    )
    results = dict(zip([*painted, *outputs], done if n > 1 else [done], strict=True))
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

    def __call__(self, images: list[Any], layouts: list[Any], *columns: list[Any]) -> Any:
        pixels, given = Samples(images), {n: Samples(c) for n, c in zip(self.names, columns, strict=True)}
        layout = check_layout(Samples(layouts[:1]).first.tobytes().decode(), self.layout)
        keys = read_keys(given.pop("keys").tensors())
        epochs = read_epochs(given.pop("epoch").tensors()) if "epoch" in given else self.epoch
        self.stage.decider.check(keys, len(keys))
        if pixels.alike:
            masks = given.get("masks")
            tensors = {name: samples.tensors() for name, samples in given.items()}
            done = self._paint(pixels.batch, layout, keys, epochs, tensors)
            for samples in (pixels, masks):
                if samples is not None:
                    samples.give_back()
        else:
            done = self._sizes(pixels, layout, keys, epochs, given)
        for name in self.painted:
            done[name] = _shapes(pixels if name == "images" else given[name])
        answer = tuple(to_capsules(done[name]) for name in (*self.painted, *self.outputs))
        return answer if len(answer) > 1 else answer[0]

    def _sizes(
        self, pixels: Samples, layout: str, keys: np.ndarray, epochs: Any, given: dict[str, Samples]
    ) -> dict[str, Any]:
        """Paint samples of several sizes, those of one size together."""
        results: dict[str, Any] = {name: [None] * len(pixels) for name in self.outputs}
        for at in self.stage.groups([image.shape for image in pixels]):
            some: dict[str, Any] = {n: [torch.from_numpy(samples[b]) for b in at] for n, samples in given.items()}
            if "masks" in some:
                some["masks"] = torch.stack(some["masks"])
            batch = torch.from_numpy(np.stack([pixels[b] for b in at]))
            done = self._paint(batch, layout, keys[at], epochs[at] if isinstance(epochs, np.ndarray) else epochs, some)
            for i, b in enumerate(at):
                pixels[b][...] = batch[i].numpy()
                if "masks" in some:
                    given["masks"][b][...] = some["masks"][i].numpy()
                for name in self.outputs:
                    results[name][b] = done[name][i]
        return results

    def _paint(
        self, batch: Tensor, layout: str, keys: np.ndarray, epochs: Any, given: dict[str, Any]
    ) -> dict[str, Any]:
        """Paint samples of one size in place; the other outputs."""
        x = channels_first(batch, layout)
        shape = tuple(x.shape)
        plan = self.stage.plan(keys, epochs, shape, given, x)
        done = self.stage.follow(plan, shape, given)
        if "masks" in given:
            annotate.paint_masks(self.stage.transform, plan, spatial(given["masks"], (shape[-2], shape[-1])))
        self.stage.transform.apply(x, plan, inplace=True)
        return done


def _shapes(samples: Samples) -> Tensor | list[Tensor]:
    if samples.alike:
        return torch.tensor(samples.first.shape).expand(len(samples), -1)
    return [torch.tensor(sample.shape) for sample in samples]
