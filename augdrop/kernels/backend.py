"""Which backend paints: the one for an image's device, unless a test or a doubter asks for another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from augdrop.errors import fail, nearest
from augdrop.kernels import gpus

_forced: str | None = None


def backends() -> tuple[str, ...]:
    """The backends that work on this machine, the definition first."""
    return ("reference", "cpu", "cuda") if gpus.available() else ("reference", "cpu")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Make every `apply` in the block use one backend: ``"reference"``, ``"cpu"`` or ``"cuda"``.

    Images on a device that the backend does not know go to the reference. Under ``TRITON_INTERPRET=1`` the kernels of
    ``"cuda"`` run in Triton's interpreter, on images of the CPU.
    """
    global _forced
    if name not in backends():
        raise fail("use_backend", got=repr(name), expected="a backend", fix=nearest(name, backends()))
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def forced() -> str | None:
    """The backend that `use_backend` asks for."""
    return _forced


def on_gpu(x: Tensor) -> bool:
    """Whether ``x`` is for the CUDA backend."""
    if _forced == "cuda" and x.is_cpu:
        return gpus.interpreted() and gpus.fits(x)
    return _forced in (None, "cuda") and gpus.supports(x)


def takes(x: Tensor) -> bool:
    """Whether the kernels for GPUs take ``x`` where its size does not matter: labels and tokens have 64-bit offsets."""
    if _forced not in (None, "cuda") or x.layout is not torch.strided:
        return False
    return gpus.usable(x.device) if x.is_cuda else _forced == "cuda" and gpus.interpreted()
