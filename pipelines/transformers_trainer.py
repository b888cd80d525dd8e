"""Transformers' Trainer: a data set of files, a small ViT without pretrained weights, CutMix and GridMask on batches.

``ad.to_transformers`` gives Trainer four arguments at once: training items that know their key, the collator that mixes
them (and no others, so evaluation is clean), the loss that takes soft targets, and a callback that sets the epoch.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is loaded from the hub

import datasets
import numpy as np
import torch
import transformers
from common import arguments, compare, files, preview
from torchvision.transforms import v2
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import augdrop as ad

SIDE = 224
CROP = v2.Compose([v2.PILToTensor(), v2.Resize(SIDE), v2.CenterCrop(SIDE), v2.ToDtype(torch.float32, scale=True)])


def pixels(rows):
    """What the model wants of rows: this runs when they are read."""
    return {"pixel_values": [CROP(image.convert("RGB")) * 2 - 1 for image in rows["image"]], "labels": rows["label"]}


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


def main():
    args = arguments(__doc__, batch=32, workers=2)
    items, classes = files(args.data, args.images)
    table = datasets.Dataset.from_dict({"image": [str(p) for p, _ in items], "label": [c for _, c in items]})
    table = table.cast_column("image", datasets.Image()).with_transform(pixels)
    val = table.select(range(0, len(items), 5))
    train = table.select([i for i in range(len(items)) if i % 5])

    transformers.logging.set_verbosity_error()
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = ViTConfig(image_size=SIDE, patch_size=32, num_labels=len(classes), **small)
    settings = TrainingArguments(
        str(args.out / "checkpoints"),
        num_train_epochs=2,
        per_device_train_batch_size=min(args.batch, len(train)),
        per_device_eval_batch_size=args.batch,
        dataloader_num_workers=args.workers,
        dataloader_persistent_workers=args.workers > 0,
        learning_rate=1e-3,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    mix = ad.CutMix(num_classes=len(classes), label_smoothing=0.1)
    t = ad.OneOf([mix, ad.GridMask((48, 96))], [2, 1], seed=0)

    def trainer(**parts):
        model = ViTForImageClassification(config)
        return Trainer(model, settings, eval_dataset=val, compute_metrics=accuracy, **parts)

    plain, ours = trainer(train_dataset=train), trainer(**ad.to_transformers(t, train))
    loaders = [run.get_train_dataloader() for run in (plain, ours)]
    compare(lambda batches: sum(len(b["labels"]) for b in batches), *loaders)
    ours.train()
    found = ours.evaluate()
    kind = ours.model.config.problem_type
    print(f"evaluation:      accuracy {found['eval_accuracy']:.2f}, loss {found['eval_loss']:.2f}; problem_type {kind}")

    # Eight images, before and after, with what they count as: the collator's own work.
    chosen = np.linspace(0, len(train) - 1, min(8, len(train))).astype(int).tolist()
    batches = [ours.data_collator([data[i] for i in chosen]) for data in (train, ours.train_dataset)]
    rows = [((b["pixel_values"] + 1) * 127.5).byte().movedim(1, -1).numpy() for b in batches]
    preview(args.out / "transformers_trainer.png", before=rows[0], after=rows[1])
    for target in batches[1]["labels"]:
        print("  " + " + ".join(f"{share:.2f} {classes[c]}" for c, share in enumerate(target) if share > 0.02))


if __name__ == "__main__":
    main()
