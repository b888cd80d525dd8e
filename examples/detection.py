"""Detection: boxes, masks and labels stay right when pixels are erased, and when they come from another image.

Writes one picture: two photographs with hand-made boxes and masks; the same erased; the same mixed.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F
from torchvision.utils import draw_segmentation_masks, make_grid

import augdrop as ad

NAMES = ["cup", "saucer", "spoon", "face", "helmet", "shuttle", "badge"]
COLOURS = ["#00a0ff", "#ffd000", "#30e060", "#ff50a0", "#00e0e0", "#ff8000", "#b080ff"]
HEIGHT, WIDTH = 300, 400
TITLES = ("as they are", "erased", "mixed")
FONT = ImageFont.load_default(16)


def sample(photograph, objects):
    """A sample as torchvision's detectors take it; each mask is the ellipse in its box."""
    image = Image.fromarray(photograph)
    scale = max(HEIGHT / image.height, WIDTH / image.width)
    image = F.center_crop(
        F.pil_to_tensor(image.resize((round(image.width * scale), round(image.height * scale)))), [HEIGHT, WIDTH]
    )
    boxes = torch.tensor(list(objects.values()), dtype=torch.float32)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    x0, y0, x1, y1 = (side[:, None, None] for side in boxes.T)
    masks = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    return {
        "image": tv_tensors.Image(image),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(HEIGHT, WIDTH)),
        "masks": tv_tensors.Mask(masks),
        "labels": torch.tensor([NAMES.index(name) for name in objects]),
    }


def drawn(sample):
    """The image with what is known about it on top."""
    names = [NAMES[i] for i in sample["labels"]]
    colours = [COLOURS[i] for i in sample["labels"]]
    picture = F.to_pil_image(draw_segmentation_masks(sample["image"], sample["masks"], alpha=0.35, colors=colours))
    draw = ImageDraw.Draw(picture)
    for name, colour, box in zip(names, colours, sample["boxes"].tolist(), strict=True):
        draw.rectangle(box, outline=colour, width=3)
        draw.rectangle(draw.textbbox(box[:2], name, FONT), fill=colour)
        draw.text(box[:2], name, "black", FONT)
    return F.pil_to_tensor(picture)


CUP = {"cup": (103, 12, 283, 212), "saucer": (32, 52, 334, 290), "spoon": (217, 172, 280, 246)}
ASTRONAUT = {
    "face": (120, 0, 236, 96),
    "helmet": (213, 220, 390, 300),
    "shuttle": (274, 2, 352, 170),
    "badge": (104, 226, 158, 280),
}
samples = [sample(data.coffee(), CUP), sample(data.astronaut(), ASTRONAUT)]

# What is hidden to more than 70 % goes; the rest is fitted to what can still be seen. Both methods follow this rule.
policy = ad.Policy(boxes="shrink", min_visibility=0.3, masks="cut")
erase = ad.RandomErasing(area=(0.1, 0.3), fill=(0, 0, 0), p=1.0, seed=1, annotations=policy)
mix = ad.CutMix(p=1.0, seed=34, annotations=policy)

rows = [samples, erase(samples, keys=[0, 1]), mix(samples, keys=[0, 1])]
for title, row in zip(TITLES, rows, strict=True):
    for number, s in enumerate(row):
        print(f"{title}, {number}: {', '.join(NAMES[i] for i in s['labels'])}")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "detection.png")
grid = make_grid([drawn(s) for pair in zip(*rows, strict=True) for s in pair], nrow=3, padding=6, pad_value=255)
sheet = F.to_pil_image(F.pad(grid, [0, 24, 0, 0], fill=255))
for i, title in enumerate(TITLES):
    ImageDraw.Draw(sheet).text((6 + i * (WIDTH + 6), 6), title, "black", FONT)
sheet.save(path)
print(f"see {path}: {', '.join(TITLES)}")
