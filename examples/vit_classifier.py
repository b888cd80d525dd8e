"""What the token-drop examples share: a tiny vision transformer of timm's, its training, and steps timed in turn."""

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch
from tiny_vit import load, spread
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset


def arguments(description: str, epochs: int) -> argparse.Namespace:
    """The command line of an example."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, photographs, or a folder of class folders (CIFAR-10)")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--size", type=int, default=32, help="side of the images in pixels, which patches of 4 divide")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser.parse_args()


def parts(given: argparse.Namespace) -> list[TensorDataset]:
    """Training set and held-out set, of ``given.size`` pixels: digits are enlarged."""
    train, test, _ = load(given)
    scaled = (F.interpolate(part.tensors[0], (given.size, given.size), mode="bilinear") for part in (train, test))
    return [TensorDataset(x, part.tensors[1]) for x, part in zip(scaled, (train, test), strict=True)]


def vit(train: TensorDataset, classes: int, seed: int) -> nn.Module:
    """A tiny vision transformer for these images, with patches of 4; the same first weights for a seed."""
    torch.manual_seed(seed)
    channels, size = train.tensors[0].shape[1:3]
    return timm.models.VisionTransformer(
        size, 4, channels, classes, embed_dim=64, depth=3, num_heads=2, mlp_ratio=2, fc_norm=False
    )


def fit(
    model: nn.Module, count: int, loss_of: Callable[[Tensor, int], Tensor], given: argparse.Namespace, seed: int
) -> None:
    """Train on batches of image numbers below ``count``, by ``loss_of(numbers, epoch)``; the order is the seed's."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), given.lr, weight_decay=0.05)
    steps = given.epochs * -(-count // given.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, given.lr, total_steps=steps)
    model.train()
    for epoch in range(given.epochs):
        for index in torch.randperm(count, generator=order).split(given.batch):
            step(optimizer, loss_of(index, epoch))
            schedule.step()


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def accuracy(model: nn.Module, test: TensorDataset) -> float:
    """The share of held-out images that are put right, all of their patches seen."""
    model.eval()
    right = [(model(x).argmax(1) == y).sum().item() for x, y in zip(*(t.split(256) for t in test.tensors), strict=True)]
    return sum(right) / len(test)


def in_turn(models: dict[str, nn.Module], losses: dict[str, Callable[[], Tensor]], rounds: int = 8) -> dict[str, float]:
    """Median seconds of a training step of each; they take turns, so what else the machine does hits all alike."""
    optimizers = {name: torch.optim.AdamW(model.train().parameters(), 1e-5) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(1 + rounds):
        for name, loss in losses.items():
            start = time.perf_counter()
            step(optimizers[name], loss())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}  # the first warms up


def report(scores: dict[str, list[float]], seconds: dict[str, float]) -> None:
    """Print accuracy over seeds and step time of each, and how many times as fast as the first the others are."""
    first = next(iter(seconds.values()))
    for name, found in scores.items():
        times = f"{first / seconds[name]:.2f} times as fast"
        print(f"{name:<24} accuracy {spread(found)}, step {seconds[name] * 1e3:.0f} ms, {times}")
