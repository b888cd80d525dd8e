"""Classification with kornia: whole batches are augmented after the loader, on the CPU or a GPU, labels among them.

Either CutMix, GridMask or nothing for each sample, between kornia's own flip and colours. The loader hands over the
index of each image, by which its drop is drawn: the same in any order, batch size and number of workers.
"""

import kornia.augmentation as K
import numpy as np
import torch
from common import arguments, compare, files, preview
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import augdrop as ad
from augdrop.adapters.kornia import LabelledSequential


class Photographs(Dataset):
    """Images float ``[3, 224, 224]`` in [0, 1], their classes and their numbers."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        image = np.asarray(Image.open(path).convert("RGB").resize((224, 224)))
        return torch.from_numpy(image / np.float32(255)).permute(2, 0, 1).contiguous(), label, index


def augmentation(*stage):
    """kornia's container, in which labels follow the mix."""
    colours = K.ColorJiggle(0.1, 0.1, 0.2, 0.02, p=1.0)
    return LabelledSequential(K.RandomHorizontalFlip(), colours, *stage, data_keys=["input", "class"])


def epoch(loader, augment, device):
    """Augment an epoch of batches; how many images there were."""
    seen = 0
    for images, labels, ids in loader:
        with ad.keys(ids):
            images, targets = augment(images.to(device), labels.to(device))
        assert len(images) == len(targets)
        seen += len(images)
    return seen


def main():
    args = arguments(__doc__, batch=64, workers=2)
    items, classes = files(args.data, args.images)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loader = DataLoader(
        Photographs(items), args.batch, shuffle=True, num_workers=args.workers, persistent_workers=args.workers > 0
    )

    choice = [ad.CutMix(num_classes=len(classes)), ad.GridMask((32, 96)), ad.Identity()]
    drop = ad.to_kornia(ad.OneOf(choice, weights=[4, 4, 2], seed=0))
    plain, dropping = augmentation(), augmentation(drop)
    compare(lambda augment: epoch(loader, augment, device), plain, dropping)

    torch.manual_seed(1)
    images, labels, ids = next(iter(DataLoader(Photographs(items), min(8, len(items)), shuffle=True)))
    with ad.keys(ids):
        augmented, targets = dropping(images.to(device), labels.to(device))
    rows = [batch.cpu().mul(255).round().byte().permute(0, 2, 3, 1).numpy() for batch in (images, augmented)]
    preview(args.out / "kornia_batch.png", before=rows[0], augmented_and_mixed=rows[1])
    for target in targets:
        shares = [f"{share:.0%} {name}" for name, share in zip(classes, target.tolist(), strict=True) if share > 0]
        print("  " + ", ".join(shares))


if __name__ == "__main__":
    main()
