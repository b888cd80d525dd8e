"""Masked pre-training: a DataLoader's workers choose each image's patches by its key, Transformers' ViTMAE sees them.

``ad.keyed`` puts an image's index and epoch beside it, and ``ad.collate`` calls the mask with them, so a selection
depends on (seed, index, epoch) alone: not on workers, batch size or order. It comes with the batch, and ViTMAE takes it
as noise of which the lowest stays. The encoder computes a quarter of the patches only.
"""

import time
from functools import partial

import torch
from common import arguments, compare, files, preview
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import augdrop as ad
from augdrop import tokens

SIZE, PATCH = 128, 16
SIDE = SIZE // PATCH
CROP = v2.Compose([v2.PILToTensor(), v2.RandomResizedCrop(SIZE, (0.2, 1), antialias=True), v2.RandomHorizontalFlip()])
NORMALIZE = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])


class Photographs(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        with Image.open(self.items[index][0]) as file:
            return CROP(file.convert("RGB"))


def masked(mask, images):
    """What a worker sends: the images, and which of their patches stay."""
    return images, mask(images.new_empty(len(images), SIDE**2))


def loader(data, args, collate=None):
    keep = args.workers > 0
    return DataLoader(
        data, args.batch, shuffle=True, num_workers=args.workers, persistent_workers=keep, collate_fn=collate
    )


def step(model, optimizer, images, selection):
    """The loss of a training step on the removed patches."""
    # Where `restore` puts a patch: kept ones first, in their order.
    loss = model(pixel_values=NORMALIZE(images), noise=selection.restore.float()).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def step_seconds(mask, images, model, optimizer):
    """The least time of a few steps with this mask."""
    # Half a patch off, for the model cuts off what it computes in floats.
    model.config.mask_ratio = mask.ratio - 0.5 / SIDE**2
    selection = mask(images.new_empty(len(images), SIDE**2), keys=range(len(images)))
    times = []
    for _ in range(4):
        start = time.perf_counter()
        step(model, optimizer, images, selection)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    args = arguments(__doc__, batch=32, workers=2, epochs=3)
    items, _ = files(args.data, args.images)
    torch.manual_seed(0)

    mask = tokens.MAE(0.75, seed=0)
    plain = loader(Photographs(items), args)
    data = ad.keyed(Photographs(items), attach=True)
    ours = loader(data, args, ad.collate(partial(masked, mask)))
    compare(lambda batches: sum(len(b[0] if batches is ours else b) for b in batches), plain, ours)

    encoder = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    decoder = {"decoder_hidden_size": 64, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    decoder["decoder_intermediate_size"] = 256
    config = ViTMAEConfig(image_size=SIZE, patch_size=PATCH, norm_pix_loss=True, **encoder, **decoder)
    model = ViTMAEForPreTraining(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-3, betas=(0.9, 0.95), weight_decay=0.05)
    for epoch in range(args.epochs):
        data.set_epoch(epoch)
        losses = [step(model, optimizer, images, selection) for images, selection in ours]
        print(f"epoch {epoch + 1}:         loss {sum(losses) / len(losses):.3f} in {len(losses)} steps")

    images = next(iter(ours))[0][:16]
    one = tokens.MAE(1 / SIDE**2, seed=0)  # the loss needs one patch that is gone
    full, quarter = (len(images) / step_seconds(m, images, model, optimizer) for m in (one, mask))
    print(f"a training step: {full:.0f} images/s with all patches but one, {quarter:.0f} with a quarter of them")

    # Eight images, and what of them the encoder sees in two epochs.
    chosen = torch.linspace(0, len(items) - 1, min(8, len(items))).long()
    center = v2.Compose([v2.PILToTensor(), v2.Resize(SIZE, antialias=True), v2.CenterCrop(SIZE)])
    images = torch.stack([center(Image.open(items[i][0]).convert("RGB")) for i in chosen])
    patches, rows = tokens.patchify(images, PATCH), {"images": images}
    for epoch in (0, 1):
        selection = mask(patches, keys=chosen, epoch=epoch)
        seen = selection.scatter(selection.gather(patches), fill=225)
        rows[f"seen_in_epoch_{epoch}"] = tokens.unpatchify(seen, PATCH, (SIDE, SIDE))
    preview(args.out / "mae_pretrain.png", **{name: row.movedim(1, -1).numpy() for name, row in rows.items()})


if __name__ == "__main__":
    main()
