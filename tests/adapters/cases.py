"""What every adapter is tested with: all methods, compositions, and a composition of a user's own."""

import torch

import augdrop as ad
from tests.transforms import cases

NAMES = [*cases.ALL, "RegionalDropout"]


def make(name, **options):
    """A transform with seed 0, 5 classes if it mixes."""
    if name == "RegionalDropout":
        where = ad.regions.RandomGrid((8, 16))
        return ad.RegionalDropout(where=where, fill=ad.Partner(), **{"num_classes": 5, "seed": 0, **options})
    return cases.make(name, **options)


class Brightest(ad.RegionalDropout):
    """Drops the four brightest of 5 × 6 cells: a plan that depends on pixels, without a mix."""

    def __init__(self, **options):
        super().__init__(ad.regions.TopCells(4, None), fill=0, **options)
        self.uses_pixels = True

    def inputs(self, x, partner, **given):
        grey = x.float().mean(-3) if x.ndim < 5 else x.float().mean((1, -3))
        return {"scores": torch.nn.functional.adaptive_avg_pool2d(grey.view(-1, *x.shape[-2:]), (5, 6))}
