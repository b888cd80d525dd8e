"""AugDrop inside other libraries' pipelines, against what these have of their own: one file a host."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from benchmarks.timing import Effort, Row

HOSTS = ("albumentations", "dali", "kornia", "timm")
"""The modules of this folder; each has ``rows(effort)``."""


def rows(effort: Effort, only: str | None = None) -> Iterator[Row]:
    """Every host; one that is not installed gets one row that says so."""
    for host in HOSTS:
        if only in (None, host):
            try:
                yield from importlib.import_module(f"benchmarks.hosts.{host}").rows(effort)
            except ImportError as error:
                yield Row("hosts", "–", peer=host, note=str(error))
