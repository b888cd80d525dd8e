"""A stage in a small graph: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

SIZE = (24, 32)
KEYS = np.array([50, 3, 17, 8, 90])
LAYOUTS = {"HWC": (0, 2, 3, 1), "CHW": (0, 1, 2, 3), "FHWC": (0, 1, 3, 4, 2), "FCHW": (0, 1, 2, 3, 4)}
"""From ``[B, C, H, W]`` or ``[B, T, C, H, W]`` to a batch of samples of a layout."""


def images(layout: str = "HWC", dtype: torch.dtype = torch.uint8, batch: int = len(KEYS)) -> Tensor:
    """A batch as the core wants it."""
    shape = (batch, 2, 3, *SIZE) if "F" in layout else (batch, 3, *SIZE)
    x = torch.randint(1, 250, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return x / 255 if dtype.is_floating_point else x


ALONE = {"exec_async": False, "exec_pipelined": False}
"""One batch at a time: DALI may abort the process if a graph fails while it is at the next batches."""


def to_layout(x: Tensor, layout: str) -> Tensor:
    return x.permute(LAYOUTS[layout]).contiguous()


def source(samples: Any, layout: str | None = None) -> Any:
    """A node that gives the same samples (arrays or tensors) in every batch."""
    arrays = [np.asarray(s) for s in samples]
    return fn.external_source(source=lambda: arrays, batch=True, layout=layout)


def run(
    stage: Any, x: Any, layout: str | None = "HWC", keys: Any = KEYS, runs: int = 1, options: Any = None, **given: Any
) -> list[Any]:
    """The outputs of the last of some runs, each a list of arrays; tensors and lists among ``given`` become nodes."""
    pipe: Any = Pipeline(len(x), num_threads=2, device_id=None, **(ALONE if options is None else options))
    with pipe:
        nodes = {n: source(v) if isinstance(v, (Tensor, list, np.ndarray)) else v for n, v in given.items()}
        out = stage(source(x, layout), keys=None if keys is None else source(keys), **nodes)
        flat = [
            part for o in (out if isinstance(out, tuple) else (out,)) for part in (o if isinstance(o, tuple) else (o,))
        ]
        pipe.set_outputs(*flat)
    pipe.build()
    for _ in range(runs):
        results = pipe.run()
    return [[np.array(r[i]) for i in range(len(r))] for r in results]


def same(samples: Any, want: Tensor, layout: str = "HWC") -> bool:
    """Are the samples of a layout equal, bit for bit, to a batch of the core's?"""
    wanted = to_layout(want, layout).numpy()
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(samples, wanted, strict=True))
