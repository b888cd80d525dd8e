"""Small real files for the tests of the command line."""

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape, seed=0, high=256, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def written(tmp_path, array, name, **options):
    path = tmp_path / name
    Image.fromarray(array).save(path, **options)
    return path


def opened(path, of):
    """What Pillow itself says of a file."""
    with Image.open(path) as image:
        return of(image)
