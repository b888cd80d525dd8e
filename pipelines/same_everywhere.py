"""The same drop everywhere: real images through each library, in several batch sizes, orders and numbers of workers.

One table: a row for each library and way to batch, a column for each method. A cell has a hash of all samples' plans,
and one of all their pixels and labels, taken by key. A column is the same from top to bottom, but for two things. Mixes
(*) take their partners from the batch, so rows are compared whose batches hold the same samples: those of one size and
order, and all that have the whole set in one batch. And kornia wants floats: its rows are compared with what the core
makes of the same images as floats. An exclamation mark is a difference, and makes the program exit with 1.
"""

import functools
import hashlib
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import arguments, files
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import augdrop as ad

SIDE = 64
WAYS = {}


def way(name, through, *options):
    """Register a library: ``through`` says how its function is used."""

    def register(function):
        WAYS[name] = functools.partial(through, function, *options)
        return function

    return register


# How libraries are used: on what a loader gives, in a loader's workers, or as a graph of their own. Each yields, batch
# by batch, the method's name, the keys, uint8 or float images and the targets.


def on_batches(function, ts, photographs, batches, workers):
    """``function(t)`` is a stage: it is called with images ``[B, C, H, W]``, classes and keys."""
    stages = {name: function(t) for name, t in ts.items()}
    for (keys, x, y), (name, stage) in itertools.product(loaded(photographs, batches, workers), stages.items()):
        yield name, keys, *stage(x, y, keys)


def in_workers(function, ts, photographs, batches, workers):
    """``function(t)`` are two: what is done to a PIL image in the data set, and the collate function."""
    stages = {name: function(t) for name, t in ts.items()}
    through = Photographs(photographs.items, lambda image: {n: each(image) for n, (each, _) in stages.items()})
    data = ad.keyed(through, attach=True)

    def collate(items):
        for name, (_, whole) in stages.items():
            yield name, keys_of(items), *whole([i._replace(item=(i.item[0][name], i.item[1])) for i in items])

    loader = DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=lambda items: [*collate(items)])
    return itertools.chain.from_iterable(loader)


def as_graph(function, route, ts, photographs, batches, workers):
    """``function(read, stages, batch, threads)`` yields, batch by batch, images and targets of each stage, HWC."""
    order = list(itertools.chain(*batches))
    # A file reader's labels carry key and class.
    numbers = [100 * key + photographs.items[key][1] for key in order]
    read = {"files": [str(photographs.items[key][0]) for key in order], "labels": numbers, "pad_last_batch": True}
    # DALI's operators cannot look for what is salient: such a cell stays empty.
    able = {name: t for name, t in ts.items() if route == "kernel" or not t.uses_pixels}
    stages = {name: ad.to_dali(t, route, padded=True) for name, t in able.items()}
    outputs = function(read, list(stages.values()), len(batches[0]), max(1, workers))
    for keys, batch in zip(batches, outputs, strict=True):
        for name, (images, targets) in zip(stages, batch, strict=True):
            yield name, keys, np.moveaxis(images[: len(keys)], -1, 1), targets[: len(keys)]


# The libraries


@way("plain torch, uint8", on_batches)
def plain(t):
    return lambda x, y, keys: t(x, y, keys=keys)


@way("torchvision", in_workers)
def torchvision(t):
    if t.mixes:
        return v2.PILToTensor(), ad.collate(t)
    return v2.Compose([v2.PILToTensor(), t]), together


@way("albumentations", in_workers)
def albumentations(t):
    import albumentations as A
    from albumentations.pytorch import ToTensorV2

    augment = A.Compose([ToTensorV2()] if t.mixes else [ad.to_albumentations(t), ToTensorV2()])
    return lambda image: augment(image=np.array(image))["image"], ad.collate(t) if t.mixes else together


@way("DALI, pipeline", as_graph, "kernel")
@way("DALI, pipeline of its operators", as_graph, "native")
def dali_pipeline(read, stages, batch, threads):
    from nvidia.dali import fn
    from nvidia.dali.pipeline import pipeline_def

    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None)
    def graph():
        jpegs, numbers = fn.readers.file(**read)
        images = fn.decoders.image(jpegs)
        return tuple(out for s in stages for out in s(images, numbers % 100, keys=numbers // 100))

    pipe = graph()
    for _ in range(0, len(read["files"]), batch):
        outputs = [np.stack([np.asarray(sample) for sample in out]) for out in pipe.run()]
        yield list(zip(outputs[::2], outputs[1::2], strict=True))


@way("DALI, dynamic mode", as_graph, "kernel")
@way("DALI, dynamic, its operators", as_graph, "native")
def dali_dynamic(read, stages, batch, threads):
    import nvidia.dali.experimental.dynamic as ndd

    for pngs, numbers in ndd.readers.File(**read).next_epoch(batch_size=batch):
        images, numbers = ndd.decoders.image(pngs), numbers.torch().flatten()
        labels, keys = ndd.as_batch(numbers % 100), ndd.as_batch(numbers // 100)
        yield [tuple(out.torch().numpy() for out in stage(images, labels, keys=keys)) for stage in stages]


@way("NumPy", on_batches)
def numpy(t):
    stage = ad.to_arrays(t, layout="NCHW")
    return lambda x, y, keys: stage(x.numpy(), y.numpy(), keys=np.array(keys))


@way("JAX", on_batches)
def jax(t):
    import jax.numpy as jnp

    stage = ad.to_arrays(t, layout="NCHW")
    return lambda x, y, keys: stage(jnp.asarray(x.numpy()), jnp.asarray(y.numpy()), keys=jnp.asarray(keys))


@way("plain torch, float32", on_batches)
def plain_floats(t):
    return lambda x, y, keys: t(x / 255, y, keys=keys)


@way("kornia, float32", on_batches)
def kornia(t):
    import kornia.augmentation as K

    op = ad.to_kornia(t)
    augment = op if t.mixes else K.AugmentationSequential(op, data_keys=["input", "class"])

    def stage(x, y, keys):
        with ad.keys(keys):
            return augment(x / 255, y)

    return stage


# The images, and how they are batched


class Photographs(Dataset):
    def __init__(self, items, transform):
        self.items, self.transform = items, transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, key):
        path, label = self.items[key]
        return self.transform(Image.open(path)), label


def smaller(path, folder, number):
    """A small copy as PNG: without loss, so that every library's decoder gives the same pixels."""
    copy = folder / f"{number:04}.png"
    Image.open(path).convert("RGB").resize((SIDE, SIDE)).save(copy, icc_profile=None)
    return copy


def keys_of(items):
    return [item.key for item in items]


def together(items):
    images, labels = zip(*(item.item for item in items), strict=True)
    return torch.stack(images), torch.tensor(labels)


LOADED = {}


def loaded(photographs, batches, workers):
    """Batches of keys, images and classes from a loader; kept, for the same ones go into several libraries."""
    name = str((batches, workers))
    if name not in LOADED:
        data = ad.keyed(photographs, attach=True)
        collate = lambda items: (keys_of(items), *together(items))  # noqa: E731
        LOADED[name] = list(DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=collate))
    return LOADED[name]


def configurations(count, sizes):
    """Batch size, workers, the order, and batches of keys."""
    for size, workers, shuffled in itertools.product(sizes, (0, 2), (False, True)):
        order = np.random.default_rng(0).permutation(count).tolist() if shuffled else list(range(count))
        yield size, workers, "shuffled" if shuffled else "as is", [order[i : i + size] for i in range(0, count, size)]


# What is compared


def methods(classes):
    """Every method, and compositions."""
    made = {}
    for name, method in ad.METHODS.items():
        made[name] = method(p=1.0, seed=0, **({"num_classes": classes} if method().mixes else {}))
    made["OneOf"] = ad.OneOf([made["CutMix"], made["Mixup"], made["GridMask"], ad.Identity()], seed=0)
    made["Compose"] = ad.Compose([made["Cutout"], made["RandomErasing"]], seed=0)
    return made


def hashed(*parts):
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        state.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return state.hexdigest()


def pixels_of(image, target):
    """A hash of a sample's pixels and target."""
    return hashed(np.ascontiguousarray(image), np.asarray(target, np.float64).reshape(-1))


def plans_of(t, photographs, batches):
    """A hash of each sample's plan, by key: what the core decides for these batches."""
    for keys in batches:
        x = torch.stack([photographs[key][0] for key in keys])
        plan = t.decide(x, t.draws(len(keys), keys))
        partners = keys if plan.partner is None else [keys[b] for b in plan.partner.tolist()]
        for b, (key, partner) in enumerate(zip(keys, partners, strict=True)):
            yield key, hashed(plan.mask()[b].numpy(), plan.lam[b].item(), partner)


def compare(photographs, ts, sizes):
    """Print the table; how many cells are not what the first row of the same samples has."""
    print(f"{'':31}batch workers order    " + "".join(f"{name + '*' * t.mixes:17}" for name, t in ts.items()))
    runs = list(configurations(len(photographs), sizes))
    plans = [{name: dict(plans_of(t, photographs, run[-1])) for name, t in ts.items()} for run in runs]
    first, differ = {}, 0
    for (name, library), (planned, (size, workers, order, batches)) in itertools.product(
        WAYS.items(), zip(plans, runs, strict=True)
    ):
        painted = {method: {} for method in ts}
        for method, keys, images, targets in library(ts, photographs, batches, workers):
            hashes = map(pixels_of, np.asarray(images), np.asarray(targets))
            painted[method].update(zip(keys, hashes, strict=True))
        line = f"{name:31}{size:>5} {workers:>7} {order:8} "
        for method, t in ts.items():
            if not painted[method]:  # as_graph says why
                line += f"{'–':17}"
                continue
            same = painted[method].keys() == planned[method].keys()
            for batch in batches:
                company = tuple(sorted(batch)) if t.mixes else None
                for key, what in itertools.product(batch, (planned, painted)):
                    kind = "plan" if what is planned else "floats" if "float" in name else "pixels"
                    value = what[method].get(key)
                    same &= first.setdefault((method, key, company, kind), value) == value
            both = (
                hashed(*(hashes[method][key] for key in sorted(hashes[method])))[:6] for hashes in (planned, painted)
            )
            line += f"{' '.join(both)}{' ' if same else '!':4}"
            differ += not same
        print(line, flush=True)
    return differ


def main():
    torch.set_num_threads(1)  # on images this small, threads would only wait for each other
    args = arguments(__doc__, images=32, batches="1,7,32")
    items, classes = files(args.data, args.images)
    with tempfile.TemporaryDirectory() as folder:
        copies = [(smaller(path, Path(folder), i), label) for i, (path, label) in enumerate(items)]
        sizes = [int(size) for size in args.batches.split(",")]
        differ = compare(Photographs(copies, v2.PILToTensor()), methods(len(classes)), sizes)
    print(f"{differ} cells differ" if differ else f"all equal, for {len(items)} images")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
