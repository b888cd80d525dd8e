"""Adapters: one file or folder an ecosystem; each takes any AugDrop transform, translates, and decides nothing.

Nothing is imported before it is used: `augdrop.to_kornia` imports kornia, and says how to install it if it is missing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augdrop.adapters.albumentations import to_albumentations as to_albumentations
    from augdrop.adapters.arrays import to_arrays as to_arrays
    from augdrop.adapters.dali import to_dali as to_dali
    from augdrop.adapters.huggingface import to_datasets as to_datasets
    from augdrop.adapters.huggingface import to_transformers as to_transformers
    from augdrop.adapters.kornia import to_kornia as to_kornia
    from augdrop.adapters.lightning import to_lightning as to_lightning
    from augdrop.adapters.ray import to_ray as to_ray
    from augdrop.adapters.timm import to_timm as to_timm
    from augdrop.adapters.webdataset import to_webdataset as to_webdataset

ADAPTERS = {
    "to_albumentations": "albumentations",
    "to_arrays": "arrays",
    "to_dali": "dali",
    "to_datasets": "huggingface",
    "to_kornia": "kornia",
    "to_lightning": "lightning",
    "to_ray": "ray",
    "to_timm": "timm",
    "to_transformers": "huggingface",
    "to_webdataset": "webdataset",
}
"""Each adapter, and the module of this package that holds it."""

__all__ = list(ADAPTERS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in ADAPTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{ADAPTERS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *ADAPTERS])
