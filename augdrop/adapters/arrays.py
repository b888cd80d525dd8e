"""Arrays: any AugDrop transform on JAX, CuPy and NumPy arrays, and on all else that speaks DLPack."""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from augdrop.adapters.checks import check_distinct, check_layout, check_transform, named
from augdrop.checks import check_choice
from augdrop.errors import fail
from augdrop.samples import edge, roles
from augdrop.samples.tree import at, leaves, rebuild
from augdrop.transforms.base import Transform


class ArrayStage:
    """A transform on arrays; made by `to_arrays`."""

    def __init__(self, transform: Transform, layout: str) -> None:
        check_transform("to_arrays", transform)
        check_choice("to_arrays: layout", layout, ("NHWC", "NCHW"))
        self.transform, self.layout = transform, layout

    def __call__(self, *inputs: Any, keys: Any = None, epoch: Any = None, plan: Any = None, **given: Any) -> Any:
        """Transform images, or images and labels, or a sample of any structure; see `augdrop.Transform`.

        Args:
            inputs: arrays, or nested structures of them.
            keys: the samples' names: integers ``[B]``, an array of any kind; by default those of ``augdrop.keys``.
            epoch: one integer, or ``[B]``.
            plan: one to carry out again, from ``transform.plan``.
            given: what the method takes besides, score maps ``scores`` say.
        """
        keys, epoch = _numbers(keys), _numbers(epoch)
        root = inputs[0] if len(inputs) == 1 else inputs
        arrays = {path: leaf for path, leaf in leaves(root) if _is_array(leaf)}
        tensors = rebuild(root, {path: _to_tensor(leaf) for path, leaf in arrays.items()})
        with named("to_arrays"):
            if np.ndim(keys) == 1:
                check_distinct("keys", keys, "Number the samples.")
            images = {path for sample in roles.layout(tensors).images for path in sample if path in arrays}
            for path in images:
                check_layout("images", arrays[path].shape, self.layout)
            if self.layout == "NHWC":
                tensors = rebuild(tensors, {path: at(tensors, path).movedim(-1, -3) for path in images})
            out = self.transform(
                *(tensors if len(inputs) > 1 else (tensors,)),
                keys=keys,
                epoch=epoch,
                plan=plan,
                **{name: _to_tensor(value) if _is_array(value) else value for name, value in given.items()},
            )
        if self.layout == "NHWC":
            out = rebuild(out, {path: at(out, path).movedim(-3, -1) for path in images})
        # What the transform has added, flags of what is visible say, is of the images' kind.
        first = next((arrays[path] for path in arrays if path in images), None)
        return rebuild(
            out, {path: _like(v, arrays.get(path, first)) for path, v in leaves(out) if isinstance(v, Tensor)}
        )

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of calls that bring none."""
        self.transform.set_epoch(epoch)


def to_arrays(transform: Transform, layout: Literal["NHWC", "NCHW"] | str = "") -> ArrayStage:
    """Any AugDrop transform on JAX, CuPy and NumPy arrays: each comes back as it came, in type, dtype and device.

    Arrays are handed over by DLPack, without a copy; the result is a new array, so read-only ones (JAX's all are) will
    do. On a GPU nothing leaves it. An array's library must have ``from_dlpack``, and be imported, which it is if there
    is an array. NumPy and JAX on the CPU are tested; CuPy and JAX on a GPU go the same way, but have not been run.

    Args:
        transform: any, compositions too.
        layout: where the images' channels are, ``"NHWC"`` or ``"NCHW"``; single images ``HWC`` and videos ``NTHWC``
            likewise. It must be said.

    Returns:
        ``stage(images)``, ``stage(images, labels)`` or ``stage(sample)``, with ``keys=``, ``epoch=`` and ``plan=`` as
        the transform has them. Under ``jax.jit`` there are no values yet: call it on the input side, or in
        ``jax.pure_callback``.

    Raises:
        AugDropError: no layout, channels in the other place, an array without values, or bad labels and keys.

    Example:
        >>> import augdrop as ad
        >>> stage = ad.to_arrays(ad.CutMix(num_classes=3, seed=0), layout="NHWC")
        >>> x, y = stage(np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 2, 0]), keys=range(4))
        >>> x.shape, x.dtype, y.shape, y.dtype
        ((4, 32, 32, 3), dtype('uint8'), (4, 3), dtype('float32'))
    """
    return ArrayStage(transform, layout)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__dlpack__")


def _to_tensor(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, np.ndarray):
        return edge.to_plain(leaf)
    try:
        return torch.from_dlpack(leaf)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise fail(
            "to_arrays",
            got=f"{type(leaf).__name__} ({str(error).splitlines()[0]})",
            expected="an array with values on one device, of a dtype that DLPack has",
            fix="Call it outside of jit, or in jax.pure_callback.",
        ) from None


def _numbers(given: Any) -> Any:
    """Keys or epochs, which the host reads."""
    return _to_tensor(given).cpu().numpy() if _is_array(given) else given


def _like(value: Tensor, leaf: Any) -> Any:
    """``value`` as what ``leaf`` is."""
    if leaf is None or isinstance(leaf, (Tensor, np.ndarray)):
        return edge.like(value, leaf)
    # The array API's way to a library from its arrays; those that lack it are found by the module of the class.
    has_space = hasattr(leaf, "__array_namespace__")
    library = leaf.__array_namespace__() if has_space else sys.modules[type(leaf).__module__.partition(".")[0]]
    return library.from_dlpack(value)
