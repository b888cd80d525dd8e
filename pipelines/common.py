"""What the pipelines share: their arguments, photographs to run on, images per second, and a picture to look at."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from sklearn.datasets import load_sample_images

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def arguments(description, images=256, folder="a folder of class folders", **defaults):
    """The command line of a pipeline, which wants ``folder`` as data; ``defaults`` adds ``--name VALUE`` options."""
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help=f"{folder}; by default photographs that packages ship")
    parser.add_argument("--out", type=Path, default=Path("pipeline-output"), help="where the preview picture goes")
    parser.add_argument(
        "--images", type=int, default=images, help=f"how many images to run through, {images} by default"
    )
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{value} by default")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.data is None:
        # Kept for the whole run: DALI and DataLoader workers read the files later.
        given.folder = tempfile.TemporaryDirectory(prefix="augdrop-photographs-")
        given.data = photographs(Path(given.folder.name), given.images)
    return given


def photographs(folder, count):
    """``count`` JPEG files in class folders: crops of the photographs that scikit-image and scikit-learn ship."""
    temple, flower = load_sample_images().images
    classes = {
        "camera": data.camera(),  # grey: files of all modes come
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "flower": flower,
        "person": data.astronaut(),
        "rocket": data.rocket(),
        "temple": temple,
    }
    rng = np.random.default_rng(0)
    for i in range(count):
        name = list(classes)[i % len(classes)]
        picture = Image.fromarray(classes[name])
        side = rng.uniform(0.6, 1) * min(picture.size)
        left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
        (folder / name).mkdir(exist_ok=True)
        crop = picture.resize((320, 320), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        crop.save(folder / name / f"{i:04}.jpg", quality=90)
    return folder


def files(folder, count=None):
    """``count`` image files of all classes with their class numbers, in the order of their paths; and the classes."""
    classes = sorted(p.name for p in folder.glob("*") if p.is_dir())
    found = [(p, c) for c, name in enumerate(classes) for p in sorted((folder / name).rglob("*"))]
    found = [(p, c) for p, c in found if p.suffix.lower() in SUFFIXES]
    if not found:
        raise SystemExit(f"{folder} has no class folders with images in it.")
    count = min(count or len(found), len(found))
    return [found[i * len(found) // count] for i in range(count)], classes


def compare(epoch, without, with_stage):
    """Print images a second without and with a stage; ``epoch`` goes through either, and returns how many it saw.

    After an epoch to warm up they take turns, five at most, and the fastest of each counts: whatever else the
    machine does can only make an epoch slower.
    """
    loaders, best = (without, with_stage), [0.0, 0.0]
    for loader in loaders:
        epoch(loader)
    begin = time.perf_counter()
    for _ in range(5):
        for i, loader in enumerate(loaders):
            start = time.perf_counter()
            best[i] = max(best[i], epoch(loader) / (time.perf_counter() - start))
        if time.perf_counter() - begin > 10:
            break
    report(*best)


def report(without, with_stage):
    """Print the two speeds."""
    print(f"without AugDrop: {without:7.0f} images/s")
    print(f"with AugDrop:    {with_stage:7.0f} images/s ({with_stage / without - 1:+.1%})")


def preview(path, **rows):
    """Save rows of uint8 images ``[H, W, 3]`` as one picture: the same samples at the stage that a row is named by."""
    parts = []
    for name, images in rows.items():
        row = np.concatenate([np.pad(image, ((2, 2), (2, 2), (0, 0)), constant_values=255) for image in images], 1)
        parts += [_title(name.replace("_", " "), row.shape[1]), row]
    Image.fromarray(np.concatenate(parts)).save(path)
    print(f"preview:         {path}")


def _title(text, width):
    line = Image.new("RGB", (width, 24), "white")
    ImageDraw.Draw(line).text((4, 3), text, fill="black", font=ImageFont.load_default(16))
    return np.asarray(line)
