"""The peers on the device: torchvision, timm, kornia and paraug as on the CPU, and DALI's GPU operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import augdrop as ad
from benchmarks.comparison import CLASSES, IN_PLACE, Peer
from benchmarks.gpu.bench import Bench, Task
from benchmarks.gpu.clock import race, returning
from benchmarks.hosts import dali
from benchmarks.peers import PEERS
from benchmarks.timing import Row, Shape, micros, named, ratio, short

LIBRARIES = ("torchvision", "timm", "kornia", "paraug")
"""Those whose transforms take tensors of a GPU."""


def peers(bench: Bench) -> Iterator[Task]:
    """Every peer at every batch and dtype that it takes, calls in a row: host and device together, as training pays."""
    for shape in bench.shapes:
        for dtype in bench.dtypes:
            for p in PEERS:
                t = p.ours()
                if p.library in LIBRARIES and dtype in p.dtypes and not (shape[0] == 1 and (t.mixes or p.shared)):
                    row = Row(
                        "peers",
                        type(t).__name__,
                        p.manner,
                        named(shape),
                        short(dtype),
                        peer=f"{p.library} {p.call}",
                        goal="to_peer",
                        target=1.0,
                    )
                    yield Task(row, lambda row, p=p, s=shape, d=dtype: _compared(bench, row, p, s, d))


def _compared(bench: Bench, row: Row, p: Peer, shape: Shape, dtype: torch.dtype) -> Row:
    x, y = bench.images(shape, dtype), torch.randint(0, CLASSES, (shape[0],)).to(bench.device)
    out = torch.empty_like(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        contenders = {
            "copy_": lambda: out.copy_(x),
            "ours": p.our_call(x.clone() if p.state == IN_PLACE else x, y),
            "theirs": p.make(x.clone(), y),
        }
        seconds = race(contenders, bench.clock.row, bench.rounds)
        host = race({"ours": contenders["ours"]}, returning(bench.clock), bench.rounds)["ours"]
    return row._replace(
        value=micros(seconds["ours"]),
        host=micros(host),
        to_copy=ratio(seconds["ours"], seconds["copy_"]),
        peer_value=micros(seconds["theirs"]),
        to_peer=ratio(seconds["ours"], seconds["theirs"]),
    )


def dali_operators(bench: Bench) -> Iterator[Task]:
    """DALI's GPU operators in a pipeline of their own, less that pipeline without them; ours on the same images."""
    shape = next((s for s in bench.shapes if s[0] > 1), bench.shapes[-1])
    side = shape[-1]
    mix = ad.CutMix(box="inside", num_classes=CLASSES, seed=0)
    for name, ours, theirs in (
        ("erase", ad.RandomErasing.preset("torchvision", p=1.0, seed=0), dali.erase),
        ("grid_mask", ad.GridMask((side // 8, side // 2), seed=0), dali.grid_mask(side)),
        ("permute_batch + multi_paste", mix, dali.cutmix(side)),
    ):
        row = Row(
            "DALI",
            type(ours).__name__,
            "calls in a row",
            named(shape),
            "uint8",
            peer=f"DALI {name}",
            goal="to_peer",
            target=1.0,
        )
        yield Task(row, lambda row, o=ours, t=theirs: _against_dali(bench, row, o, t, shape))


def _against_dali(bench: Bench, row: Row, t: Any, step: dali.Step, shape: Shape) -> Row:
    if bench.device.type != "cuda":
        raise RuntimeError("DALI's GPU operators need a GPU")
    x, y = bench.images(shape, torch.uint8), torch.arange(shape[0], device=bench.device) % CLASSES
    out, keys = torch.empty_like(x), np.arange(shape[0])
    inputs = (x, y) if t.mixes else (x,)
    pipes = {"theirs": fed(step, x), "source": fed(dali.nothing, x)}
    calls: dict[str, Callable[[], Any]] = {name: pipe.run for name, pipe in pipes.items()}
    calls |= {"copy_": lambda: out.copy_(x), "ours": lambda: t(*inputs, keys=keys)}
    seconds = race(calls, bench.clock.row, bench.rounds)
    theirs = np.maximum(seconds["theirs"] - np.median(seconds["source"]), 1e-6)
    return row._replace(
        value=micros(seconds["ours"]),
        to_copy=ratio(seconds["ours"], seconds["copy_"]),
        peer_value=micros(theirs),
        to_peer=ratio(seconds["ours"], theirs),
        note=f"their whole pipeline {micros(seconds['theirs']):.0f} µs, without the operator "
        f"{micros(seconds['source']):.0f} µs",
    )


def fed(step: dali.Step, x: torch.Tensor) -> Any:
    """A pipeline that is handed one batch on the GPU again and again."""
    pipe = graph(step, x.permute(0, 2, 3, 1).contiguous(), x.device.index or 0)
    pipe.build()
    return pipe


def graph(step: dali.Step, batch: torch.Tensor, device: int) -> Any:
    """The pipeline, not built yet: that would need the GPU."""
    from nvidia.dali import fn
    from nvidia.dali.pipeline import Pipeline

    n = len(batch)
    pipe: Any = Pipeline(
        n, dali.THREADS, device, seed=0, exec_async=False, exec_pipelined=False, prefetch_queue_depth=1
    )
    with pipe:
        images = fn.external_source([batch], cycle=True, layout="HWC", device="gpu")
        classes, ids = np.arange(n, dtype=np.int32)[:, None], np.arange(n)[:, None]
        labels, keys = (fn.external_source([v], cycle=True) for v in (classes, ids))
        pipe.set_outputs(*step(images, labels, keys))
    return pipe
