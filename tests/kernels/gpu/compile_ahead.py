"""Compile the GPU kernels for GPUs that are not there, and say what came out: one JSON line.

The package itself makes the launches, on tensors of the CPU; they are caught before they start, and each is compiled
as the launch would have it. Run without ``TRITON_INTERPRET``:

    python -m tests.kernels.gpu.compile_ahead          what the test checks
    python -m tests.kernels.gpu.compile_ahead --all    every variant for every architecture
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from tests.kernels.gpu import launches

ARCHITECTURES = (80, 90, 100)
_CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
_GLOBAL = re.compile(r"\b(ld|st)\.(?:\w+\.)*?global\.(?:[\w:]+\.)*?(?:(v[248])\.)?[bsuf](\d+)\b")


class Launch(NamedTuple):
    """A launch that was caught."""

    case: str
    wide: str
    kernel: Any
    args: tuple[Any, ...]
    options: dict[str, Any]


class Job(NamedTuple):
    """A launch to compile for an architecture."""

    launch: Launch
    architecture: int


_todo: list[Job] = []
"""What the forked processes find here: a launch cannot be sent to them."""


@contextmanager
def caught() -> Iterator[list[tuple[Any, tuple[Any, ...], dict[str, Any]]]]:
    """In the block, launches are noted and not made."""
    found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    run = JITFunction.run

    def note(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append((self, args, options))

    JITFunction.run = note  # type: ignore[method-assign,assignment]
    try:
        yield found
    finally:
        JITFunction.run = run  # type: ignore[method-assign]


def source(launch: Launch, architecture: int) -> tuple[ASTSource, GPUTarget, dict[str, Any]]:
    """What Triton compiles for a launch: its types, its constants, and what it knows of its arguments."""
    target = GPUTarget("cuda", architecture, 32)
    backend, kernel = make_backend(target), launch.kernel
    options = launch.options | {"debug": False, "instrumentation_mode": ""}
    binder = create_function_from_signature(kernel.signature, kernel.params, backend)
    bound, specialization, _ = binder(*launch.args, **options)
    parsed, signature, constants, attributes = kernel._pack_args(backend, options, bound, specialization, None)
    return ASTSource(kernel, signature, constants, attributes), target, parsed.__dict__


def compiled(number: int) -> dict[str, Any]:
    """What one of `_todo` is on its architecture; ``error`` if it is nothing."""
    job = _todo[number]
    launch = job.launch
    about = {"case": launch.case, "wide": launch.wide, "kernel": launch.kernel.__name__, "sm": job.architecture}
    try:
        src, target, options = source(launch, job.architecture)
        binary = triton.compile(src, target=target, options=options)
    except Exception as error:
        return about | {"error": f"{type(error).__name__}: {error}"[:2000]}
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [_CUOBJDUMP, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    numbers = {name.lower(): int(n) for name, n in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    widths: dict[str, list[int]] = {"ld": [], "st": []}
    for what, many, bits in _GLOBAL.findall(binary.asm["ptx"]):
        widths[what].append(int(many[1:] or 1) * int(bits) if many else int(bits))
    return about | numbers | {what: {w: found.count(w) for w in sorted(set(found))} for what, found in widths.items()}


def jobs(everything: bool) -> list[Job]:
    """Each launch that is unlike the others, for each architecture that it is compiled for."""
    seen: dict[tuple[Any, ...], Job] = {}
    for case in launches.cases():
        with caught() as found:
            case.run()
        for kernel, args, options in found:
            launch = Launch(case.name, case.wide, kernel, args, options)
            for architecture in ARCHITECTURES:
                if everything or architecture == 90 or case.everywhere:
                    key = (architecture, source(launch, architecture)[0].hash(), str(sorted(options.items())))
                    seen.setdefault(key, Job(launch, architecture))
    return list(seen.values())


def main() -> None:
    """Compile in as many processes as there are cores."""
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("Unset TRITON_INTERPRET: what is interpreted is not compiled.")
    _todo.extend(jobs("--all" in sys.argv))
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        print(json.dumps(pool.map(compiled, range(len(_todo)), chunksize=1)))


if __name__ == "__main__":
    main()
