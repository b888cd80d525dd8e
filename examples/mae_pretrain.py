"""Pre-train a tiny vision transformer as a masked autoencoder, and see what it has learnt.

Without arguments: scikit-learn's digits. Three quarters of the patches are masked by key; the encoder computes only the
others, and a small decoder paints the masked ones::

    python examples/mae_pretrain.py --data cifar10 --seeds 0 1 2

Prints the loss of the epochs, and the held-out accuracy of a linear probe before and after. Saves ``mae.png``: images,
what the encoder sees, what the decoder makes of it, and the loss. 20,000 images of CIFAR-10 take twelve epochs by
default, three minutes on two cores, after which the probe goes from 39.4 to 45.0 % from 10,000 labels (one seed).

On digits, over three seeds, the probe goes from 57.2 ± 3.4 % to 76.4 ± 2.4 % from 100 labels, and from 87.1 ± 1.5 % to
93.8 ± 2.1 % from all.
"""

from argparse import Namespace

import torch
from tiny_vit import TinyViT, arguments, blocks, few, fit, sincos, study
from torch import Tensor, nn

from augdrop import tokens


class Autoencoder(nn.Module):
    """MAE: an encoder of kept patches, and a decoder of all."""

    def __init__(self, encoder: TinyViT, channels: int, width: int = 64, depth: int = 1) -> None:
        super().__init__()
        self.encoder, self.narrow = encoder, nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        self.register_buffer("positions", sincos(encoder.side, width))
        self.decoder = nn.Sequential(blocks(width, depth), nn.Linear(width, encoder.patch**2 * channels))

    def sequence(self, images: Tensor, selection: tokens.Selection | None) -> Tensor:
        """What a decoder gets: encoded patches and mask tokens, each at its place; None keeps all patches."""
        x = self.encoder.patches(images) + self.encoder.positions
        if selection is None:
            return self.narrow(self.encoder.encode(x)[:, 1:]) + self.positions
        latent = self.narrow(self.encoder.encode(selection.gather(x))[:, 1:])
        return selection.scatter(latent, fill=self.mask_token) + self.positions

    def forward(self, images: Tensor, selection: tokens.Selection) -> Tensor:
        """The patches ``[B, N, patch * patch * C]``, masked ones and kept ones."""
        return self.decoder(self.sequence(images, selection))


@torch.no_grad()
def rows(model: Autoencoder, images: Tensor, mask: tokens.MAE) -> dict[str, Tensor]:
    """What the picture shows of some images."""
    patch, side = model.encoder.patch, model.encoder.side
    true = tokens.patchify(images, patch)
    selection = mask(true, keys=range(len(images)), epoch=0)
    painted = selection.scatter(selection.gather(true), fill=model(images, selection))
    seen = selection.scatter(selection.gather(true), fill=float(images.amin() / 2 + images.amax() / 2))
    named = {"image": true, "kept patches": seen, "reconstruction": painted}
    return {name: tokens.unpatchify(patches, patch, (side, side)) for name, patches in named.items()}


def pretrain(
    encoder: TinyViT, images: Tensor, held_out: Tensor, given: Namespace, seed: int
) -> tuple[list[float], dict[str, Tensor]]:
    """Train the encoder; the loss of every epoch, and what the picture shows."""
    patch = encoder.patch
    model, mask = Autoencoder(encoder, images.shape[1]), tokens.MAE(0.75, seed=seed)

    def loss_of(index: Tensor, epoch: int) -> Tensor:
        # An image's mask depends on (seed, its number, epoch), and on nothing else.
        selection = mask(tokens.patchify(images[index], patch), keys=index, epoch=epoch)
        return tokens.mae_loss(model(images[index], selection), images[index], selection, patch)

    losses = fit(model, images, loss_of, given)
    return losses, rows(model, few(held_out), mask)


if __name__ == "__main__":
    study("mae", arguments(__doc__), pretrain)
