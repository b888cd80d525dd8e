"""JPEG files to load: crops of the photographs that scikit-image and scikit-learn ship, of ImageNet's usual size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)


def sources() -> list[Image.Image]:
    """The colour photographs that come with the two packages (others would be downloaded)."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    arrays = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), *load_sample_images().images]
    return [Image.fromarray(a) for a in arrays]


def write(folder: Path, count: int) -> list[Path]:
    """``count`` files of 500×375, each a crop of its own, saved as cameras and data sets do (quality 90)."""
    random = np.random.default_rng(0)
    photographs = sources()
    paths = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        share = random.uniform(0.6, 1.0)
        w = share * min(photograph.width, photograph.height * SIZE[0] / SIZE[1])
        h = w * SIZE[1] / SIZE[0]
        left, top = random.uniform(0, photograph.width - w), random.uniform(0, photograph.height - h)
        path = folder / f"{i:04}.jpg"
        photograph.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + w, top + h)).save(path, quality=90)
        paths.append(path)
    return paths
