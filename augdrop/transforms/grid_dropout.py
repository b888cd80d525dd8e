"""GridDropout: an upright lattice of squares with a random offset."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_share, check_whole
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.random_grid import RandomGrid
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class GridDropout(RegionalDropout):
    """Drop a square in every cell of an upright grid.

    albumentations' transform of this name, as a rigid lattice: its ``random_offset`` shifts each hole by itself inside
    its cell, ours shifts the whole grid.

    Args:
        ratio: side of a hole / side of a cell, in [0, 1] (albumentations' meaning: the *dropped* side).
        unit_size: side of a cell: pixels if integers, shares of the shorter side if floats; a number or
            ``(least, most)``.
        random_offset: shift the grid by a whole number of pixels below the cell's side.
        fill: see `augdrop.fills`.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> ad.GridDropout(ratio=0.5, unit_size=8, seed=0)(torch.ones(1, 32, 32)).mean().item()
        0.75
    """

    citation: ClassVar = Citation(
        "Buslaev, Iglovikov, Khvedchenya, Parinov, Druzhinin & Kalinin",
        2020,
        "Albumentations: fast and flexible image augmentations, Information 11(2)",
        "1809.06839",
    )
    presets: ClassVar = {"albumentations": {"p": 0.5}}

    def __init__(
        self,
        ratio: float = 0.5,
        unit_size: int | float | tuple[int, int] | tuple[float, float] = 0.1,
        random_offset: bool = True,
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        check_share("GridDropout: ratio", ratio)
        least, most = unit_size if isinstance(unit_size, (tuple, list)) else (unit_size, unit_size)
        for v in (least, most):
            check_whole("GridDropout: unit_size", v, 2) if isinstance(v, int) else check_share(
                "GridDropout: unit_size", v
            )
        where = RandomGrid((least, most), 1 - ratio, "down", 1, "squares", random_offset)  # type: ignore[arg-type]
        super().__init__(where=where, fill=fill, **options)
