"""Images per second from JPEG files through a DataLoader, with and without AugDrop: what the stage costs.

The speed is a loader's, by the clock. The cost is not the difference of two such speeds, which differ by more than the
3 % in question where other programs run. It is measured from within: files are loaded as the loader does it, in turns,
with as many threads as its process would have, and the clock is read before and after the stage, whose code and data
decoding has pushed out of the caches by then. Of each file and batch the fastest of several rounds counts, for the
stage and for all the rest. Beside them stand torchvision's transform that does nothing, the least that a call takes out
of cold caches, and its RandomErasing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

import augdrop as ad
from benchmarks import photographs
from benchmarks.throughput import passes, undisturbed
from benchmarks.timing import Effort, Row

SIZE, BATCH = 224, 32
NOTHING = "nothing"
PEERS = {
    "torchvision's Identity an item": v2.Identity(),
    "torchvision's RandomErasing an item": v2.RandomErasing(p=1.0, inplace=True),
}
ROUNDS = 7


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
        NOTHING: (None, None),
        **{name: (peer, None) for name, peer in PEERS.items()},
        "RandomErasing (fill=0) an item": (InPlace(ad.RandomErasing.preset("torchvision", p=1.0, seed=0)), None),
        "RandomErasing an item": (InPlace(ad.RandomErasing(p=1.0, seed=0)), None),
        "CutMix in collate": (None, ad.CutMix(num_classes=1000, seed=0)),
    }


def rows(effort: Effort, data: str | None = None) -> Iterator[Row]:
    """Each stage with 0 and 2 workers; ``data`` is a folder of JPEG files to use instead of the sample photographs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _files(Path(data)) if data else photographs.write(Path(folder), effort.photographs)
        threads = torch.get_num_threads()
        for workers in (0, 2):
            seconds = passes(_loaders(paths, workers), effort)
            torch.set_num_threads(1 if workers else threads)
            try:
                loading, cost = _within(paths, effort)
            finally:
                torch.set_num_threads(threads)
            for name in stages():
                yield _row(name, workers, len(paths) / undisturbed(seconds[name]), loading, cost.get(name))


def _files(folder: Path) -> list[Path]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if len(paths) < BATCH:
        raise SystemExit(f"benchmarks --data: {folder} has {len(paths)} JPEG files, and {BATCH} make a batch.")
    return paths[:1024]


def _row(name: str, workers: int, speed: float, loading: float, cost: float | None) -> Row:
    """``loading`` and ``cost`` are seconds an image."""
    judged = cost is not None and name not in PEERS
    return Row(
        *("loader", name, f"{workers} workers", f"3×{SIZE}×{SIZE}", "uint8", speed, "images/s"),
        share=None if cost is None else cost / loading,
        alone=None if cost is None else cost * 1e6,
        goal="share" if judged else None,
        target=0.03 if judged else None,
        note="bounded by the generator" if name == "RandomErasing an item" else "",
    )


def _loaders(paths: list[Path], workers: int) -> dict[str, Callable[[], float]]:
    loaders = {}
    for name, (erase, mix) in stages().items():
        loaders[name] = DataLoader(
            Photographs(paths, erase),
            BATCH,
            num_workers=workers,
            collate_fn=None if mix is None else ad.collate(mix),
            persistent_workers=workers > 0,
        )
        _pass(loaders[name])
    return {name: lambda loader=loader: _pass(loader) for name, loader in loaders.items()}


def _pass(loader: DataLoader) -> float:
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def _within(paths: list[Path], effort: Effort) -> tuple[float, dict[str, float]]:
    """Seconds an image of all that is not a stage, and of each stage."""
    files, rounds = Photographs(paths), range(1 if effort.quick else ROUNDS)
    alone = {name: erase for name, (erase, _) in stages().items() if erase is not None}
    mixing = {name: ad.collate(mix) for name, (_, mix) in stages().items() if mix is not None}
    loading, cost = 0.0, dict.fromkeys([*alone, *mixing], 0.0)
    for first in range(0, len(paths), BATCH):
        batch = range(first, min(first + BATCH, len(paths)))
        for index in batch:
            times = {name: [_in_turn(files, index, erase) for _ in rounds] for name, erase in alone.items()}
            loading += min(load for pairs in times.values() for load, _ in pairs)
            for name, pairs in times.items():
                cost[name] += min(seconds for _, seconds in pairs)
        items = [files[index] for index in batch]
        # A file is loaded before each, so that caches are as the loader finds them.
        plain = min(_in_turn(files, first, lambda _, given=items: default_collate(given))[1] for _ in rounds)
        loading += plain
        for name, collate in mixing.items():
            mixed = (_in_turn(files, first, lambda _, given=items, c=collate: c(given))[1] for _ in rounds)
            cost[name] += min(mixed) - plain
    return loading / len(paths), {name: seconds / len(paths) for name, seconds in cost.items()}


def _in_turn(files: Photographs, index: int, then: Callable[[Tensor], Any]) -> tuple[float, float]:
    """Seconds to load a file, and of what follows."""
    start = time.perf_counter()
    image, _ = files[index]
    loaded = time.perf_counter()
    then(image)
    return loaded - start, time.perf_counter() - loaded
