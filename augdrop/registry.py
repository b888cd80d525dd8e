"""The methods: one line each. Tests, benchmark, preview and command line take them from here."""

from __future__ import annotations

from augdrop.errors import fail, nearest
from augdrop.transforms.attentive_cutmix import AttentiveCutMix
from augdrop.transforms.base import Transform
from augdrop.transforms.coarse_dropout import CoarseDropout
from augdrop.transforms.cutmix import CutMix
from augdrop.transforms.cutout import Cutout
from augdrop.transforms.drop_block import DropBlock
from augdrop.transforms.grid_dropout import GridDropout
from augdrop.transforms.grid_mask import GridMask
from augdrop.transforms.hide_and_seek import HideAndSeek
from augdrop.transforms.mixup import Mixup
from augdrop.transforms.pixel_dropout import PixelDropout
from augdrop.transforms.random_erasing import RandomErasing

METHODS: dict[str, type[Transform]] = {
    cls.__name__: cls
    for cls in (
        Cutout,
        RandomErasing,
        CoarseDropout,
        GridMask,
        GridDropout,
        HideAndSeek,
        DropBlock,
        PixelDropout,
        CutMix,
        AttentiveCutMix,
        Mixup,
    )
}


def method(name: str) -> type[Transform]:
    """The class of a method by its name.

    Example:
        >>> method("GridMask").__name__
        'GridMask'
    """
    if name not in METHODS:
        raise fail("method", got=repr(name), expected="a method", fix=nearest(name, METHODS))
    return METHODS[name]
