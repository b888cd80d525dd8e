"""CoarseDropout: several rectangles, all of them inside the image."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_range
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.random_boxes import Holes
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout

Sides = tuple[int, int] | tuple[float, float]


class CoarseDropout(RegionalDropout):
    """Drop a few rectangles, placed uniformly and never over the border.

    Args:
        num_holes_range: fewest and most holes (albumentations' names).
        hole_height_range, hole_width_range: each its own unit: pixels if integers, shares of the side if floats. A hole
            larger than the image is clipped to it.
        fill: see `augdrop.fills`.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.CoarseDropout((3, 3), (4, 4), (4, 4), seed=0)
        >>> bool(((t(torch.ones(5, 1, 64, 64)) == 0).sum((1, 2, 3)) <= 48).all())
        True
    """

    citation: ClassVar = Citation(
        "Buslaev, Iglovikov, Khvedchenya, Parinov, Druzhinin & Kalinin",
        2020,
        "Albumentations: fast and flexible image augmentations, Information 11(2)",
        "1809.06839",
    )
    presets: ClassVar = {
        "albumentations": {"p": 0.5},
        "many": {"num_holes_range": (8, 16), "hole_height_range": (0.05, 0.1), "hole_width_range": (0.05, 0.1)},
    }

    def __init__(
        self,
        num_holes_range: tuple[int, int] = (1, 2),
        hole_height_range: Sides = (0.1, 0.2),
        hole_width_range: Sides = (0.1, 0.2),
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        check_range("CoarseDropout: num_holes_range", num_holes_range, 0, 10_000, whole=True)
        for name, sides in (("hole_height_range", hole_height_range), ("hole_width_range", hole_width_range)):
            pixels = isinstance(sides, int) or all(isinstance(v, int) for v in sides)
            check_range(f"CoarseDropout: {name}", sides, 0, 1 << 20 if pixels else 1, whole=pixels)
        where = Holes(tuple(num_holes_range), tuple(hole_height_range), tuple(hole_width_range))  # type: ignore[arg-type]
        super().__init__(where=where, fill=fill, **options)
