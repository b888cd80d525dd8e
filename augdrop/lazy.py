"""Tensors that are made when they are first asked for: a plan is drawn as NumPy arrays, most of which nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

_new, _set = object.__new__, object.__setattr__


class Lazy:
    """A base of dataclasses with tensor fields, which may be made of arrays: a tensor costs several times as much."""

    @classmethod
    def drawn(cls, arrays: dict[str, np.ndarray | Callable[[], np.ndarray] | None], **fields: Any) -> Self:
        """One of these whose tensors share the memory of ``arrays``, or of what these return when first asked for.

        ``fields`` are what else it has.

        Example:
            >>> from augdrop.regions import Boxes
            >>> Boxes.drawn({"boxes": np.array([[[0, 0, 2, 3]]])}, size=(4, 4)).boxes
            tensor([[[0, 0, 2, 3]]])
        """
        self = _new(cls)
        fields["_drawn"] = arrays
        _set(self, "__dict__", fields)
        return self

    if not TYPE_CHECKING:  # for a type checker the fields are there

        def __getattr__(self, name: str) -> Any:
            try:
                array = _drawn(self.__dict__["_drawn"], name)
            except KeyError:
                raise AttributeError(f"{type(self).__name__} has no {name!r}") from None
            self.__dict__[name] = tensor = None if array is None else torch.from_numpy(array)
            return tensor

    def arrays(self, *names: str) -> list[np.ndarray] | None:
        """Tensors of these names as the arrays that they share memory with; None if they are on a device."""
        drawn = self.__dict__.get("_drawn")
        if drawn is not None:
            return [_drawn(drawn, name) for name in names]
        tensors = [getattr(self, name) for name in names]
        return [tensor.numpy() for tensor in tensors] if tensors[0].is_cpu else None

    def __getstate__(self) -> dict[str, Any]:
        tensors = {name: getattr(self, name) for name in self.__dict__.get("_drawn", ())}
        return {name: value for name, value in self.__dict__.items() if name != "_drawn"} | tensors


def _drawn(arrays: dict[str, Any], name: str) -> Any:
    array = arrays[name]
    if callable(array):
        array = arrays[name] = array()
    return array
