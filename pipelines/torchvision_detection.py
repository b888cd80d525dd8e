"""Detection with torchvision: boxes and masks stay right when pixels are erased, and when they come from elsewhere.

RandomErasing is one more transform of a sample with tv_tensors; CutMix goes into the collate function of detectors. One
policy says what becomes of objects: what is hidden to more than 70 % goes, of the rest boxes and masks are fitted to
what can be seen.

--data takes a folder with images/NAME.jpg and masks/NAME.png, whose pixels are 0 for the background and 1, 2, ... for
the objects (as in torchvision's tutorial on detection). By default it is made of scikit-image's photograph of coins.
"""

import numpy as np
import torch
from common import arguments, compare, preview
from PIL import Image
from scipy import ndimage
from skimage import data, filters, measure, segmentation
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

import augdrop as ad

FOLDER = "a folder with images/NAME.jpg and masks/NAME.png"
COLOURS = ["#00a0ff", "#ffd000", "#30e060", "#ff50a0", "#00e0e0", "#ff8000", "#b080ff", "#ff4040"]


class Objects(Dataset):
    """Images with masks, boxes and labels, as torchvision's Mask R-CNN takes them."""

    def __init__(self, folder, count, transform):
        self.paths = sorted((folder / "images").iterdir())[:count]
        self.masks, self.transform = folder / "masks", transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        image = v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))
        numbers = torch.from_numpy(np.array(Image.open(self.masks / f"{path.stem}.png")))
        masks = numbers == numbers.unique()[1:, None, None]
        size = image.shape[-2:]
        boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])  # it counts pixels, boxes have edges
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
            "masks": tv_tensors.Mask(masks),
            "labels": torch.ones(len(masks), dtype=torch.int64),
            "colour": torch.arange(len(masks)) % len(COLOURS),  # of no use to a detector, but it goes along, too
        }
        return self.transform(tv_tensors.Image(image), target)


def with_masks(args):
    """The folder that was given, or else one of coins."""
    if hasattr(args, "folder"):  # none was
        return coins(args.data, args.images)
    if not all((args.data / name).is_dir() for name in ("images", "masks")):
        raise SystemExit(f"{args.data} is not {FOLDER}.")
    return args.data


def coins(folder, count, side=224):
    """Crops of a photograph of 24 coins, each coin found by its watershed."""
    picture = data.coins()
    seeds = np.where(picture > 150, 2, np.where(picture < 30, 1, 0))
    found = measure.label(ndimage.binary_fill_holes(segmentation.watershed(filters.sobel(picture), seeds) == 2))
    small = np.bincount(found.flat) < 200
    found[small[found]] = 0
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(count):
        s = rng.integers(120, 240)
        top, left = rng.integers(0, picture.shape[0] - s), rng.integers(0, picture.shape[1] - s)
        at = slice(top, top + s), slice(left, left + s)
        tint = rng.uniform(0.6, 1, 3)
        crop = (picture[at][..., None] * tint).astype(np.uint8)
        Image.fromarray(crop).resize((side, side)).save(folder / "images" / f"{i:04}.jpg")
        numbers = Image.fromarray(found[at].astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
        numbers.save(folder / "masks" / f"{i:04}.png")
    return folder


def drawn(image, target):
    """What a detector is shown, and what it is to answer."""
    colours = [COLOURS[c] for c in target["colour"]]
    if colours:
        image = draw_segmentation_masks(image, target["masks"], alpha=0.45, colors=colours)
        image = draw_bounding_boxes(image, target["boxes"], colors=colours, width=2)
    return image.permute(1, 2, 0).numpy()


def together(samples):
    """Images and targets as two tuples: detectors take lists."""
    return tuple(zip(*samples, strict=True))


def main():
    args = arguments(__doc__, folder=FOLDER, batch=8, workers=2)
    args.data = with_masks(args)

    policy = ad.Policy(boxes="shrink", masks="cut", min_visibility=0.3)
    erase = ad.RandomErasing(area=(0.05, 0.3), fill="mean", p=1, seed=0, annotations=policy)
    mix = ad.CutMix(p=0.5, seed=0, annotations=policy)

    flip = v2.RandomHorizontalFlip()
    plain = Objects(args.data, args.images, flip)
    ours = ad.keyed(Objects(args.data, args.images, v2.Compose([flip, erase])), attach=True)
    keep = {"batch_size": args.batch, "num_workers": args.workers, "persistent_workers": args.workers > 0}
    loaders = (
        DataLoader(plain, collate_fn=together, **keep),
        DataLoader(ours, collate_fn=ad.collate(mix, together), **keep),
    )
    compare(lambda batches: sum(len(images) for images, _ in batches), *loaders)

    # Six samples as they are, erased, and mixed; drawn with what is left of their boxes and masks.
    samples = [Objects(args.data, 6, v2.Identity())[i] for i in range(min(6, len(plain)))]
    keys = range(len(samples))
    erased = [erase(*sample, keys=key) for key, sample in zip(keys, samples, strict=True)]
    mixed = together(ad.CutMix(seed=0, annotations=policy)(*together(samples), keys=keys))
    rows = {"before": samples, "erased": erased, "mixed": mixed}
    preview(args.out / "torchvision_detection.png", **{name: [drawn(*s) for s in row] for name, row in rows.items()})
    for title, row in (("as they are", samples), ("erased", erased), ("mixed", mixed)):
        print(f"  objects {title}: {', '.join(str(len(target['boxes'])) for _, target in row)}")


if __name__ == "__main__":
    main()
