"""Classification with torchvision: files, a DataLoader with workers, CutMix, GridMask and RandomErasing, a step of SGD.

Erasing is one more transform of each image; mixing goes into the collate function. ``ad.keyed`` names each image by its
index, so its drop depends on (seed, index, epoch) alone: not on workers, batch size or order. Cross entropy takes the
soft targets as they are.
"""

import torch
from common import arguments, compare, files, preview
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18
from torchvision.transforms import v2

import augdrop as ad

CROP = [v2.PILToTensor(), v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]


class Photographs(Dataset):
    def __init__(self, items, transforms):
        self.items, self.transform = items, v2.Compose(transforms)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        with Image.open(path) as file:
            return self.transform(file.convert("RGB")), label


def loader(data, args, collate=None):
    """Batches of uint8 images; workers stay alive, and see the epoch that the main process sets."""
    keep = args.workers > 0
    return DataLoader(
        data, args.batch, shuffle=True, num_workers=args.workers, persistent_workers=keep, collate_fn=collate
    )


def main():
    args = arguments(__doc__, batch=32, workers=2)
    items, classes = files(args.data, args.images)

    erase = ad.RandomErasing.preset("torchvision", p=0.25, seed=0)
    k = len(classes)
    mix = ad.OneOf([ad.CutMix(num_classes=k), ad.GridMask((48, 96)), ad.Identity()], [5, 3, 2], seed=0)

    plain = loader(Photographs(items, CROP), args)
    data = ad.keyed(Photographs(items, [*CROP, erase]), attach=True)
    ours = loader(data, args, ad.collate(mix))
    compare(lambda batches: sum(len(x) for x, _ in batches), plain, ours)

    model, normalize = resnet18(num_classes=k), v2.Normalize([0.5] * 3, [0.25] * 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data.set_epoch(2)
    images, targets = next(iter(ours))
    loss = nn.functional.cross_entropy(model(normalize(images.float() / 255)), targets)
    loss.backward()
    optimizer.step()
    print(f"a step:          images {tuple(images.shape)}, soft targets {tuple(targets.shape)}, loss {loss:.3f}")

    # Eight images, before and after, with what they count as.
    chosen = torch.linspace(0, len(items) - 1, min(8, len(items))).long()
    centered = Photographs(items, [v2.PILToTensor(), v2.Resize(224, antialias=True), v2.CenterCrop(224)])
    before = torch.stack([centered[i][0] for i in chosen])
    after, soft = mix(erase(before, keys=chosen), torch.tensor([items[i][1] for i in chosen]), keys=chosen)
    rows = [images.movedim(1, -1).numpy() for images in (before, after)]
    preview(args.out / "torchvision_classification.png", before=rows[0], after=rows[1])
    for target in soft:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0))


if __name__ == "__main__":
    main()
