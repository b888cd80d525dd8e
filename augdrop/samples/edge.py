"""The edge: images, masks and boxes as callers have them, and the plain tensors that the library works on."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torchvision import tv_tensors

from augdrop.errors import fail

KeyPoints: Any = getattr(tv_tensors, "KeyPoints", ())
"""torchvision's keypoints; an empty tuple, which nothing is an instance of, before torchvision 0.23."""

MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I", "F")
"""The PIL modes of images: those whose values can be painted as they are."""

_UINT16 = np.dtype(np.uint16)  # to compare dtypes with a type makes a dtype of it each time


def is_plain(leaf: Any) -> bool:
    """Is it a tensor that says nothing but its values? A fake one, which has only a shape, stands for one."""
    return type(leaf) is Tensor or type(leaf) is FakeTensor


def to_plain(leaf: Any) -> Tensor:
    """A plain tensor with the values of a tensor, array, PIL mask, number or list of numbers; a view where possible."""
    if is_plain(leaf):
        return leaf
    if isinstance(leaf, Tensor):
        return leaf.as_subclass(Tensor)
    if isinstance(leaf, PIL.Image.Image):
        leaf = np.array(leaf)
    if isinstance(leaf, np.ndarray):
        return _from_array(leaf)
    return torch.as_tensor(leaf)


def like(value: Tensor, leaf: Any) -> Any:
    """``value`` as what ``leaf`` is: a tv_tensor with its metadata, an array, a PIL mask, or else a tensor."""
    if isinstance(leaf, tv_tensors.TVTensor):
        return tv_tensors.wrap(value, like=leaf)  # pyright: ignore[reportCallIssue]
    if isinstance(leaf, np.ndarray):
        array = value.numpy()
        # Values that torch has no dtype for went as wider ones; all others may have become soft labels, say.
        return array.astype(leaf.dtype) if leaf.dtype == _UINT16 and array.dtype == np.int32 else array
    if isinstance(leaf, PIL.Image.Image):
        return _to_pil(value.numpy(), leaf)
    return value


def is_copy(image: Tensor, leaf: Any) -> bool:
    """Has `to_image` copied the pixels of ``leaf``?"""
    return not isinstance(leaf, Tensor) and not (
        isinstance(leaf, np.ndarray) and np.may_share_memory(image.numpy(), leaf)
    )


def to_image(leaf: Any) -> Tensor:
    """An image leaf as a plain tensor ``[..., C, H, W]``: arrays lose H×W×C for it, PIL images their alpha channel."""
    if isinstance(leaf, PIL.Image.Image):
        if leaf.mode not in MODES:
            raise fail("image", got=f"PIL mode {leaf.mode}", expected=", ".join(MODES), fix="Use image.convert('RGB').")
        array = np.array(leaf)
        array = array[..., None] if array.ndim == 2 else array
        colours = array.shape[-1] - leaf.mode.endswith("A")
        return _from_array(np.ascontiguousarray(array[..., :colours])).movedim(-1, -3)
    if isinstance(leaf, np.ndarray):
        if leaf.ndim < 3:
            raise fail(
                "image",
                got=f"an array {leaf.shape}",
                expected="H×W×C",
                fix="Add a channel axis to a grey image: array[..., None].",
            )
        return _from_array(leaf).movedim(-1, -3)
    return to_plain(leaf)


def like_image(painted: Tensor, leaf: Any) -> Any:
    """A painted image as the kind of thing that ``leaf`` is, with the alpha channel of a PIL image."""
    if isinstance(leaf, np.ndarray):
        return like(painted.movedim(-3, -1), leaf)
    if isinstance(leaf, PIL.Image.Image):
        array = painted.movedim(-3, -1).numpy()
        if leaf.mode.endswith("A"):
            array = np.concatenate([array, np.asarray(leaf)[..., -1:]], -1)
        return _to_pil(array[..., 0] if array.shape[-1] == 1 else array, leaf)
    return like(painted, leaf)


def _from_array(array: np.ndarray) -> Tensor:
    if array.dtype == _UINT16:
        array = array.astype(np.int32)
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError):  # of another byte order
        raise fail("array", got=array.dtype, expected="a dtype that torch has", fix="Convert it first.") from None


def _to_pil(array: np.ndarray, leaf: PIL.Image.Image) -> PIL.Image.Image:
    array = np.ascontiguousarray(array)
    if leaf.mode == "I;16":
        array = array.astype(np.uint16)
    image = PIL.Image.fromarray(array)
    if image.mode != leaf.mode:
        # A palette mask's numbers are grey values to PIL; they go back as they are.
        image = PIL.Image.frombytes(leaf.mode, leaf.size, array.tobytes())
    if leaf.mode == "P":
        image.putpalette(leaf.getpalette() or [])
    image.info = dict(leaf.info)
    return image


def check_geometry(leaf: Any, size: tuple[int, int], where: str) -> None:
    """Raise for a tv_tensor of another canvas than ``size = (H, W)``."""
    canvas = getattr(leaf, "canvas_size", size)
    if tuple(canvas) != tuple(size):
        raise fail(
            where,
            got=f"canvas_size {tuple(canvas)}",
            expected=f"{tuple(size)}, the image's size",
            fix="Resize image and annotations together.",
        )
