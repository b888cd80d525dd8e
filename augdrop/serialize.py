"""Small dataclasses of tensors and numbers as JSON, and back; a file can only name classes that the reader lists."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augdrop.errors import fail, nearest

_READABLE = 4096
"""Elements up to which an array is written as plain numbers; longer ones as compressed bytes."""


def encode(value: Any) -> Any:
    """A JSON-ready form of numbers, strings, tuples, tensors, and dataclasses of these."""
    if isinstance(value, Tensor):
        if value.dtype == torch.bfloat16:  # which NumPy has not
            return encode(value.detach().view(torch.int16)) | {"dtype": "bf16"}
        array = value.detach().cpu().contiguous().numpy()
        head = {"dtype": array.dtype.str.lstrip("<|="), "shape": list(array.shape)}
        if array.size <= _READABLE and array.dtype != bool:
            return head | {"data": array.ravel().tolist()}
        raw = np.packbits(array) if array.dtype == bool else array.astype(array.dtype.newbyteorder("<"))
        return head | {"zlib": base64.b64encode(zlib.compress(raw.tobytes(), 6)).decode()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__} | fields
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    return value


def decode(value: Any, kinds: dict[str, type]) -> Any:
    """Read what `encode` wrote; lists come back as tuples, and only the dataclasses in ``kinds`` are built."""
    if isinstance(value, list):
        return tuple(decode(v, kinds) for v in value)
    if not isinstance(value, dict):
        return value
    if "dtype" in value:
        try:
            return _array(value)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            got = f"{str(value)[:60]} ({error})"
            raise fail("saved file: array", got=got, expected="a whole one", fix="Save it again.") from None
    name = value.get("type", "")
    if name not in kinds:
        raise fail("saved file: type", got=repr(name), expected="a known class", fix=nearest(str(name), kinds))
    return kinds[name](**{k: decode(v, kinds) for k, v in value.items() if k != "type"})


def _array(value: dict[str, Any]) -> Tensor:
    if value["dtype"] == "bf16":
        return _array(value | {"dtype": "i2"}).view(torch.bfloat16)
    dtype, shape = np.dtype(value["dtype"]), tuple(value["shape"])
    if "data" in value:
        return torch.from_numpy(np.array(value["data"], dtype).reshape(shape))
    raw = zlib.decompress(base64.b64decode(value["zlib"]))
    if dtype.kind == "b":
        count = int(np.prod(shape))
        return torch.from_numpy(np.unpackbits(np.frombuffer(raw, np.uint8), count=count).astype(bool).reshape(shape))
    return torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())
