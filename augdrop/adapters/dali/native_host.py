"""Host: small arrays from our own code for DALI's operators, once a batch, in a graph or between dynamic mode's calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from nvidia.dali.pipeline import do_not_convert
from torch import Tensor

from augdrop.adapters.dali.layouts import channels_first, stacked
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans

DTYPES = ("uint8", "int16", "int32", "int64", "float16", "float32")
"""What both DALI's erase and the core paint."""


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
        return channels_first(stacked(self.samples), self.layout)

    def along(self, values: np.ndarray, axes: str) -> np.ndarray:
        """``values [B, ...]``, whose further axes are ``axes`` (of FHWC), as samples that broadcast over the layout."""
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
        given: ``keys`` and, if there are any, ``epochs`` (nodes or one integer), ``scores`` and ``boxes``.
    """

    def __init__(self, ops: Any, layout: str, decider: Callable[..., Plan | Plans], given: dict[str, Any]) -> None:
        self.ops, self.layout, self.decider = ops, layout, decider
        self.graph = hasattr(ops, "python_function")
        self.epoch = given["epochs"] if isinstance(given.get("epochs"), (int, type(None))) else None
        self.given = {name: _on_host(v) for name, v in given.items() if v is not None and not isinstance(v, int)}

    def call(
        self, recipe: Recipe, n: int, images: Any, path: tuple[int, ...], *, dtype: bool = False, pixels: bool = False
    ) -> list[Any]:
        """The ``n`` outputs of a recipe, on the CPU.

        Args:
            images: what is to be painted.
            path: which member's plan, from the outermost composition inwards.
            dtype: does the recipe need the images' dtype? On GPU graphs one element of each is fetched for it.
            pixels: does it need the images themselves? On GPU graphs they are fetched.
        """
        inputs = dict(self.given)
        if not on_gpu(images) or pixels:
            inputs["images"] = _on_host(images)
        else:
            inputs["shapes"] = images.shape() if self.graph else [np.array(shape) for shape in images.shape]
            if dtype:
                axes = list(range(len(self.layout)))
                inputs["element"] = self.ops.slice(
                    images, start=[0] * len(axes), shape=[1] * len(axes), axes=axes
                ).cpu()
        names, gpu = list(inputs), on_gpu(images)

        def run(*columns: list[np.ndarray]) -> Any:
            made = recipe(self._batch(dict(zip(names, columns, strict=True)), path, gpu))
            lists = tuple([np.asarray(a) for a in arrays] for arrays in made)
            return lists if n > 1 else lists[0]

        if self.graph:
            made = self.ops.python_function(
                *inputs.values(), function=do_not_convert(run), num_outputs=n, batch_processing=True
            )
            return list(made) if n > 1 else [made]
        made = run(*(_arrays(v) for v in inputs.values()))
        return [self.ops.as_batch(arrays) for arrays in (made if n > 1 else [made])]

    def place(self, array: Any, images: Any) -> Any:
        """An output of `call` as a positional input: in the images' layout, where they are."""
        array = self.ops.reinterpret(array, layout=self.layout)
        return array.gpu() if on_gpu(images) else array

    def _batch(self, inputs: dict[str, list[np.ndarray]], path: tuple[int, ...], gpu: bool) -> Batch:
        samples, elements = inputs.get("images"), inputs.get("element", inputs.get("images"))
        shapes = {s.shape for s in samples} if samples else {tuple(int(n) for n in s) for s in inputs["shapes"]}
        if len(shapes) > 1:
            raise fail(
                "to_dali: images",
                got=f"samples of shapes {', '.join(map(str, sorted(shapes)[:3]))}",
                expected="one size for all samples of a batch on route='native'",
                fix="Resize or crop them before, or choose route='kernel'.",
            )
        shape, dtype = shapes.pop(), None
        if elements:
            name = elements[0].dtype.name
            if name not in DTYPES:
                raise fail(
                    "to_dali: images", got=f"{name} images", expected=", ".join(DTYPES) + " on route='native'",
                    fix="Cast them, or choose route='kernel'.",
                )  # fmt: skip
            dtype = getattr(torch, name)
        keys = np.concatenate([np.ravel(k) for k in inputs["keys"]])
        epochs = np.concatenate([np.ravel(e) for e in inputs["epochs"]]) if "epochs" in inputs else self.epoch
        more: dict[str, Any] = {}
        if "scores" in inputs:
            more["scores"] = torch.from_numpy(np.stack([s.reshape(s.shape[-2:]) for s in inputs["scores"]]))
        if "boxes" in inputs:
            more["boxes"] = [torch.from_numpy(np.array(b)) for b in inputs["boxes"]]
        sides = dict(zip(self.layout, shape, strict=True))
        canvas = tuple(sides[axis] for axis in "FCHW" if axis in sides)
        plan: Any = self.decider(keys, epochs, (len(keys), *canvas), **more)
        for i in path:
            plan = plan.plans[i]
        return Batch(plan, len(keys), self.layout, shape, dtype, samples, gpu)


def on_gpu(images: Any) -> bool:
    """Are the samples of a node, or of a batch of dynamic mode, on a GPU?"""
    return "gpu" in str(images.device)


def _on_host(value: Any) -> Any:
    return value.cpu() if hasattr(value, "cpu") and on_gpu(value) else value


def _arrays(values: Any) -> list[np.ndarray]:
    """Samples of a batch of dynamic mode, or of a list, a tensor or an array, as arrays."""
    return [np.asarray(v) for v in getattr(values, "tensors", values)]
