"""Classification with DALI: file reader, decode, crop, CutMix and GridMask, and an iterator of torch tensors.

The keys are the files' own names, which the reader knows; the epoch rides beside them as data, counted in batches, for
DALI works some batches ahead. So the drop of each file depends on (seed, name, epoch) alone: not on the batch size, the
shuffling or the number of threads. On a machine with a GPU say ``device_id=0`` and decode with ``device="mixed"``: the
very same stage then adds DALI's own GPU operators to the graph instead of calling AugDrop's CPU kernel.
"""

import numpy as np
import torch
from common import arguments, compare, files, preview
from nvidia.dali import fn
from nvidia.dali.pipeline import pipeline_def
from nvidia.dali.plugin.pytorch import DALIClassificationIterator, LastBatchPolicy
from torch import nn
from torchvision.models import resnet18
from torchvision.transforms import v2

import augdrop as ad


@pipeline_def(device_id=None)
def train(root, items, batches, stage=None):
    """Images HWC in uint8, and their class numbers, or soft targets once a stage has mixed them."""
    names, labels = zip(*((str(path.relative_to(root)), label) for path, label in items), strict=True)
    jpegs, labels = fn.readers.file(
        file_root=str(root), files=names, labels=labels, random_shuffle=True, pad_last_batch=True, name="reader", seed=0
    )
    images = fn.decoders.image(jpegs)
    images = fn.random_resized_crop(images, size=224, random_area=(0.35, 1.0), seed=1)
    if stage is not None:
        epoch = fn.external_source(lambda info: np.array([info.iteration // batches]), batch=False)
        keys = fn.get_property(jpegs, key="source_info")
        images, labels = stage(images, labels, keys=keys, epoch=epoch)
    return images, labels


def main():
    args = arguments(__doc__, batch=32, threads=2)
    items, classes = files(args.data, args.images)
    batches = -(-len(items) // args.batch)

    members = [ad.CutMix(num_classes=len(classes)), ad.GridMask((48, 96)), ad.Identity()]
    # The reader fills its last batch with copies of its last file; `padded` says that these are not samples. Nothing
    # else reads the crops, so they are painted where they lie.
    stage = ad.to_dali(ad.OneOf(members, weights=[5, 3, 2], seed=0), padded=True, inplace=True)

    def loader(stage=None, **options):
        pipe = train(args.data, items, batches, stage, batch_size=args.batch, num_threads=args.threads, **options)
        return DALIClassificationIterator(
            pipe, reader_name="reader", last_batch_policy=LastBatchPolicy.PARTIAL, auto_reset=True
        )

    # The two take turns, and what one did ahead would fall into the other's.
    in_step = {"exec_async": False, "exec_pipelined": False}
    plain, ours = loader(**in_step), loader(stage, **in_step)
    compare(lambda batches: sum(len(b["data"]) for [b] in batches), plain, ours)

    model, normalize = resnet18(num_classes=len(classes)), v2.Normalize([0.5] * 3, [0.25] * 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    [batch] = next(iter(ours))
    images, targets = batch["data"].movedim(-1, 1), batch["label"]
    loss = nn.functional.cross_entropy(model(normalize(images / 255)), targets)
    loss.backward()
    optimizer.step()
    print(f"a step:          images {tuple(images.shape)}, soft targets {tuple(targets.shape)}, loss {loss:.3f}")

    # The same epochs once more, from the start: eight images before and after, with what they count as.
    [before], [after] = next(iter(loader())), next(iter(loader(stage)))
    preview(args.out / "dali_classification.png", before=before["data"][:8].numpy(), after=after["data"][:8].numpy())
    for target in after["label"][:8]:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0))


if __name__ == "__main__":
    main()
