"""Keys and epochs that ride beside the images as data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from augdrop.errors import fail
from augdrop.keys import key_of


def read_keys(values: Tensor | list[Tensor]) -> np.ndarray:
    """One key a sample, int64 ``[B]``: integers, or names (uint8 strings as DALI has them) by `augdrop.key_of`.

    Example:
        >>> read_keys([torch.tensor([5]), torch.tensor(6)]).tolist()
        [5, 6]
    """
    if len(values) and values[0].dtype == torch.uint8 and values[0].ndim == 1 and len(values[0]) > 1:
        return np.array([key_of(v.numpy().tobytes()) for v in values], np.int64)
    return _integers("keys", values)


def read_epochs(values: Tensor | list[Tensor] | np.ndarray) -> np.ndarray:
    """One epoch a sample, int64 ``[B]``."""
    epochs = values if isinstance(values, np.ndarray) else _integers("epoch", values)
    if len(epochs) and not (epochs.min() >= 0 and epochs.max() < 1 << 32):
        raise fail("to_dali: epoch", got=epochs.min(), expected="0 to 2**32 - 1", fix="Count epochs from 0.")
    return epochs


def _integers(what: str, values: Tensor | list[Tensor]) -> np.ndarray:
    for value in values if isinstance(values, list) else values[:1]:
        if value.numel() != 1 or value.is_floating_point() or value.dtype == torch.bool:
            raise fail(
                f"to_dali: {what}",
                got=f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)} for a sample",
                expected="one integer" + (", or a name as uint8 string" if what == "keys" else ""),
                fix="Name samples by their number in the data set." if what == "keys" else "Count epochs from 0.",
            )
    if isinstance(values, list):
        return np.array([int(v) for v in values], np.int64)
    return values.flatten().numpy().astype(np.int64)
