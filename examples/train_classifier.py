"""Train a small ResNet with any method, and compare methods over seeds.

Without arguments: scikit-learn's digits with CutMix. With ``--data FOLDER``: a folder of class folders, or one with
``train`` and ``val`` (or ``test``) in it. ``--method`` is ``none``, a method, or several joined by ``+``, of which each
image gets one::

    python examples/train_classifier.py --data cifar10 --method none CutMix CutMix+Mixup --seeds 0 1 2 --epochs 20

Prints the accuracy of every epoch, and at the end one JSON line a method with that of the last one. Methods have keys
of their own, so the order of the images, the shifts and the first weights of a seed are the same for all of them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import augdrop as ad


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
            *(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)),
        )
        same = before == after and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.around(x))


def resnet(channels: int, classes: int, width: int = 32) -> nn.Sequential:
    """A ResNet of eleven convolutions: a stem and five blocks, three times halved."""
    w = width
    return nn.Sequential(
        *(nn.Conv2d(channels, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU()),
        *(Block(w, w, 1), Block(w, 2 * w, 2), Block(2 * w, 2 * w, 1), Block(2 * w, 4 * w, 2), Block(4 * w, 4 * w, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, classes)),
    )


def digits() -> tuple[TensorDataset, TensorDataset]:
    """1797 grey images of 8×8, held out by key."""
    bunch = load_digits()
    images, labels = torch.tensor(bunch.images / 16, dtype=torch.float32)[:, None], torch.tensor(bunch.target)
    held_out = torch.tensor([is_held_out(f"digit {i}") for i in range(len(labels))])
    return TensorDataset(images[~held_out], labels[~held_out]), TensorDataset(images[held_out], labels[held_out])


def folders(root: Path, size: int) -> tuple[TensorDataset, TensorDataset, list[str]]:
    """The images below a folder, each decoded once: the training set, the test set, the classes' names."""
    transform = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    test = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test is not None:
        parts = [ImageFolder(str(folder), transform) for folder in (root / "train", test)]
        if parts[0].classes != parts[1].classes:
            raise SystemExit(f"{root}: train and {test.name} have different class folders.")
        return decoded(parts[0]), decoded(parts[1]), parts[0].classes
    whole = ImageFolder(str(root), transform)
    held_out = [is_held_out(Path(path).relative_to(root).as_posix()) for path, _ in whole.samples]
    train = [i for i, out in enumerate(held_out) if not out]
    return decoded(whole, train), decoded(whole, [i for i, out in enumerate(held_out) if out]), whole.classes


def is_held_out(name: str) -> bool:
    """One in five, by the hash of the name: the same ones on every machine, whatever else is in the folder."""
    return ad.key_of(name) % 5 == 0


def decoded(dataset: ImageFolder, indices: list[int] | None = None) -> TensorDataset:
    """The images in memory (small images; a large set would be decoded by the loader's workers instead)."""
    items = [dataset[i] for i in (range(len(dataset)) if indices is None else indices)]
    return TensorDataset(torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items]))


def build(name: str, classes: int, size: int, seed: int) -> ad.Transform:
    """A method by name, or a choice among several for each image; sizes in pixels are fitted to small images."""
    small = {
        "Cutout": {"length": size // 2},
        "GridMask": {"period": (0.25, 0.75)},
        "HideAndSeek": {"grid_sizes": (0, max(1, size // 8), max(1, size // 4))},
        "RandomErasing": {"fill": 0},
        "PixelDropout": {"drop_ratio": 0.1},
        "AttentiveCutMix": {"grid": min(7, size)},
    }
    if name == "none":
        return ad.Identity(seed=seed)
    if "+" in name:
        return ad.OneOf([build(part, classes, size, seed) for part in name.split("+")], seed=seed)
    cls = ad.method(name)
    options = {**small.get(name, {}), "seed": seed}
    if cls(seed=seed).mixes:
        options["num_classes"] = classes
    return cls(**options)


def train(method: str, seed: int, data: list[TensorDataset], classes: int, given: argparse.Namespace) -> list[float]:
    """Train one model on images of mean 0 and variance 1; the accuracy after every epoch."""
    torch.manual_seed(seed)
    images, size = data[0].tensors[0], data[0].tensors[0].shape[-1]
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
    model = resnet(images.shape[1], classes, given.width).to(memory_format=torch.channels_last)
    augment = v2.Compose([v2.RandomCrop(size, padding=size // 8), v2.RandomHorizontalFlip(0.5 if given.data else 0.0)])
    keyed = ad.keyed(data[0], attach=True)
    mix = ad.collate(build(method, classes, size, seed), collate_fn=lambda items: prepare(items, augment, mean, std))
    loader = DataLoader(keyed, given.batch, shuffle=True, collate_fn=mix, drop_last=len(keyed) > given.batch)
    optimizer = torch.optim.SGD(model.parameters(), given.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, given.lr, total_steps=given.epochs * len(loader))
    accuracies = []
    for epoch in range(given.epochs):
        start = time.perf_counter()
        keyed.set_epoch(epoch)
        model.train()
        for x, y in loader:
            loss = F.cross_entropy(model(x.contiguous(memory_format=torch.channels_last)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        accuracies.append(accuracy(model, data[1], mean, std))
        seconds = time.perf_counter() - start
        print(f"{method} seed {seed} epoch {epoch + 1}: {accuracies[-1]:.2%} ({seconds:.1f} s)", flush=True)
    return accuracies


def prepare(items: list, augment: v2.Compose, mean: Tensor, std: Tensor) -> list[Tensor]:
    """Shift and flip each image, and normalise the batch, so that a fill of 0 is the mean colour."""
    images = torch.stack([augment(image) for image, _ in items])
    return [(images - mean) / std, torch.stack([label for _, label in items])]


@torch.no_grad()
def accuracy(model: nn.Module, test: TensorDataset, mean: Tensor, std: Tensor) -> float:
    model.eval()
    right = [(model((x - mean) / std).argmax(1) == y).sum().item() for x, y in DataLoader(test, 256)]
    return sum(right) / len(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of class folders; digits without one")
    parser.add_argument("--method", nargs="+", default=["CutMix"], help=f"none, {', '.join(ad.METHODS)}, or A+B")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=32, help="side of the images from a folder, in pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=16, help="channels of the first block")
    given = parser.parse_args()
    if given.data:
        *data, names = folders(given.data, given.size)
        classes = len(names)
    else:
        data, classes = list(digits()), 10
    for method in given.method:
        build(method, classes, data[0].tensors[0].shape[-1], 0)  # a misspelt name is told before an hour of training
    print(f"{len(data[0])} images to train on, {len(data[1])} held out, {classes} classes")
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items() if k not in ("method", "seeds")}
    results = []
    for method in given.method:
        last = [train(method, seed, data, classes, given)[-1] for seed in given.seeds]
        std = statistics.stdev(last) if len(last) > 1 else 0.0
        result = {"method": method, "seeds": given.seeds, "accuracy": last, "mean": statistics.mean(last), "std": std}
        results.append(result | {"settings": settings})
    for result in results:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
