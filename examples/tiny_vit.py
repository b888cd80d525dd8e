"""What the pre-training examples share: a tiny vision transformer, images, a linear probe, and a picture."""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from skimage import data
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.transforms import v2
from train_classifier import digits, folders

from augdrop.tokens import patchify

BUDGET, EPOCHS = 200_000, 60
"""Of how many images a training sees without ``--epochs``, and of how many epochs it is at most."""


def blocks(width: int, depth: int) -> nn.Sequential:
    """Transformer blocks and a last norm; heads are 32 wide."""
    layers = [
        nn.TransformerEncoderLayer(width, width // 32, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        for _ in range(depth)
    ]
    return nn.Sequential(*layers, nn.LayerNorm(width))


def sincos(side: int, width: int) -> Tensor:
    """Fixed position embeddings ``[side * side, width]``: half of the channels for rows, half for columns."""
    rates = 100 ** -torch.linspace(0, 1, width // 4)
    waves = torch.arange(side)[:, None] * rates
    axis = torch.cat([waves.sin(), waves.cos()], 1)
    return torch.cat([axis.repeat_interleave(side, 0), axis.repeat(side, 1)], 1)


class TinyViT(nn.Module):
    """Patches, a class token, fixed positions, and pre-norm blocks."""

    def __init__(self, size: int, channels: int, patch: int, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.patch, self.side, self.width = patch, size // patch, width
        self.embed = nn.Linear(patch * patch * channels, width)
        self.register_buffer("positions", sincos(self.side, width))
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = blocks(width, depth)

    def patches(self, images: Tensor) -> Tensor:
        """Embedded patches ``[B, N, width]``, without positions."""
        return self.embed(patchify(images, self.patch))

    def encode(self, tokens: Tensor) -> Tensor:
        """``[B, K, width]`` to ``[B, 1 + K, width]``: the class token comes first."""
        return self.blocks(torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(self.patches(images) + self.positions)


def arguments(description: str, **switches: str) -> argparse.Namespace:
    """The command line of an example; ``switches`` are flags of its own, and what they do."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, photographs, or a folder of class folders (CIFAR-10)")
    budget = f"by default as many as show {BUDGET:,} images, {EPOCHS} at most: minutes on two cores"
    parser.add_argument("--epochs", type=int, help=budget)
    parser.add_argument("--size", type=int, default=32, help="side of the images from a folder, in pixels")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a training for each")
    parser.add_argument("--out", type=Path, default=Path("."), help="where the picture goes")
    for name, help_text in switches.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=help_text)
    return parser.parse_args()


Pretrain = Callable[[TinyViT, Tensor, Tensor, argparse.Namespace, int], tuple[list[float], dict[str, Tensor]]]
"""Takes an encoder, images to train on, images held out, the command line, and a seed; gives the loss of every epoch,
and what the picture shows."""


def study(name: str, given: argparse.Namespace, pretrain: Pretrain) -> None:
    """Pre-train once a seed, print what linear probes find before and after, and save the picture of the first seed."""
    train, test, patch = load(given)
    images, held_out = train.tensors[0], test.tensors[0]
    given.epochs = given.epochs or max(1, min(EPOCHS, BUDGET // len(images)))
    found: dict[str, list[dict[int, float]]] = {"random weights": [], "pre-trained": []}
    drawn = None
    for seed in given.seeds:
        torch.manual_seed(seed)
        encoder = TinyViT(images.shape[-1], images.shape[1], patch)
        found["random weights"].append(probe(encoder, train, test))
        print(f"seed {seed}")
        result = pretrain(encoder, images, held_out, given, seed)
        found["pre-trained"].append(probe(encoder, train, test))
        drawn = drawn or result
    for state, runs in found.items():
        scores = [f"{spread([run[n] for run in runs])} from {n} labels" for n in runs[0]]
        print(f"linear probe, {state + ':':<16}{', '.join(scores)}")
    losses, rows = drawn or ([], {})
    picture(given.out / f"{name}.png", rows, losses)


def spread(shares: list[float]) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    mean = f"{100 * statistics.mean(shares):.1f}"
    return f"{mean} ± {100 * statistics.stdev(shares):.1f} %" if len(shares) > 1 else f"{mean} %"


def few(images: Tensor, count: int = 10) -> Tensor:
    """Some of the images, of as many classes as may be: folders are in the order of classes."""
    return images[torch.linspace(0, len(images) - 1, count).long()]


def load(given: argparse.Namespace) -> tuple[TensorDataset, TensorDataset, int]:
    """Training set and held-out set, normalised to mean 0 and variance 1; and the side of a patch."""
    if given.data == "digits":
        train, test = digits()
    elif given.data == "photographs":
        train, test = photographs(given.size)
    else:
        train, test, _ = folders(Path(given.data), given.size)
    mean, std = train.tensors[0].mean((0, 2, 3), keepdim=True), train.tensors[0].std((0, 2, 3), keepdim=True)
    train, test = (TensorDataset((part.tensors[0] - mean) / std, part.tensors[1]) for part in (train, test))
    size = train.tensors[0].shape[-1]
    print(f"{len(train)} images of {size}×{size} to train on, {len(test)} held out")
    return train, test, max(2, size // 8)


def photographs(size: int, count: int = 3000) -> tuple[TensorDataset, TensorDataset]:
    """Crops of photographs that scikit-image ships, each photograph a class: its right third is held out."""
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.hubble_deep_field(), data.retina()]
    pictures = [torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255 for picture in pictures]
    generator = torch.Generator().manual_seed(0)
    parts = []
    for left, right, n in ((0, 2 / 3, count), (2 / 3, 1, count // 4)):
        crops, labels = [], torch.arange(n) % len(pictures)
        for label in labels:
            image = pictures[label]
            image = image[..., int(left * image.shape[2]) : int(right * image.shape[2])]
            side = int(min(image.shape[1:]) * (0.3 + 0.4 * torch.rand((), generator=generator)))
            top, x = (int(torch.randint(n - side, (), generator=generator)) for n in image.shape[1:])
            crops.append(v2.functional.resized_crop(image, top, x, side, side, [size, size], antialias=True))
        parts.append(TensorDataset(torch.stack(crops), labels))
    return parts[0], parts[1]


def fit(model: nn.Module, images: Tensor, loss_of: Callable[[Tensor, int], Tensor], given) -> list[float]:
    """Train on batches of image numbers, by ``loss_of(numbers, epoch)``: the mean loss of every epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), given.lr, betas=(0.9, 0.95), weight_decay=0.05)
    steps = given.epochs * -(-len(images) // given.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, given.lr, total_steps=steps, pct_start=0.1)
    losses = []
    for epoch in range(given.epochs):
        total = 0.0
        for index in torch.randperm(len(images)).split(given.batch):
            loss = loss_of(index, epoch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        losses.append(total / len(images))
        if epoch == 0 or (epoch + 1) % max(1, given.epochs // 10) == 0:
            print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}", flush=True)
    return losses


@torch.no_grad()
def probe(
    model: TinyViT, train: TensorDataset, test: TensorDataset, labels: tuple[int, ...] = (100, 10_000)
) -> dict[int, float]:
    """Held-out accuracy of a linear classifier on the frozen model's mean patch token, from few labels and from all."""
    model.eval()
    (x, y), (x_test, y_test) = (
        (torch.cat([model(images)[:, 1:].mean(1) for images in part.tensors[0].split(512)]).numpy(), part.tensors[1])
        for part in (train, test)
    )
    model.train()
    order, found = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)), {}
    for n in (min(n, len(x)) for n in labels):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        found[n] = float(classifier.fit(x[order[:n]], y[order[:n]]).score(x_test, y_test))
    return found


def picture(path: Path, rows: dict[str, Tensor], losses: list[float], scale: int = 64) -> None:
    """Save rows of images ``[n, C, H, W]`` with their names, and the loss of every epoch below."""
    low, high = rows["image"].amin(), rows["image"].amax()
    n, margin = len(rows["image"]), 110
    canvas = Image.new("RGB", (margin + n * (scale + 4), len(rows) * (scale + 4) + 150), "white")
    draw = ImageDraw.Draw(canvas)
    for r, (name, images) in enumerate(rows.items()):
        pixels = ((images - low) / (high - low)).clamp(0, 1).mul(255).byte()
        draw.text((6, r * (scale + 4) + scale // 2 - 6), name, "black")
        for i, image in enumerate(v2.functional.grayscale_to_rgb(pixels)):
            tile = v2.functional.to_pil_image(image).resize((scale, scale), Image.Resampling.NEAREST)
            canvas.paste(tile, (margin + i * (scale + 4), r * (scale + 4) + 2))
    top, bottom, width = len(rows) * (scale + 4) + 16, canvas.height - 24, canvas.width - margin - 8
    steps = [margin + width * i / max(1, len(losses) - 1) for i in range(len(losses))]
    least, most = min(losses), max(losses)
    heights = [bottom - (loss - least) / max(1e-9, most - least) * (bottom - top) for loss in losses]
    draw.line([(margin, top), (margin, bottom), (margin + width, bottom)], "grey")
    draw.line(list(zip(steps, heights, strict=True)), "black", 2)
    draw.text((6, top - 6), f"loss {most:.3f}", "black")
    draw.text((6, bottom - 6), f"loss {least:.3f}", "black")
    draw.text((margin, bottom + 6), f"epoch 1 to {len(losses)}", "black")
    canvas.save(path)
    print(f"picture: {path}")
