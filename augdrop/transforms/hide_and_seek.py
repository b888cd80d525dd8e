"""Hide-and-Seek: squares of a grid, each hidden by itself."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.fills import Fill
from augdrop.regions.random_cells import RandomCells
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class HideAndSeek(RegionalDropout):
    """Divide the image into squares and hide each with probability ``drop_ratio``.

    Args:
        grid_sizes: sides of the squares in pixels; each image draws one, and 0 hides nothing. The paper's are for
            images of 224.
        drop_ratio: chance of each square, in [0, 1].
        fill: the paper fills the data set's mean, which is 0 in a normalised image.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.HideAndSeek(grid_sizes=(8,), seed=0)
        >>> 0.3 < t(torch.ones(64, 1, 32, 32)).mean().item() < 0.7
        True
    """

    citation: ClassVar = Citation(
        "Singh & Lee",
        2017,
        "Hide-and-Seek: forcing a network to be meticulous for weakly-supervised object and action localization, ICCV",
        "1704.04232",
    )
    presets: ClassVar = {"paper": {}, "cifar": {"grid_sizes": (0, 4, 8)}}

    def __init__(
        self,
        grid_sizes: tuple[int, ...] = (0, 16, 32, 44, 56),
        drop_ratio: float = 0.5,
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        if not isinstance(grid_sizes, (tuple, list)) or not grid_sizes:
            raise fail(
                "HideAndSeek: grid_sizes", got=repr(grid_sizes), expected="one or more sides", fix="Write (16, 32)."
            )
        for side in grid_sizes:
            check_whole("HideAndSeek: grid_sizes", side, 0)
        check_share("HideAndSeek: drop_ratio", drop_ratio)
        super().__init__(where=RandomCells(tuple(grid_sizes), drop_ratio), fill=fill, **options)
