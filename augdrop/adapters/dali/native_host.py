"""Host: small arrays from our own code for DALI's operators, once a batch, in a graph or in dynamic mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from nvidia.dali.pipeline import do_not_convert
from torch import Tensor

from augdrop.adapters.dali.keys import read_epochs, read_keys
from augdrop.adapters.dali.layouts import channels_first, check_layout, core_shape
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans

DTYPES = ("uint8", "int16", "int32", "int64", "float16", "float32")
"""What both DALI's erase and the core paint."""

GIVEN = ("keys", "epochs", "scores", "boxes")
"""What decisions are made of."""


class Batch(NamedTuple):
    """What our own code knows of a batch.

    Args:
        plan: of one method, or of a composition inside another.
        count: samples.
        layout, shape: of a sample: ``"HWC"`` and ``(224, 224, 3)``.
        dtype: of the samples; None on GPU graphs where it was not asked for.
        samples: their pixels; None on GPU graphs where they were not asked for.
        gpu: are the images on a GPU?
    """

    plan: Any
    count: int
    layout: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    samples: list[np.ndarray] | None
    gpu: bool

    @property
    def frames(self) -> int:
        """Regions of a sample: 1, or as many as frames."""
        return len(self.plan.hit) // self.count

    @property
    def channels(self) -> int:
        return self.shape[self.layout.index("C")]

    def images(self) -> Tensor:
        """The pixels as the core wants them, ``[B, C, H, W]`` or ``[B, T, C, H, W]``."""
        assert self.samples is not None
        return channels_first(torch.from_numpy(np.stack(self.samples)), self.layout)

    def along(self, values: np.ndarray, axes: str) -> np.ndarray:
        """``values [B, ...]``, whose further axes are ``axes`` (of FHWC), as samples that broadcast over the layout.

        All samples of a batch have to broadcast alike: DALI 2.4 looks at the first, and reads past the end of others.
        """
        found = [axes.index(axis) for axis in self.layout if axis in axes]
        values = values.transpose(0, *(1 + i for i in found))
        sides = iter(values.shape[1:])
        return values.reshape(len(values), *(next(sides) if axis in axes else 1 for axis in self.layout))


Recipe = Callable[[Batch], Sequence[Sequence[np.ndarray] | np.ndarray]]
"""What to work out for a batch: some outputs, each of one array a sample."""


class Host:
    """Asks the decider for each batch's plan, and hands what recipes make of it to DALI's operators.

    Args:
        ops: ``nvidia.dali.fn``, whose ``python_function`` runs recipes when the graph runs; or the dynamic module,
            where they run at once.
        layout: of the images, or None to read it off them.
        images: of which the layout is read, and checked if it was declared.
        given: those of `GIVEN` that there are; ``epochs`` may be one integer, or None.
    """

    def __init__(
        self, ops: Any, layout: str | None, decider: Callable[..., Plan | Plans], images: Any, given: dict[str, Any]
    ) -> None:
        self.ops, self.layout, self.decider = ops, layout, decider
        self.graph = hasattr(ops, "python_function")
        self.given = {name: _on_host(v) for name, v in given.items() if v is not None and not isinstance(v, int)}
        self.epoch = None if "epochs" in self.given else given["epochs"]
        if not self.graph:
            self.layout = check_layout(images.layout, layout)
        elif layout is None or not on_gpu(images):
            self.given["layouts"] = _on_host(ops.get_property(images, key="layout"))

    def call(
        self, recipe: Recipe, n: int, images: Any, path: tuple[int, ...], *, dtype: bool = False, pixels: bool = False
    ) -> list[Any]:
        """The ``n`` outputs of a recipe, on the CPU.

        Args:
            images: what is to be painted.
            path: which member's plan, from the outermost composition inwards.
            dtype: does the recipe need the images' dtype? On GPU graphs a few elements are fetched for it.
            pixels: does it need the images themselves? On GPU graphs they are fetched.
        """
        inputs, gpu = dict(self.given), on_gpu(images)
        if pixels or not gpu:
            inputs["images"] = _on_host(images)
        else:
            inputs["shapes"] = images.shape() if self.graph else [np.array(shape) for shape in images.shape]
            if dtype:
                inputs["elements"] = self.ops.slice(images, start=[0, 0], shape=[1, 1], axes=[0, 1]).cpu()
        names = list(inputs)

        def run(*columns: list[np.ndarray]) -> Any:
            made = recipe(self._batch(dict(zip(names, columns, strict=True)), path, gpu))
            lists = tuple([np.asarray(a) for a in arrays] for arrays in made)
            return lists if n > 1 else lists[0]

        if self.graph:
            run = do_not_convert(run)
            made = self.ops.python_function(*inputs.values(), function=run, num_outputs=n, batch_processing=True)
            return list(made) if n > 1 else [made]
        made = run(*(_arrays(v) for v in inputs.values()))
        return [self.ops.as_batch(arrays) for arrays in (made if n > 1 else [made])]

    def _batch(self, inputs: dict[str, list[np.ndarray]], path: tuple[int, ...], gpu: bool) -> Batch:
        layout, samples = self.layout, inputs.get("images")
        if "layouts" in inputs:
            layout = check_layout(inputs["layouts"][0].tobytes().decode(), layout)
        assert layout is not None
        shapes = {s.shape for s in samples} if samples else {tuple(s.tolist()) for s in inputs["shapes"]}
        shape = shapes.pop()
        if shapes or len(shape) != len(layout):
            raise fail(
                "to_dali: images",
                got=f"samples of shapes {shape}, {', '.join(map(str, shapes))}".rstrip(", "),
                expected=f"one size for all samples of a batch on route='native', in layout {layout}",
                fix="Resize or crop them before, or choose route='kernel'.",
            )
        core_shape(shape, layout)
        dtype = None
        if elements := inputs.get("elements", samples):
            if elements[0].dtype.name not in DTYPES:
                raise fail(
                    "to_dali: images",
                    got=f"{elements[0].dtype} images",
                    expected=f"{', '.join(DTYPES)} on route='native'",
                    fix="Cast them, or choose route='kernel'.",
                )
            dtype = getattr(torch, elements[0].dtype.name)
        return Batch(self._plan(inputs, layout, shape, path), len(inputs["keys"]), layout, shape, dtype, samples, gpu)

    def _plan(self, inputs: dict[str, list[np.ndarray]], layout: str, shape: tuple[int, ...], path: Any) -> Any:
        sides = dict(zip(layout, shape, strict=True))
        data = {name: [torch.from_numpy(v) for v in inputs[name]] for name in GIVEN if name in inputs}
        keys, more = read_keys(data["keys"]), {}
        epochs = read_epochs(data["epochs"]) if "epochs" in data else self.epoch
        if "scores" in data:
            more["scores"] = torch.stack([s.reshape(s.shape[-2:]).float() for s in data["scores"]])
        if "boxes" in data:
            more["boxes"] = data["boxes"]
        plan: Any = self.decider(keys, epochs, (len(keys), *(sides[axis] for axis in "FCHW" if axis in sides)), **more)
        for i in path:
            plan = plan.plans[i]
        return plan


def place(array: Any, images: Any) -> Any:
    """An output of `Host.call` as a positional input of operators: where the images are."""
    return array.gpu() if on_gpu(images) else array


def on_gpu(images: Any) -> bool:
    """Are the samples of a node, or of a batch of dynamic mode, on a GPU?"""
    return "gpu" in str(images.device)


def _on_host(value: Any) -> Any:
    return value.cpu() if hasattr(value, "device") and on_gpu(value) else value


def _arrays(values: Any) -> list[np.ndarray]:
    """Samples of a batch of dynamic mode, or of a list, a tensor or an array, as arrays."""
    return [np.asarray(v) for v in getattr(values, "tensors", values)]
