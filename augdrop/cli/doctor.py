"""``augdrop doctor``: what is installed, and what works on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

import numba
import torch

import augdrop
from augdrop.kernels.dispatch import apply, backends, use_backend

_NEEDED = ("torch", "torchvision", "numpy", "scipy", "numba", "pillow")
_NO_ECOSYSTEM = ("all", "bench", "demo", "dev", "test")
"""Extras that stand for tasks, or for all ecosystems together."""


def add_to(commands: Any) -> None:
    """Add the command's part to the parser."""
    sub = commands.add_parser(
        "doctor", help="what is installed, and what works here", description=(__doc__ or "").partition(": ")[2]
    )
    sub.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print it; 0 if all that is needed works, else 1."""
    _print("augdrop", augdrop.__version__)
    _print("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in _NEEDED:
        _print(name, version(name))
    print("\nEcosystems")
    if not (ecosystems := _ecosystems()):
        _print("augdrop", "runs from its source folder, without a list of extras; pip install -e .")
    for extra, package in ecosystems:
        try:
            _print(package, version(package))
        except PackageNotFoundError:
            _print(package, f"not installed; pip install 'augdrop[{extra}]'")
    print("\nMachine")
    _print("cores", str(os.cpu_count()))
    _print("threads", f"{torch.get_num_threads()} (torch's setting, which the kernels follow)")
    cuda = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "none"
    _print("CUDA", f"{cuda} (torch built for {torch.version.cuda or 'none'})")
    cache, ok = _cache()
    _print("numba cache", cache)
    print("\nBackends")
    for name in backends():
        problem = _try(name)
        ok = ok and problem is None
        _print(name, problem or "works: erasing, noise, a rotated grid and a mix, equal to the definition")
    print("\nAll is well." if ok else "\nSomething is amiss; see above.")
    return 0 if ok else 1


def _print(name: str, what: str) -> None:
    print(f"  {name:<24} {what}")


def _ecosystems() -> list[tuple[str, str]]:
    """Extras and the first package of each, from our own metadata."""
    found: dict[str, str] = {}
    try:
        lines = metadata("augdrop").get_all("Requires-Dist") or []
    except PackageNotFoundError:
        return []
    for line in lines:
        match = re.match(r"""([\w.-]+).*;.*extra == ['"]([\w-]+)['"]""", line)
        if match and match[2] not in _NO_ECOSYSTEM:
            found.setdefault(match[2], match[1])
            if match[1] == match[2]:
                found[match[2]] = match[1]
    return sorted(found.items())


def _cache() -> tuple[str, bool]:
    """Where compiled kernels are kept, and whether they can be."""
    own = Path(augdrop.__file__).parent / "kernels" / "__pycache__"
    folders = [Path(numba.config.CACHE_DIR)] if numba.config.CACHE_DIR else [own, Path.home() / ".cache" / "numba"]  # type: ignore[attr-defined]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return f"{folder}, writable", True
        except OSError:
            continue
    return f"{folders[0]}, not writable: set NUMBA_CACHE_DIR, or each process compiles anew", False


def _try(backend: str) -> str | None:
    """What goes wrong when a backend paints a small batch, or None."""
    x = torch.arange(4 * 3 * 32 * 32, dtype=torch.int64).remainder(251).to(torch.uint8).view(4, 3, 32, 32)
    device = "cuda" if backend == "cuda" and torch.cuda.is_available() else "cpu"
    for t in (
        augdrop.Cutout(8, seed=0),
        augdrop.RandomErasing(p=1.0, seed=0),
        augdrop.GridMask((8, 16), seed=0),
        augdrop.CutMix(seed=0),
    ):
        plan = t.plan(x.shape, keys=range(4))
        try:
            with use_backend("reference"):
                expected = apply(x, plan)
            with use_backend(backend):
                painted = apply(x.to(device), plan).cpu()
        except Exception as error:  # whatever it is, telling it is what a doctor is for
            return f"{type(t).__name__} fails: {type(error).__name__}: {error}"
        if not torch.equal(painted, expected):
            return f"{type(t).__name__} differs from the definition in {int((painted != expected).sum())} values"
    return None
