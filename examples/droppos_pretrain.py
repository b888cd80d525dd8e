"""Pre-train a tiny vision transformer with DropPos: it learns to say where patches without a position belong.

Without arguments: scikit-learn's digits, of whose 16 patches half are visible (on 32×32 images a quarter of 64, as in
the paper), and of these a quarter come with their position::

    python examples/droppos_pretrain.py --data cifar10 --seeds 0 1 2

Prints the loss of the epochs, how many positions of held-out images are put right, and the accuracy of a linear probe
before and after. Saves ``droppos.png``: images, the visible patches, where the model puts them, and the loss. On two
cores an epoch of 20,000 images of 32×32 takes 9 s; by default there are twelve of them.

Over three seeds, the probe on digits goes from 57.2 ± 3.4 % to 65.2 ± 5.2 % from 100 labels, and from 87.1 ± 1.5 % to
89.4 ± 0.5 % from all. The paper weighs patches by their likeness to the class token (`tokens.attentive_weights`); this
does not: in so small a model two thirds of the weight come to lie on one patch of eight, 31 % of the positions are put
right in place of 41 %, and the probe gains nothing (one seed).
"""

from argparse import Namespace

import torch
from tiny_vit import TinyViT, arguments, blocks, few, fit, study
from torch import Tensor, nn

from augdrop import tokens


class Locator(nn.Module):
    """The encoder, and a decoder that has neither positions nor mask tokens: a place for each visible patch.

    With ``multi_task`` also MAE's decoder, which sees a mask token at every place that is not visible.
    """

    def __init__(self, encoder: TinyViT, multi_task: bool = False, width: int = 64, depth: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.no_position = nn.Parameter(torch.randn(encoder.width) * 0.02)
        places = encoder.side**2
        self.decoder = nn.Sequential(nn.Linear(encoder.width, width), blocks(width, depth), nn.Linear(width, places))
        if multi_task:
            self.mask_token = nn.Parameter(torch.randn(encoder.width) * 0.02)
            pixels = nn.Linear(encoder.width, encoder.embed.in_features)
            self.painter = nn.Sequential(blocks(encoder.width, depth), pixels)

    def encode(self, images: Tensor, puzzle: tokens.Puzzle) -> Tensor:
        patches = self.encoder.patches(images)
        return self.encoder.encode(puzzle.tokens(patches, self.encoder.positions, self.no_position))

    def forward(self, images: Tensor, puzzle: tokens.Puzzle) -> Tensor:
        return self.decoder(self.encode(images, puzzle))[:, 1:]

    def both(self, images: Tensor, puzzle: tokens.Puzzle) -> tuple[Tensor, Tensor]:
        """Logits of places for the visible patches, and the pixels of all patches."""
        latent = self.encode(images, puzzle)
        whole = puzzle.visible.scatter(latent[:, 1:], fill=self.mask_token) + self.encoder.positions
        return self.decoder(latent)[:, 1:], self.painter(whole)


@torch.no_grad()
def rows(model: Locator, images: Tensor, puzzle: tokens.Puzzle) -> dict[str, Tensor]:
    """What the picture shows of some images."""
    patch, side = model.encoder.patch, model.encoder.side
    true = tokens.patchify(images, patch)
    grey = float(images.amin() / 2 + images.amax() / 2)
    visible = puzzle.visible.gather(true)
    told = puzzle.told.mask("kept")
    places = torch.where(told, puzzle.labels, model(images, puzzle).argmax(-1))
    guessed = torch.full_like(true, grey)
    # Patches that were told come last: a guess does not cover them.
    for order in (~told, told):
        for image, slot in order.nonzero().tolist():
            guessed[image, places[image, slot]] = visible[image, slot]
    named = {
        "image": true,
        "told": puzzle.visible.scatter(visible.masked_fill(~told[..., None], grey), fill=grey),
        "visible": puzzle.visible.scatter(visible, fill=grey),
        "put by the model": guessed,
    }
    return {name: tokens.unpatchify(patches, patch, (side, side)) for name, patches in named.items()}


def pretrain(
    encoder: TinyViT, images: Tensor, held_out: Tensor, given: Namespace, seed: int
) -> tuple[list[float], dict[str, Tensor]]:
    """Train the encoder; the loss of every epoch, and what the picture shows."""
    model, side = Locator(encoder, given.multi_task), encoder.side
    drop = tokens.DropPos(0.75 if side >= 8 else 0.5, prefix=1, seed=seed)

    def puzzle(index: Tensor, epoch: int) -> tokens.Puzzle:
        # Of the tokens only the number counts: a class token and the patches.
        return drop.puzzle(torch.empty(len(index), 1 + side**2, 0), keys=index, epoch=epoch)

    def loss_of(index: Tensor, epoch: int) -> Tensor:
        drops = puzzle(index, epoch)
        smoothing = tokens.smoothing_map((side, side), tokens.sigma_at(epoch, given.epochs))
        if given.multi_task:
            predicted, pixels = model.both(images[index], drops)
            return tokens.multi_task_loss(predicted, pixels, images[index], drops, smoothing, encoder.patch)
        return tokens.droppos_loss(model(images[index], drops), drops, smoothing)

    losses = fit(model, images, loss_of, given)
    drops, shown = puzzle(torch.arange(len(held_out)), 0), few(held_out)
    with torch.no_grad():
        right = tokens.droppos_accuracy(model(held_out, drops), drops)
    print(f"positions put right on held-out images: {float(right):.1%} (chance {1 / side**2:.1%})")
    return losses, rows(model, shown, puzzle(torch.arange(len(shown)), 0))


if __name__ == "__main__":
    study("droppos", arguments(__doc__, multi_task="reconstruct patches besides, as MAE does"), pretrain)
