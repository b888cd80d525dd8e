"""Compile the GPU kernels for GPUs that are not there, and say what came out: a line of JSON each.

The launchers themselves choose the variants, from tensors of the CPU; each is compiled as a launch would have it:

    python -m tests.kernels.gpu.compile_ahead              what the test checks, see `representative`
    python -m tests.kernels.gpu.compile_ahead --all 80 90  every variant, for these architectures
    python -m tests.kernels.gpu.compile_ahead --report     for people: what does not compile, spills or loads narrowly

Run it without ``TRITON_INTERPRET``.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from tests.kernels.gpu import image_launches, token_launches

ARCHITECTURES = (80, 90, 100)
_CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
_GLOBAL = re.compile(r"\b(ld|st)\.(?:\w+\.)*?global\.(?:[\w:]+\.)*?(?:v([248])\.)?[bsuf](\d+)\b")


class Job(NamedTuple):
    """A kernel as a launch would have it, to compile for an architecture; ``wide``: see `wide`."""

    name: str
    source: ASTSource
    options: dict[str, Any]
    wide: str
    architecture: int


_todo: list[Job] = []
"""What the forked processes find here: a kernel cannot be sent to them."""


def jobs(architecture: int, everything: bool) -> Iterator[Job]:
    """The variants for an architecture, each once."""
    backend, seen = make_backend(GPUTarget("cuda", architecture, 32)), set()
    images = (
        (name, partial(launch.run, torch.device("cpu")), wide(name)) for name, launch in image_launches.launches()
    )
    tokens = ((case.name, case.run, case.wide) for case in token_launches.cases())
    for name, run, vectors in itertools.chain(images, tokens):
        if not (everything or representative(name, architecture)):
            continue
        with _caught() as found:
            run()
        for kernel, args, given in found:
            bound, specialization, options = create_function_from_signature(kernel.signature, kernel.params, backend)(
                *args, **given
            )
            parsed, *rest = kernel._pack_args(backend, options, bound, specialization, options)
            source = ASTSource(kernel, *rest)
            key = source.hash() + parsed.hash()
            if key not in seen:
                seen.add(key)
                yield Job(name, source, parsed.__dict__, vectors, architecture)


def representative(name: str, architecture: int) -> bool:
    """Whether the test compiles a variant.

    For sm_90: every region and fill in planes and channels last, out of place, in place and chained, for one dtype;
    other strides for what only moves bytes; every dtype for boxes. For the others: every kernel, region and fill once,
    and every dtype once.
    """
    parts = name.split(", ")
    if len(parts) == 2:  # tokens and labels
        return architecture == 90 or parts[1] in ("int64", "2 bytes", "8 bytes", "torch.bfloat16", "sizes", "planes")
    if len(parts) == 3:  # means
        return architecture == 90 or parts[1] == "contiguous"
    region, fill, layout, dtype, where = parts
    usual = dtype == {"constant": "uint8", "mean": "uint8", "source": "uint8", "blend": "bfloat16"}.get(fill, "float32")
    first = (region, layout) == ("boxes", "contiguous")
    if architecture == 90:
        return (usual and (layout != "strided" or fill in ("constant", "source"))) or (first and where != "in place")
    return (first and (usual or fill in ("constant", "uniform", "uniform of 200"))) or (
        usual and layout == "contiguous" and fill == "constant"
    )


def wide(name: str) -> str:
    """What an image kernel does by vectors: "stores", "some stores" beside single elements, or nothing of the kind."""
    parts = name.split(", ")
    if len(parts) < 5 or parts[2] in ("strided", "between vectors"):
        return ""
    return "stores" if parts[-1] == "out of place" else "some stores"


@contextmanager
def _caught() -> Iterator[list[tuple[Any, tuple[Any, ...], dict[str, Any]]]]:
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


def _compiled(number: int) -> dict[str, Any]:
    """What one of `_todo` is on its architecture; ``error`` if it is nothing."""
    name, source, options, vectors, architecture = _todo[number]
    about = {"case": name, "kernel": source.fn.__name__, "wide": vectors, "sm": architecture}
    try:
        target = GPUTarget("cuda", architecture, 32)
        binary = triton.compile(source, target=target, options=options)
    except Exception as error:
        return about | {"error": f"{type(error).__name__}: {error}"[-1000:]}
    usage = _told([_CUOBJDUMP, "--dump-resource-usage"], binary.asm["cubin"])
    numbers = {name.lower(): int(n) for name, n in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    # A stack may be that of a call, as for a division: the assembler knows.
    numbers["spilled"] = 0
    if numbers["stack"] or numbers["local"]:
        gpu = f"--gpu-name={sm_arch_from_capability(architecture)}"
        flags = ["-v", "--fmad=false", "--regAllocOptLevel=2", gpu, "-o", os.devnull]
        report = _told([get_ptxas(architecture).path, *flags], binary.asm["ptx"].encode())
        numbers["spilled"] = sum(map(int, re.findall(r"(\d+) bytes spill", report)))
    widths: dict[str, list[int]] = {"ld": [], "st": []}
    for what, many, bits in _GLOBAL.findall(binary.asm["ptx"]):
        widths[what].append(int(many or 1) * int(bits))
    # Between the last load before a store and that store.
    behind = binary.asm["ptx"].partition("st.global")[0].rpartition("ld.global")[2]
    return about | numbers | widths | {"barrier": "bar.sync" in behind}


def _told(command: list[Any], about: bytes) -> str:
    """What a tool says about a file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(about)
        file.flush()
        done = subprocess.run([*command, file.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def compiled(architectures: list[int], everything: bool) -> Iterator[dict[str, Any]]:
    """Compile in as many processes as there are cores."""
    _todo[:] = [job for architecture in architectures for job in jobs(architecture, everything)]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(_compiled, range(len(_todo)))


def faults(results: list[dict[str, Any]]) -> list[str]:
    """What is wrong with results, a line each."""
    lines = []
    for r in results:
        name = f"sm_{r['sm']}, {r['kernel']}: {r['case']}"
        if "error" in r:
            lines.append(f"{name}: {r['error']}")
            continue
        if r["spilled"]:
            lines.append(f"{name}: spills {r['spilled']} bytes at {r['reg']} registers")
        if r["kernel"] == "chain" and not r["barrier"]:
            lines.append(f"{name}: writes what another thread may still read")
        if r["wide"] and (max(r["st"]) < 128 or (r["wide"] == "stores" and min(r["st"]) < 128)):
            lines.append(f"{name}: stores of {sorted(set(r['st']))} bits")
        if r["wide"] == "stores" and max(r["ld"]) < 128:
            lines.append(f"{name}: loads of {sorted(set(r['ld']))} bits")
    return lines


def main() -> None:
    """The command."""
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("Unset TRITON_INTERPRET: what is interpreted is not compiled.")
    architectures = [int(v) for v in sys.argv[1:] if v.isdigit()] or list(ARCHITECTURES)
    results = []
    for result in compiled(architectures, "--all" in sys.argv):
        results.append(result)
        if "--report" not in sys.argv:
            print(json.dumps(result), flush=True)
        elif wrong := faults([result]):
            print(*wrong, flush=True)
    if "--report" in sys.argv:
        print(f"{len(results)} kernels")


if __name__ == "__main__":
    main()
