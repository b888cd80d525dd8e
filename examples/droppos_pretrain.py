"""Pre-train a tiny vision transformer with DropPos: it learns to say where patches without a position belong.

Without arguments: scikit-learn's digits, of whose 16 patches half are visible (on 32×32 images a quarter of 64, as in
the paper), and of these a quarter come with their position::

    python examples/droppos_pretrain.py --data cifar10 --epochs 200

Prints the loss of the epochs, how many positions of held-out images are put right, and the accuracy of a linear probe
before and after. Saves ``droppos.png``: images, the visible patches, where the model puts them, and the loss.

On digits 31 % of the positions are put right after 60 epochs, by chance 6 %; the probe does not gain from it, though:
the method is made for fine-tuning, and patches of four grey values say little of where they belong.
"""

import torch
from tiny_vit import TinyViT, arguments, blocks, fit, load, picture, probe
from torch import Tensor, nn

from augdrop import tokens


class Locator(nn.Module):
    """The encoder, and a decoder that has neither positions nor mask tokens: a place for each visible patch."""

    def __init__(self, encoder: TinyViT, width: int = 64, depth: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.no_position = nn.Parameter(torch.randn(encoder.width) * 0.02)
        places = encoder.side**2
        self.decoder = nn.Sequential(nn.Linear(encoder.width, width), blocks(width, depth), nn.Linear(width, places))

    def forward(self, images: Tensor, puzzle: tokens.Puzzle) -> Tensor:
        patches = self.encoder.patches(images)
        x = puzzle.tokens(patches, self.encoder.positions, self.no_position)
        return self.decoder(self.encoder.encode(x))[:, 1:]


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


def main() -> None:
    given = arguments(__doc__, epochs=60)
    torch.manual_seed(given.seed)
    train, test, patch = load(given)
    images, held_out = train.tensors[0], test.tensors[0]
    encoder = TinyViT(images.shape[-1], images.shape[1], patch)
    before = probe(encoder, train, test)
    model = Locator(encoder)
    grid = (encoder.side, encoder.side)
    drop = tokens.DropPos(0.75 if encoder.side >= 8 else 0.5, prefix=1, seed=given.seed)
    # Of the tokens only the number counts: a class token and the patches.
    shape = torch.empty(len(images), 1 + encoder.side**2, 0)

    def loss_of(index: Tensor, epoch: int) -> Tensor:
        puzzle = drop.puzzle(shape[index], keys=index, epoch=epoch)
        smoothing = tokens.smoothing_map(grid, tokens.sigma_at(epoch, given.epochs))
        with torch.no_grad():  # patches that are like the class token count more
            weights = tokens.attentive_weights(encoder(images[index]), puzzle.visible)
        return tokens.droppos_loss(model(images[index], puzzle), puzzle, smoothing, weights)

    losses = fit(model, images, loss_of, given)
    puzzle = drop.puzzle(torch.empty(len(held_out), 1 + encoder.side**2, 0), keys=range(len(held_out)), epoch=0)
    with torch.no_grad():
        right = tokens.droppos_accuracy(model(held_out, puzzle), puzzle)
    print(f"positions put right on held-out images: {float(right):.1%} (chance {1 / encoder.side**2:.1%})")
    print(f"linear probe, random weights: {before}")
    print(f"linear probe, pre-trained:    {probe(encoder, train, test)}")
    few = drop.puzzle(torch.empty(10, 1 + encoder.side**2, 0), keys=range(10), epoch=0)
    picture(given.out / "droppos.png", rows(model, held_out[:10], few), losses)


if __name__ == "__main__":
    main()
