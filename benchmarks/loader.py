"""Images per second from JPEG files through a DataLoader, with and without AugDrop: what the stage costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import augdrop as ad
from benchmarks import photographs
from benchmarks.timing import Effort, Row, images

SIZE, BATCH = 224, 32
ROUNDS = 11


class Photographs(Dataset):
    """Decode and crop; then ``erase`` each item by itself."""

    def __init__(self, paths: list[Path], erase: Callable[[Tensor], Tensor] | None = None) -> None:
        self.paths, self.erase = paths, erase
        self.crop = v2.Compose([v2.RandomResizedCrop(SIZE, antialias=True), v2.PILToTensor()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        torch.manual_seed(index)  # the same crops in every race, or their sizes would be the noise
        with Image.open(self.paths[index]) as file:
            image = self.crop(file.convert("RGB"))
        return (image if self.erase is None else self.erase(image)), index % 10


class InPlace:
    """A transform that overwrites its image (a class, so that workers can be given it)."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, image: Tensor) -> Tensor:
        return self.transform(image, inplace=True)


def stages() -> dict[str, tuple[Any, Any]]:
    """By name: what is done to an item, and to a batch."""
    return {
        "nothing": (None, None),
        "RandomErasing (fill=0) an item": (ad.RandomErasing.preset("torchvision", p=1.0, seed=0), None),
        "RandomErasing an item": (ad.RandomErasing(p=1.0, seed=0), None),
        "CutMix in collate": (None, ad.CutMix(num_classes=1000, seed=0)),
    }


def rows(effort: Effort, data: str | None = None) -> Iterator[Row]:
    """Each stage with 0 and 2 workers; ``data`` is a folder of JPEG files to use instead of the sample photographs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _files(Path(data)) if data else photographs.write(Path(folder), effort.photographs)
        alone = {name: _alone(*stage, effort) for name, stage in stages().items()}
        for workers in (0, 2):
            yield from _measured(paths, workers, alone, effort)


def _files(folder: Path) -> list[Path]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if len(paths) < BATCH:
        raise SystemExit(f"benchmarks --data: {folder} has {len(paths)} JPEG files, and {BATCH} make a batch.")
    return paths[:1024]


def _measured(paths: list[Path], workers: int, alone: dict[str, float], effort: Effort) -> Iterator[Row]:
    loaders = {}
    for name, (erase, mix) in stages().items():
        loaders[name] = DataLoader(
            Photographs(paths, None if erase is None else InPlace(erase)),
            BATCH,
            num_workers=workers,
            collate_fn=None if mix is None else ad.collate(mix),
            persistent_workers=workers > 0,
        )
    names, seconds = list(loaders), {name: [] for name in loaders}
    for loader in loaders.values():
        _epoch(loader)
    for r in range(1 if effort.quick else ROUNDS):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            seconds[name].append(_epoch(loaders[name]))
    for name in names:
        pairs = zip(seconds[name], seconds["nothing"], strict=True)
        cost = statistics.median(s / nothing - 1 for s, nothing in pairs)
        speed = len(paths) / statistics.median(seconds[name])
        stage = name != "nothing"
        yield Row(
            *("loader", name, f"{workers} workers", f"3×{SIZE}×{SIZE}", "uint8", speed, "images/s"),
            share=cost if stage else None,
            alone=alone[name] if stage else None,
            goal="share" if stage else None,
            target=0.03 if stage else None,
            note="bounded by the generator" if name == "RandomErasing an item" else "",
        )


def _epoch(loader: DataLoader) -> float:
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def _alone(erase: Any, mix: Any, effort: Effort) -> float:
    """Microseconds an image of the stage alone, without a loader around it."""
    x, y = images((BATCH, 3, SIZE, SIZE), torch.uint8), torch.arange(BATCH)

    def call() -> None:
        for image in x if erase is not None else ():
            erase(image, inplace=True)
        if mix is not None:
            mix(x, y)

    times = []
    for _ in range(2 if effort.quick else 20):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) / BATCH * 1e6
