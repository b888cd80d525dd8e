"""What the numbers were measured on, and with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

LIBRARIES = (
    *("augdrop", "torch", "numpy", "numba", "pillow"),
    *("torchvision", "kornia", "timm", "albumentations", "opencv-python-headless", "paraug", "nvidia-dali-cuda120"),
)


def describe() -> dict[str, Any]:
    """The machine, its load before the run, and the versions of all that takes part."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load at the start": None if load is None else round(load, 2),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in LIBRARIES},
    }


def version(library: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    if library == "augdrop":
        import augdrop

        return augdrop.__version__
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
