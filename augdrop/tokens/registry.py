"""The methods for tokens: one line each. Tests, preview and command line take them from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from augdrop.citation import Citation
from augdrop.errors import fail, nearest
from augdrop.tokens.attention_drop import BlurredSmoothing, HardMasking
from augdrop.tokens.base import Selector
from augdrop.tokens.block_mask import BlockMask, DINOv2Mask
from augdrop.tokens.drop_pos import DropPos
from augdrop.tokens.dynamic_vit import DynamicViT
from augdrop.tokens.edge_dropout import DropKey, EdgeDropout
from augdrop.tokens.evad import EVAD
from augdrop.tokens.evit import EViT
from augdrop.tokens.gmml import GMML
from augdrop.tokens.hpm import HPM
from augdrop.tokens.mae import MAE
from augdrop.tokens.micdrop import MICDrop
from augdrop.tokens.multi_block import IJEPA, VJEPA
from augdrop.tokens.patch_dropout import PatchDropout
from augdrop.tokens.random_keep import RandomKeep
from augdrop.tokens.random_ltd import CITATION as RANDOM_LTD
from augdrop.tokens.random_ltd import random_ltd
from augdrop.tokens.region_keep import RegionKeep
from augdrop.tokens.simmim import SimMIM
from augdrop.tokens.token_dropping import TokenDropping
from augdrop.tokens.tome import ToMe
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
"""What goes by key (or by given scores) and says which tokens of a sample stay."""

METHODS: dict[str, Callable[..., Any]] = {
    **SELECTORS,
    "random_ltd": random_ltd,
    **{cls.__name__: cls for cls in (EViT, DynamicViT, ToMe, EVAD)},  # between a block's attention and its MLP
    **{cls.__name__: cls for cls in (HardMasking, BlurredSmoothing, DropKey, EdgeDropout)},  # on attention itself
    "MICDrop": MICDrop,
}
"""All methods for tokens: selectors, and what works inside of models."""


def citation_of(name: str) -> Citation | None:
    """Where a method comes from; None for this package's own.

    Example:
        >>> citation_of("ToMe").arxiv
        '2210.09461'
    """
    return RANDOM_LTD if name == "random_ltd" else getattr(METHODS[name], "citation", None)


def selector(name: str) -> type[Selector]:
    """The class of a selector by its name.

    Example:
        >>> selector("Tube").__name__
        'Tube'
    """
    if name not in SELECTORS:
        raise fail("selector", got=repr(name), expected="a selector", fix=nearest(name, SELECTORS))
    return SELECTORS[name]
