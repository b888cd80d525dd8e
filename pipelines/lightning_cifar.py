"""CIFAR-10 with Lightning: a data module of small photographs, a convolutional net, CutMix and Cutout on the batch.

``ad.to_lightning`` puts the stage behind the transfer of a batch to the model's device, so one kernel call does it, on
whatever device that is, and only in training: accuracy is measured on clean images with integer labels.
"""

import logging
import warnings

import numpy as np
import torch
from common import arguments, files, preview, report
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Timer
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import augdrop as ad

SIDE = 32


class Photographs(LightningDataModule):
    """Every fifth image is for validation. ``keyed``: those of training bring their index as key."""

    def __init__(self, items, batch, keyed):
        super().__init__()
        images = np.stack([np.asarray(Image.open(p).convert("RGB").resize((SIDE, SIDE))) for p, _ in items])
        data = list(zip(torch.from_numpy(images).movedim(-1, 1), (c for _, c in items), strict=True))
        self.val, self.train, self.batch = data[::5], [d for i, d in enumerate(data) if i % 5], batch
        self.items = ad.keyed(self.train, attach=True) if keyed else self.train

    def train_dataloader(self):
        return DataLoader(self.items, batch_size=self.batch, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch)


class Net(LightningModule):
    def __init__(self, classes, width=32):
        super().__init__()
        layers, channels = [], 3
        for out in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            channels = out
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))

    def forward(self, images):
        return self.net(images.float() / 127.5 - 1)

    def training_step(self, batch, index):
        images, targets = batch
        return nn.functional.cross_entropy(self(images), targets)

    def validation_step(self, batch, index):
        images, labels = batch
        self.log("accuracy", (self(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)


def main():
    args = arguments(__doc__, batch=64, epochs=3)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seed_everything(0, verbose=False)
    items, classes = files(args.data, args.images)
    k, batch = len(classes), min(args.batch, len(items) // 2)
    cut = ad.Compose([ad.CutMix(num_classes=k, p=0.5), ad.Cutout(length=12, p=0.5)], seed=0)
    plain = Net(k), Photographs(items, batch, keyed=False)
    ours = ad.to_lightning(cut, Net(k)), Photographs(items, batch, keyed=True)

    def train(net, data):
        """Images a second; a Trainer's own start is not in it."""
        timer = Timer()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(max_epochs=args.epochs, enable_model_summary=False, callbacks=[timer], **quiet)
        trainer.fit(net, data)
        net.accuracy = trainer.callback_metrics["accuracy"]
        return args.epochs * len(data.train) / timer.time_elapsed("train")

    for _ in range(2):  # the first round warms up
        speeds = [train(*pair) for pair in (plain, ours)]
    report(*speeds)
    print(f"accuracy:        {plain[0].accuracy:.2f} and {ours[0].accuracy:.2f}, on clean images")

    data = ours[1]
    chosen = torch.linspace(0, len(data.train) - 1, min(8, len(data.train))).long().tolist()
    before = torch.stack([data.train[i][0] for i in chosen])
    after, targets = cut(before, torch.tensor([data.train[i][1] for i in chosen]), keys=chosen, epoch=0)
    big = [rows.repeat_interleave(5, -1).repeat_interleave(5, -2).movedim(1, -1).numpy() for rows in (before, after)]
    preview(args.out / "lightning_cifar.png", before=big[0], after=big[1])
    for target in targets:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0))


if __name__ == "__main__":
    main()
