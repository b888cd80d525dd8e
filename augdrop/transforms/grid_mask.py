"""GridMask: a turned lattice of squares."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

from augdrop.checks import check_choice, check_range, check_share, check_whole
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.random_grid import RandomGrid
from augdrop.schedules import Ramp
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class GridMask(RegionalDropout):
    """Drop a lattice of squares whose period, offset and angle are drawn.

    Squares of side ``period - stripe`` go, and stripes of ``ceil(period * ratio)`` stay: the dropped share is
    ``(1 - ratio)**2``. Mind the polarity: DALI, albumentations and keras-cv call the *dropped* side's share ``ratio``.

    Args:
        period: shortest and longest period ``d``, both included: pixels if integers (the paper's 96 to 223 are for
            images of 224), shares of the shorter side if floats.
        ratio: stripe width / period, in [0, 1].
        rotate: the angle is a whole number of degrees below this; 1 is no rotation.
        drop: ``"squares"`` (the paper, the authors' mode 1) or ``"stripes"`` (their mode 0).
        fill: see `augdrop.fills`.
        options: see `Options`; the authors raise ``p`` over training, as the preset ``"imagenet"`` does.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.GridMask(period=(8, 16), ratio=0.5, seed=0)
        >>> 0.1 < (t(torch.ones(64, 1, 32, 32)) == 0).float().mean().item() < 0.4
        True
    """

    citation: ClassVar = Citation("Chen, Liu, Zhao & Jia", 2020, "GridMask data augmentation", "2001.04086")
    presets: ClassVar = {
        "paper": {"p": 0.8},
        "imagenet": {"p": Ramp(0.8, epochs=240)},
        "authors-default": {"ratio": 0.5, "rotate": 1, "drop": "stripes"},
        "detection": {"period": (2, 1.0), "ratio": 0.5, "rotate": 1, "p": 0.5},
        "small": {"period": (0.25, 0.75)},
    }

    def __init__(
        self,
        period: tuple[int, int] | tuple[float, float] = (96, 223),
        ratio: float = 0.6,
        rotate: int = 360,
        drop: Literal["squares", "stripes"] = "squares",
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        ends = period if isinstance(period, (tuple, list)) and len(period) == 2 else ()
        kinds = {type(v) for v in ends}
        if kinds == {int, float}:
            for v in ends:
                check_share("GridMask: period", v, 4) if isinstance(v, float) else check_whole("GridMask: period", v, 1)
        else:
            pixels = kinds == {int}
            check_range("GridMask: period", period, int(pixels), 1 << 20 if pixels else 4)
        check_share("GridMask: ratio", ratio)
        check_whole("GridMask: rotate", rotate, 1)
        check_choice("GridMask: drop", drop, ("squares", "stripes"))
        where = RandomGrid(tuple(period), ratio, "up", rotate, drop)  # type: ignore[arg-type]
        super().__init__(where=where, fill=fill, **options)
