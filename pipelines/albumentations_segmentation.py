"""Segmentation with albumentations: dropped pixels are ignored by the loss, pasted pixels bring their classes.

CoarseDropout is one more transform of A.Compose; where it drops, the mask says 255, which is CrossEntropyLoss's
ignore_index here. CutMix needs two samples, so it goes into the loader's collate function, and mixes the masks, too.

--data takes a folder with images/NAME.jpg and masks/NAME.png, whose pixels are 0 for the background and 1, 2, ... for
objects. By default it is made of scikit-image's photograph of coins.
"""

import albumentations as A
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from common import arguments, compare, preview
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision_detection import FOLDER, with_masks

import augdrop as ad

IGNORED = 255
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[1], COLOURS[IGNORED] = (255, 200, 0), (200, 0, 120)


class Segments(Dataset):
    """Images and, for each pixel, whether it is part of an object."""

    def __init__(self, folder, count, transform):
        self.paths = sorted((folder / "images").iterdir())[:count]
        self.masks, self.transform = folder / "masks", transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        image = np.array(Image.open(path).convert("RGB"))
        mask = np.array(Image.open(self.masks / f"{path.stem}.png")) > 0
        # A dict, by whose keys augdrop's collate knows the masks.
        out = self.transform(image=image, mask=mask.astype(np.uint8))
        return {"image": out["image"], "mask": out["mask"].long()}


def augmentation(*stage):
    """A pipeline of albumentations with ``stage`` where images still are uint8."""
    crop = A.RandomResizedCrop((192, 192), scale=(0.5, 1.0))
    return A.Compose([crop, A.HorizontalFlip(), A.RandomBrightnessContrast(), *stage, A.Normalize(), ToTensorV2()])


def epoch(loader):
    """Go through the loader, with the loss of a model that knows nothing; how many images there were."""
    seen = 0
    for batch in loader:
        scores = torch.zeros(len(batch["image"]), 2, *batch["mask"].shape[1:])
        assert torch.isfinite(cross_entropy(scores, batch["mask"], ignore_index=IGNORED))
        seen += len(scores)
    return seen


def drawn(batch):
    """Images of a batch with their masks over them."""
    pictures = []
    for image, mask in zip(batch["image"], batch["mask"].numpy(), strict=True):
        pixels = (image.permute(1, 2, 0).numpy() * STD + MEAN).clip(0, 1) * 255
        marked = (mask > 0)[..., None]
        pictures.append(np.where(marked, 0.55 * pixels + 0.45 * COLOURS[mask], pixels).astype(np.uint8))
    return pictures


def main():
    args = arguments(__doc__, folder=FOLDER, batch=16, workers=2)
    args.data = with_masks(args)

    policy = ad.Policy(masks="fill", mask_fill=IGNORED)
    holes = ad.CoarseDropout((4, 8), (0.1, 0.2), (0.1, 0.2), fill="mean", seed=0, annotations=policy)
    mix = ad.CutMix(p=0.5, seed=0)

    plain = Segments(args.data, args.images, augmentation())
    dropped = ad.keyed(Segments(args.data, args.images, augmentation(ad.to_albumentations(holes))), attach=True)
    keep = {"batch_size": args.batch, "num_workers": args.workers, "persistent_workers": args.workers > 0}
    loaders = DataLoader(plain, **keep), DataLoader(dropped, collate_fn=ad.collate(mix), **keep)
    compare(epoch, *loaders)

    # Six samples as they are, with holes, and with holes and mixed.
    rows, few = [], min(6, len(plain))
    for stage, mix in (((), ad.Identity()), ((holes,), ad.Identity()), ((holes,), ad.CutMix(seed=0))):
        transform = A.Compose([*map(ad.to_albumentations, stage), A.Normalize(), ToTensorV2()])
        samples = ad.keyed(Segments(args.data, few, transform), attach=True)
        rows.append(drawn(next(iter(DataLoader(samples, few, collate_fn=ad.collate(mix))))))
    names = ("before: objects are yellow", "with holes: purple is ignored by the loss", "with holes, and mixed")
    preview(args.out / "albumentations_segmentation.png", **dict(zip(names, rows, strict=True)))


if __name__ == "__main__":
    main()
