"""A method of one's own in three lines: where × fill × labels. Keys, plans, dtypes and speed come with it."""

import torch

import augdrop as ad


# A new sampler and an old fill: GridMix pastes the squares of a turned grid from a partner, labels by counted pixels.
class GridMix(ad.RegionalDropout):
    def __init__(self, period=(8, 16), **options):
        super().__init__(where=ad.regions.RandomGrid(period, ratio=0.5, rotate=45), fill=ad.Partner(), **options)


mix = GridMix(num_classes=3, seed=0)
images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
mixed, targets = mix(images, labels, keys=range(4))
print(mix.plan((4, 3, 32, 32), keys=range(4)))
print("soft targets:\n", targets)

# The very same squares, blurred instead; labels stay.
hide = ad.RegionalDropout(where=ad.regions.RandomGrid((8, 16), ratio=0.5, rotate=45), fill=ad.Blur(factor=4), seed=0)
print("blurred:", tuple(hide(images, keys=range(4)).shape))
