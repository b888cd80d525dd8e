"""Keys and epochs that ride beside the images as data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from augdrop.errors import fail
from augdrop.keys import key_of


def read_keys(samples: Sequence[np.ndarray]) -> np.ndarray:
    """One key a sample, int64 ``[B]``: integers, or names (uint8 strings as DALI has them) by `augdrop.key_of`.

    Example:
        >>> read_keys([np.array([5]), np.array([6])]).tolist()
        [5, 6]
    """
    if all(s.dtype == np.uint8 and s.ndim == 1 and s.size > 1 for s in samples):
        return np.array([key_of(s.tobytes()) for s in samples], np.int64)
    return _integers("keys", samples)


def read_epochs(samples: Sequence[np.ndarray]) -> np.ndarray:
    """One epoch a sample, int64 ``[B]``."""
    epochs = _integers("epoch", samples)
    if (epochs < 0).any() or (epochs >= 1 << 32).any():
        raise fail("to_dali: epoch", got=epochs.min(), expected="0 to 2**32 - 1", fix="Count epochs from 0.")
    return epochs


def _integers(what: str, samples: Sequence[np.ndarray]) -> np.ndarray:
    wrong = [s for s in samples if s.size != 1 or s.dtype.kind not in "iu"]
    if wrong:
        raise fail(
            f"to_dali: {what}",
            got=f"{wrong[0].dtype} of shape {wrong[0].shape} for a sample",
            expected="one integer" + (", or a name as uint8 string" if what == "keys" else ""),
            fix="Name samples by their number in the data set." if what == "keys" else "Count epochs from 0.",
        )
    return np.array([s.item() for s in samples], np.int64)
