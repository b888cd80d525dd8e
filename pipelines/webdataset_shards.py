"""WebDataset: files are packed into shards, read by workers in a shuffled stream, erased one by one, mixed in batches.

A sample's drop goes by its ``__key__``, so it is the same whatever shard, worker or place in the shuffle it comes from.
"""

import random
import tempfile
from pathlib import Path

import webdataset as wds
from common import arguments, compare, files, preview
from torchvision.transforms import v2

import augdrop as ad


def shards(items, folder, count):
    """JPEG files as they are, with their classes, in tar files; well mixed, for streams are only shuffled in part."""
    random.Random(0).shuffle(items)
    per_shard = -(-len(items) // count)
    with wds.ShardWriter(str(folder / "train-%03d.tar"), maxcount=per_shard, verbose=0) as writer:
        for path, label in items:
            writer.write({"__key__": f"{path.parent.name}/{path.stem}", "jpg": path.read_bytes(), "cls": label})
    return sorted(map(str, folder.glob("*.tar")))


def loader(urls, args, erase=None, mix=None):
    """The stream: shards are shared out among workers, samples shuffled, decoded and cropped; then our two stages."""
    data = wds.WebDataset(urls, shardshuffle=len(urls), nodesplitter=None).shuffle(64).decode("torchrgb8")
    data = data.map_dict(jpg=v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]))
    data = data.map(erase) if erase else data
    data = data.batched(args.batch)
    data = data.map(mix) if mix else data
    data = data.to_tuple("jpg", "cls", "__key__")
    keep = args.workers > 0
    return wds.WebLoader(data, batch_size=None, num_workers=args.workers, persistent_workers=keep)


def main():
    args = arguments(__doc__, batch=32, workers=2)
    items, classes = files(args.data, args.images)
    with tempfile.TemporaryDirectory() as folder:
        urls = shards(items, Path(folder), count=max(4, args.workers))
        erase = ad.to_webdataset(ad.GridMask((48, 96), p=0.5, seed=0))
        mix = ad.to_webdataset(ad.CutMix(p=0.5, num_classes=len(classes), seed=0))
        loaders = loader(urls, args), loader(urls, args, erase, mix)
        compare(lambda batches: sum(len(x) for x, _, _ in batches), *loaders)

        # Eight samples of another epoch, before and after. The stages take batches as well.
        erase.set_epoch(1), mix.set_epoch(1)
        data = wds.WebDataset(urls, shardshuffle=False).decode("torchrgb8").map_dict(jpg=v2.Resize((224, 224)))
        before = next(iter(data.batched(8)))
    after = mix(erase(before))
    rows = [batch["jpg"].movedim(1, -1).numpy() for batch in (before, after)]
    preview(args.out / "webdataset_shards.png", before=rows[0], after=rows[1])
    for key, target in zip(after["__key__"], after["cls"], strict=True):
        print(f"  {key}: " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0))


if __name__ == "__main__":
    main()
