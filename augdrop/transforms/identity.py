"""Identity: nothing dropped; the share of a `OneOf` that stays as it is."""

from __future__ import annotations

from augdrop.regions.random_boxes import Everywhere
from augdrop.transforms.regional import RegionalDropout


class Identity(RegionalDropout):
    """Leave every sample as it is.

    Example:
        >>> import augdrop as ad, torch
        >>> x = torch.rand(2, 3, 8, 8)
        >>> bool((ad.Identity()(x) == x).all())
        True
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(where=Everywhere(), fill=0, p=0.0, seed=seed)
