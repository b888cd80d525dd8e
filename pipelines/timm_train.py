"""timm's training script in small: its data set, loader, model, optimizer, schedule and task, for a few steps.

One AugDrop stage collates and mixes, in the place of timm's ``FastCollateMixup``; another erases normalised batches, in
the place of ``loader.random_erasing``. ``ad.keyed`` names each image by its index, so its mix depends on (seed, index,
epoch) and on who shares the batch; not on workers or order.
"""

import torch
from common import arguments, compare, files, preview
from timm import create_model
from timm.data import ImageDataset, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask

import augdrop as ad

SIDE, EPOCHS, STEPS = 224, 3, 3
MIXUP_OFF_EPOCH = 2


def loader(dataset, args, **options):
    """With timm's prefetcher: uint8 images from workers, normalised in the main process."""
    return create_loader(
        dataset,
        (3, SIDE, SIDE),
        args.batch,
        is_training=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        device=torch.device("cpu"),
        **options,
    )


def main():
    args = arguments(__doc__, batch=32, workers=2)
    items, classes = files(args.data, args.images)
    args.batch = min(args.batch, len(items))
    dataset = ImageDataset(str(args.data))
    dataset.reader.samples = items

    k = len(classes)
    cutmix = ad.CutMix.preset("timm-elem", num_classes=k)
    mixup = ad.Mixup(alpha=0.8, num_classes=k, label_smoothing=0.1)
    mix = ad.to_timm(ad.OneOf([cutmix, mixup], seed=0))
    erase = ad.to_timm(ad.RandomErasing.preset("timm-pixel", p=0.5, seed=0))

    plain = loader(dataset, args)
    data = ad.keyed(dataset, attach=True)
    ours = loader(data, args, collate_fn=mix)
    ours.random_erasing = erase
    compare(lambda batches: sum(len(x) for x, _ in batches), plain, ours)

    model = create_model("test_vit", img_size=SIDE, num_classes=k)
    task = ClassificationTask(model, SoftTargetCrossEntropy(), verbose=False)
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3)
    schedule, _ = create_scheduler_v2(optimizer, "cosine", num_epochs=EPOCHS)
    for epoch in range(EPOCHS):
        data.set_epoch(epoch)
        ours.mixup_enabled = epoch < MIXUP_OFF_EPOCH
        for _, (images, targets) in zip(range(STEPS), ours, strict=False):
            loss = task(images, targets)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step(epoch + 1)
        shape = tuple(targets.shape)
        print(f"epoch {epoch}:         mixed {ours.mixup_enabled!s:5}, soft targets {shape}, loss {loss:.3f}")

    # Eight images, before and after, with what they count as.
    chosen = torch.linspace(0, len(items) - 1, min(8, len(items))).long().tolist()
    ours.mixup_enabled = True
    batch = [data[i] for i in chosen]
    before = torch.stack([torch.as_tensor(item.item[0]) for item in batch])
    after, soft = mix(batch)
    with ad.keys(chosen):
        after = erase((after.float() - ours.mean) / ours.std) * ours.std + ours.mean
    after = after.clamp(0, 255).byte()
    rows = [images.movedim(1, -1).numpy() for images in (before, after)]
    preview(args.out / "timm_train.png", before=rows[0], after=rows[1])
    for target in soft:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0.1))


if __name__ == "__main__":
    main()
