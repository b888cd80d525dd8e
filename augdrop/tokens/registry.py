"""The methods that select tokens: one line each. Tests, previews and documentation take them from here."""

from __future__ import annotations

from augdrop.errors import fail, nearest
from augdrop.tokens.base import Selector
from augdrop.tokens.block_mask import BlockMask, DINOv2Mask
from augdrop.tokens.drop_pos import DropPos
from augdrop.tokens.gmml import GMML
from augdrop.tokens.hpm import HPM
from augdrop.tokens.mae import MAE
from augdrop.tokens.multi_block import IJEPA, VJEPA
from augdrop.tokens.patch_dropout import PatchDropout
from augdrop.tokens.random_keep import RandomKeep
from augdrop.tokens.region_keep import RegionKeep
from augdrop.tokens.simmim import SimMIM
from augdrop.tokens.token_dropping import TokenDropping
from augdrop.tokens.tube import Tube

SELECTORS: dict[str, type[Selector]] = {
    cls.__name__: cls
    for cls in (
        RandomKeep,
        RegionKeep,
        PatchDropout,
        MAE,
        SimMIM,
        BlockMask,
        DINOv2Mask,
        GMML,
        Tube,
        IJEPA,
        VJEPA,
        DropPos,
        HPM,
        TokenDropping,
    )
}


def selector(name: str) -> type[Selector]:
    """The class of a selector by its name.

    Example:
        >>> selector("Tube").__name__
        'Tube'
    """
    if name not in SELECTORS:
        raise fail("selector", got=repr(name), expected="a selector", fix=nearest(name, SELECTORS))
    return SELECTORS[name]
