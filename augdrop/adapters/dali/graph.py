"""Pipeline mode: the nodes of a stage in DALI's graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert
from torch import Tensor

from augdrop.adapters.dali import annotate, native
from augdrop.adapters.dali.keys import read_epochs, read_keys
from augdrop.adapters.dali.layouts import channels_first, check_layout, core_shape, one_tensor, spatial
from augdrop.adapters.dali.samples import Samples, to_capsules
from augdrop.adapters.dali.task import Task
from augdrop.adapters.dali.threads import at_most, free_beside
from augdrop.errors import fail


@do_not_convert  # conditional pipelines rewrite all code that they come by
def add(task: Task, images: DataNode, given: Mapping[str, Any], keys: Any, epoch: Any, layout: str | None) -> Any:
    """Add a stage to the graph that is being built; the nodes that come out."""
    _check_nodes({"keys": keys, **given})
    if layout is not None:
        check_layout(layout)
    # Class labels of a transform that mixes none go around the stage.
    around = {"labels"} if "boxes" not in given and not annotate.mixes_labels(task.transform) else set()
    nodes = {name: _on_host(node) for name, node in given.items() if name not in around}
    nodes["keys"] = _on_host(keys)
    if isinstance(epoch, DataNode):
        nodes["epoch"] = _on_host(epoch)
    # DALI would copy what a Python function returns. Instead the function paints a copy that is its own, and the copy
    # goes on by a reshape, which moves no bytes, but has to wait for the function: its shapes come from there.
    # (`preserve` keeps DALI from making one node of several equal ones.) One pass from the images into `fn.zeros_like`
    # saves the copy's reading and takes as long: more capsules, and all the bytes instead of those that are dropped.
    own = (lambda node: node) if task.inplace else partial(fn.copy, preserve=True)
    results, painted = {name: given[name] for name in around & set(given)}, {}
    if task.route_for(images.device, given) == "native":
        results["images"] = native.paint(
            *(task.transform, images, task.decide, nodes["keys"], nodes.get("epoch", epoch)),
            ops=fn,
            layout=layout,
            scores=nodes.get("scores"),
            boxes=nodes.get("boxes") if task.transform.uses_boxes else None,
        )
        seen = images.shape()
    else:
        painted["images"] = seen = own(images)
    if "masks" in nodes:
        painted["masks"] = nodes["masks"] = own(nodes["masks"])
    outputs = [name for name in task.outputs(given) if name not in around | set(painted)]
    if painted or outputs:
        nodes["layouts"] = _on_host(fn.get_property(images, key="layout"))
        work = Work(task, tuple(nodes), tuple(outputs), tuple(painted), layout, epoch)
        done: Any = fn.dl_tensor_python_function(
            *(seen, *nodes.values()),
            function=work,
            batch_processing=True,
            num_outputs=len(painted) + len(outputs),
        )
        done = done if isinstance(done, (list, tuple)) else [done]
        results |= dict(zip([*painted, *outputs], done, strict=True))
    for name, node in painted.items():
        named: dict[str, Any] = {"layout": layout} if layout is not None and name == "images" else {}
        results[name] = fn.reshape(node, shape=results[name], **named)
    return task.collect(given, results)


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
    """What DALI calls for each batch; it holds no pipeline, or that would never be freed.

    Args:
        names: of the inputs after images.
        outputs: that are made.
        painted: inputs that are painted in place, of which the shapes go on. If ``"images"`` is not among them, shapes
            come in their stead.
    """

    def __init__(
        self,
        task: Task,
        names: tuple[str, ...],
        outputs: tuple[str, ...],
        painted: tuple[str, ...],
        layout: str | None,
        epoch: Any,
    ) -> None:
        self.task, self.names, self.outputs, self.painted = task, names, outputs, painted
        self.layout, self.epoch = layout, None if "epoch" in names else epoch
        self.threads = free_beside(Pipeline.current())

    def __call__(self, *inputs: Any) -> Any:
        """Capsules in, capsules out."""
        with at_most(self.threads):
            return self._run(*inputs)

    def _run(self, images: Any, *columns: Any) -> Any:
        named = dict(zip(self.names, columns, strict=True))
        layout = check_layout(Samples(named.pop("layouts")[:1]).first.tobytes().decode(), self.layout)
        seen, given = Samples(images), {name: Samples(column) for name, column in named.items()}
        keys = given.pop("keys")
        keys = read_keys(keys.tensors()) if keys.integers is None else keys.integers
        epochs = self.epoch
        if "epoch" in given:
            column = given.pop("epoch")
            epochs = read_epochs(column.tensors() if column.integers is None else column.integers)
        if not seen.alike:
            self.task.decider.check(keys, len(keys))
        mine = {"images": seen, **given}
        if "images" not in self.painted:
            shape = (len(keys), *core_shape(tuple(seen.first.tolist()), layout))
            done = self._follow(shape, keys, epochs, _tensors(given))[1]
        elif seen.alike:
            done = self._paint(seen.batch, layout, keys, epochs, _tensors(given))
        else:
            done = self._paint_sizes(seen, layout, keys, epochs, given)
        if seen.alike:
            for name in self.painted:
                mine[name].give_back()
        shapes = (mine[name].shapes for name in self.painted)
        answer = [*map(to_capsules, shapes), *(to_capsules(done[name]) for name in self.outputs)]
        return tuple(answer) if len(answer) > 1 else answer[0]

    def _paint_sizes(
        self, seen: Samples, layout: str, keys: np.ndarray, epochs: Any, given: dict[str, Samples]
    ) -> dict[str, Any]:
        """Paint samples of several sizes, those of one size together."""
        results: dict[str, Any] = {name: [None] * len(seen) for name in self.outputs}
        for at in self.task.groups([image.shape for image in seen]):
            some: dict[str, Any] = {n: [torch.from_numpy(samples[b]) for b in at] for n, samples in given.items()}
            if "masks" in some:
                some["masks"] = one_tensor(some["masks"])
            batch = torch.from_numpy(np.stack([seen[b] for b in at]))
            done = self._paint(batch, layout, keys[at], epochs[at] if isinstance(epochs, np.ndarray) else epochs, some)
            for i, b in enumerate(at):
                seen[b][...] = batch[i].numpy()
                if "masks" in some:
                    given["masks"][b][...] = some["masks"][i].numpy()
                for name in self.outputs:
                    results[name][b] = done[name][i]
        return results

    def _paint(
        self, batch: Tensor, layout: str, keys: np.ndarray, epochs: Any, given: dict[str, Any]
    ) -> dict[str, Any]:
        """Paint samples of one size in place; the outputs."""
        x = channels_first(batch, layout)
        plan, done = self._follow(x.shape, keys, epochs, given, x)
        self.task.transform.apply(x, plan, inplace=True)
        return done

    def _follow(
        self, shape: tuple[int, ...], keys: np.ndarray, epochs: Any, given: dict[str, Any], x: Tensor | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The plan of samples of one size, and the outputs; masks are painted in place."""
        once = "images" in self.painted  # else DALI's operators ask for the same plan
        plan = self.task.plan(keys, epochs, shape, given, x, once)
        done = self.task.follow(plan, shape, given)
        if "masks" in given:
            annotate.paint_masks(self.task.transform, plan, spatial(one_tensor(given["masks"]), shape))
        return plan, done


def _tensors(given: dict[str, Samples]) -> dict[str, Any]:
    return {name: samples.tensors() for name, samples in given.items()}
