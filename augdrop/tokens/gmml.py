"""GMML and SiT: groups of tokens become noise, another sample's, or zeros, and the model is to repair them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from augdrop.checks import check_share
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.kernels.noise import law, values, words
from augdrop.keys import Ids
from augdrop.pairing import pair
from augdrop.rng import FIRST, Draws, stream_key
from augdrop.tokens.block_mask import BlockMask
from augdrop.tokens.selection import Selection


@dataclasses.dataclass(frozen=True)
class GMML(BlockMask):
    """Corrupt groups of neighbouring tokens; all tokens stay in the sequence.

    Atito, Awais & Kittler (2022), GMML is all you need, arXiv 2205.14986, and (2021), SiT: self-supervised vision
    transformer, arXiv 2104.03602. A reconstruction from the papers: they corrupt up to 70 % of an image with noise and
    about half as much with parts of other images. How the groups are drawn is chosen here: as `BlockMask` draws them,
    each rectangle with a corruption of its own. Their other tasks (rotation, contrast) and their colour distortions are
    no part of this.

    Called, it gives the selection of tokens that are left as they are; `corrupt` gives the corrupted tokens.

    Args:
        ratio: share of the tokens that are corrupted.
        noise, other: chance of a group to become normal noise (mean 0, deviation 1), or another sample's tokens from
            the same places; else it becomes zeros.
        least: tokens of the smallest group; ``count`` and ``aspect`` as `BlockMask` has them.

    Example:
        >>> from augdrop.tokens import patchify, unpatchify
        >>> patches = patchify(torch.rand(4, 3, 224, 224), 16)
        >>> corrupted, selection = GMML(seed=0).corrupt(patches, keys=range(4))
        >>> unpatchify(corrupted, 16, (14, 14)).shape
        torch.Size([4, 3, 224, 224])
        >>> torch.equal((corrupted == patches).all(-1), selection.mask("kept"))
        True
    """

    ratio: float = 0.7
    noise: float = 0.65
    other: float = 0.35
    least: int = dataclasses.field(default=4, kw_only=True)
    presets: ClassVar = {"paper": {}, "zeros": {"noise": 0.0, "other": 0.0}}
    citation = Citation("Atito, Awais & Kittler", 2022, "GMML is all you need", "2205.14986")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("GMML: noise", self.noise)
        check_share("GMML: other", self.other)
        if self.noise + self.other > 1 + 1e-9:
            raise fail(
                "GMML: noise + other", got=self.noise + self.other, expected="at most 1", fix="The rest becomes zeros."
            )

    def corrupt(self, x: Tensor, *, keys: Ids | None = None, epoch: Ids | None = None) -> tuple[Tensor, Selection]:
        """The corrupted tokens, and which were left as they are.

        Args:
            x: ``[B, prefix + N, D]``, floating point: image tokens, or patches of normalised images (`patchify`). Whose
                tokens a sample gets depends on which samples are with it; alone, it gets its own.
        """
        if x.ndim != 3 or not x.is_floating_point():
            raise fail(
                "GMML.corrupt", got=f"{x.dtype} {tuple(x.shape)}", expected="floats [B, N, D]", fix="Embed first."
            )
        draws, total = self.draws(len(x), keys, epoch), self.total(x)
        numbers = self.numbers(draws, total)
        groups = Draws(stream_key(self.seed or 0, f"{type(self).__name__}/groups"), draws.keys, draws.epochs)
        chance = torch.from_numpy(groups.uniforms(total + 1, FIRST)).gather(1, numbers).to(x.device)
        noise_keys, patches = draws.words(1, first=1)[:, 0].view(np.int64), x[:, self.prefix :]
        normal, own = law(x.dtype, True, None, None), torch.from_numpy(noise_keys).to(x.device)
        made = values(normal, words(own, patches.shape[1:].numel()), x.dtype)
        others = patches[torch.from_numpy(pair(draws.order(), "sample")[0]).to(x.device)]
        new = torch.where((chance < self.noise + self.other)[..., None], others, 0)
        new = torch.where((chance < self.noise)[..., None], made.view_as(patches), new)
        patches = torch.where((numbers > 0).to(x.device)[..., None], new, patches)
        return torch.cat([x[:, : self.prefix], patches], 1), self.finish(self.select(draws, total), x)
