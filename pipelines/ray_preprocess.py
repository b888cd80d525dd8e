"""Ray Data: images are read, cropped, mixed and erased by tasks all over a cluster.

A row's drop goes by its path, so it does not depend on how many tasks there are, or on which rows they take.
"""

import logging
from pathlib import Path

import numpy as np
import ray
from common import arguments, compare, files, preview
from PIL import Image

import augdrop as ad

SIDE = 224


def cropped(row):
    """A square of one size, from the middle; and a name that is the same on any machine."""
    image = Image.fromarray(row["image"])
    side, path = min(image.size), Path(row["path"])
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((SIDE, SIDE), box=(left, top, left + side, top + side))
    return {"image": np.asarray(square), "class": path.parent.name, "path": f"{path.parent.name}/{path.name}"}


def numbered(batch, classes):
    return {**batch, "label": np.array([classes.index(name) for name in batch["class"]])}


def main():
    args = arguments(__doc__, batch=32)
    items, classes = files(args.data, args.images)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)

    paths = [str(path) for path, _ in items]
    read = ray.data.read_images(paths, include_paths=True, mode="RGB", override_num_blocks=4)
    plain = read.map(cropped).map_batches(numbered, fn_args=(classes,), batch_size=args.batch)

    t = ad.OneOf([ad.CutMix(num_classes=len(classes)), ad.HideAndSeek(), ad.RandomErasing(p=1)], [2, 1, 1], seed=0)
    ours = plain.map_batches(ad.to_ray(t, key="path"), batch_size=args.batch)

    def seen(data):
        return sum(len(batch["label"]) for batch in data.iter_batches(batch_size=args.batch))

    compare(seen, plain, ours)
    whole = len(items)
    batches = [data.take_batch(whole) for data in (plain, ours)]
    before, after = (dict(zip(batch["path"], batch["image"], strict=True)) for batch in batches)
    chosen = sorted(after)[:: max(1, whole // 8)][:8]
    preview(args.out / "ray_preprocess.png", before=[before[p] for p in chosen], after=[after[p] for p in chosen])


if __name__ == "__main__":
    main()
