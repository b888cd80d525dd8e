"""DropBlock on images: square blocks, as many as chance has it."""

from __future__ import annotations

from typing import ClassVar, Unpack

from augdrop.checks import check_share, check_whole
from augdrop.citation import Citation
from augdrop.fills import Fill
from augdrop.regions.blocks import RandomBlocks
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout


class DropBlock(RegionalDropout):
    """Drop blocks of one size around random seeds, the same for all channels.

    For feature maps use the modules `augdrop.nn.DropBlock1d`, `DropBlock2d` and `DropBlock3d`.

    Args:
        drop_ratio: share to drop, before blocks overlap, in [0, 1] (``1 - keep_prob``).
        block_size: side of a block: pixels if an integer, share of the shorter side if a float; at most the image.
        fill: see `augdrop.fills`.
        options: see `Options`.

    Example:
        >>> import augdrop as ad, torch
        >>> 0.05 < (ad.DropBlock(0.1, 8, seed=0)(torch.ones(64, 1, 64, 64)) == 0).float().mean().item() < 0.12
        True
    """

    citation: ClassVar = Citation(
        "Ghiasi, Lin & Le", 2018, "DropBlock: a regularization method for convolutional networks, NeurIPS", "1810.12890"
    )
    presets: ClassVar = {"paper": {"drop_ratio": 0.1, "block_size": 7}}

    def __init__(
        self,
        drop_ratio: float = 0.1,
        block_size: int | float = 0.1,
        fill: Fill | float | tuple[float, ...] | str = 0,
        **options: Unpack[Options],
    ) -> None:
        check_share("DropBlock: drop_ratio", drop_ratio)
        check = check_whole if isinstance(block_size, int) else check_share
        check("DropBlock: block_size", block_size, 1)
        super().__init__(where=RandomBlocks(drop_ratio, block_size), fill=fill, **options)
