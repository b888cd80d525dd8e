"""Classification with DALI's dynamic mode: an ordinary loop that calls operators, CutMix and RandomErasing among them.

A stage is called with batches here exactly as with nodes in a pipeline definition. The reader hands out each
file's number as its label, which is the key; its class comes from a table.
"""

import nvidia.dali.experimental.dynamic as ndd
import torch
from common import arguments, compare, files, preview
from torch import nn
from torchvision.models import resnet18

import augdrop as ad


class Batches:
    """Float images CHW and targets of an epoch; without a stage the targets are class numbers."""

    def __init__(self, items, batch, stages=()):
        self.stages, self.batch, self.epoch = stages, batch, 0
        self.classes = torch.tensor([label for _, label in items])
        self.paths = [str(path) for path, _ in items]
        self.restart()

    def restart(self):
        self.reader = ndd.readers.File(
            files=self.paths, labels=list(range(len(self.paths))), random_shuffle=True, pad_last_batch=True, seed=0
        )
        self.crops = ndd.random.RNG(seed=0)
        self.epoch = 0

    def __iter__(self):
        for jpegs, keys in self.reader.next_epoch(batch_size=self.batch):
            images = ndd.decoders.image(jpegs)
            images = ndd.random_resized_crop(images, size=[224, 224], random_area=[0.35, 1.0], rng=self.crops)
            labels = ndd.as_batch(self.classes[keys.torch().flatten()])
            for stage in self.stages:
                images, labels = stage(images, labels, keys=keys, epoch=self.epoch)
            yield ndd.crop_mirror_normalize(images, mean=[128.0] * 3, std=[64.0] * 3).torch(), labels.torch()
        self.epoch += 1


def main():
    args = arguments(__doc__, batch=32)
    items, classes = files(args.data, args.images)

    # The reader fills its last batch with copies of its last file; `padded` says that these are not samples.
    mix = ad.to_dali(ad.CutMix(num_classes=len(classes), p=0.7, seed=0), padded=True)
    erase = ad.to_dali(ad.RandomErasing(p=0.5, seed=0), padded=True)

    plain, ours = Batches(items, args.batch), Batches(items, args.batch, [mix, erase])
    compare(lambda batches: sum(len(x) for x, _ in batches), plain, ours)

    model = resnet18(num_classes=len(classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, targets = next(iter(ours))
    loss = nn.functional.cross_entropy(model(images), targets)
    loss.backward()
    optimizer.step()
    print(f"a step:          images {tuple(images.shape)}, soft targets {tuple(targets.shape)}, loss {loss:.3f}")

    # From the start again: eight images before and after, with what they count as.
    plain.restart(), ours.restart()
    (before, _), (after, soft) = next(iter(plain)), next(iter(ours))
    rows = [(x[:8] * 64 + 128).round().byte().movedim(1, -1).numpy() for x in (before, after)]
    preview(args.out / "dali_dynamic.png", before=rows[0], after=rows[1])
    for target in soft[:8]:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0))


if __name__ == "__main__":
    main()
