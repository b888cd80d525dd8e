"""What every adapter is tested with: all methods, compositions, and a composition of a user's own."""

import augdrop as ad
from tests.transforms import cases

NAMES = [*cases.ALL, "RegionalDropout"]


def make(name, **options):
    """A transform with seed 0, 5 classes if it mixes."""
    if name == "RegionalDropout":
        where = ad.regions.RandomGrid((8, 16))
        return ad.RegionalDropout(where=where, fill=ad.Partner(), **{"num_classes": 5, "seed": 0, **options})
    return cases.make(name, **options)
