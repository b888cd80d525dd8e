"""A training step with AugDrop and without: a network under AMP in channels_last, fed by the Prefetcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import augdrop as ad
from benchmarks.comparison import CLASSES
from benchmarks.gpu.bench import Bench, Task
from benchmarks.gpu.clock import race
from benchmarks.timing import Row, images, micros, ratio

SHARE = 0.01
"""What share of a step AugDrop is to take at most."""

TRANSFORMS: dict[str, Callable[[], Any]] = {
    "RandomErasing": lambda: ad.RandomErasing(p=1.0, seed=0),
    "GridMask": lambda: ad.GridMask(seed=0),
    "CutMix": lambda: ad.CutMix(num_classes=CLASSES, seed=0),
    "Mixup": lambda: ad.Mixup(num_classes=CLASSES, seed=0),
}
STATES = ("Prefetcher", "in line")


def tasks(bench: Bench) -> Iterator[Task]:
    """Each transform on the Prefetcher's stream, and in line before the model."""
    for name, state in ((n, s) for n in TRANSFORMS for s in STATES):
        row = Row(
            "training", name, state, f"{bench.batch}×3×{bench.shapes[-1][-1]}²", "AMP", goal="share", target=SHARE
        )
        yield Task(row, lambda row, name=name, state=state: _steps(bench, row, TRANSFORMS[name](), state))


class Training:
    """A network, an optimizer, and host batches (uint8, pinned where there is a GPU) that come by turns."""

    def __init__(self, bench: Bench) -> None:
        from torchvision import models

        torch.backends.cudnn.benchmark = True
        self.device, self.cuda = bench.device, bench.device.type == "cuda"
        network: nn.Module = getattr(models, bench.network)(num_classes=CLASSES)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        shape = (bench.batch, *bench.shapes[-1][1:])
        labels = torch.randint(0, CLASSES, (bench.batch,), generator=torch.Generator().manual_seed(0))
        self.batches = [(images(shape, torch.uint8), labels) for _ in range(3)]
        if self.cuda:
            self.batches = [(x.pin_memory(), y.pin_memory()) for x, y in self.batches]

    def step(self, x: Tensor, y: Tensor) -> None:
        x = x.to(memory_format=torch.channels_last).float().div_(255)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = nn.functional.cross_entropy(self.network(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def epoch(self, steps: int, ahead: Any = None, in_line: Any = None) -> None:
        """Steps on batches that come through a Prefetcher, transformed there or here."""
        loader = [self.batches[i % len(self.batches)] for i in range(steps)]
        for x, y in ad.Prefetcher(loader, ahead, device=self.device):
            if in_line is not None:
                x, y = in_line(x, y, inplace=self.cuda)  # on a GPU the batch is a copy; here it is the loader's
            self.step(x, y)


def _steps(bench: Bench, row: Row, t: Any, state: str) -> Row:
    training = Training(bench)
    place = {"ahead": t} if state == "Prefetcher" else {"in_line": t}
    calls = {
        "without": lambda: training.epoch(bench.steps),
        "with": lambda: training.epoch(bench.steps, **place),
    }
    seconds = race(calls, bench.clock.row, bench.rounds, budget=0.0)
    seconds = {name: s / bench.steps for name, s in seconds.items()}
    noise = float(np.std(seconds["without"]) / np.mean(seconds["without"]))
    return row._replace(
        value=micros(seconds["with"]),
        peer=f"{bench.network} without",
        peer_value=micros(seconds["without"]),
        share=ratio(seconds["with"], seconds["without"]) - 1,
        note=f"the step without varies by {noise:.1%} from round to round",
    )
