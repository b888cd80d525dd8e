"""MICDrop: where the image's features are masked, depth's are kept, and the other way round."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from augdrop.checks import check_probability, check_range, check_whole, plain_fields, seed_of
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.keys import Ids, resolve
from augdrop.regions.mask import bernoulli_map
from augdrop.rng import Draws, stream_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class MICDrop:
    """Mask blocks of one modality's feature pyramid, and of the other's those that the first keeps.

    Yang, Hoyer, Weber, Fischer, Dai, Leal-Taixé, Pollefeys, Cremers & Van Gool (2024), MICDrop: masking image and depth
    features via complementary dropout for domain-adaptive semantic segmentation, arXiv 2408.16478. A reconstruction
    from the abstract and the authors' project page, which say that the masks are complementary and act on each feature
    resolution before fusion, in training. Chosen here: a block is masked by a toss of its own; the mask is made in
    cells of the coarsest level, and finer levels take the same areas (nearest neighbour); kept features are not
    rescaled; of a range of ratios each sample draws one. The authors' schedule of masking is not known.

    Args:
        ratio: chance that a block of the image's features is masked, else depth's is; or the range that a sample's
            chance is drawn from. 0 masks all of depth, 1 all of the image.
        block: side of a block, in cells of the coarsest level.
        p: chance that a sample is masked at all; where not, both modalities stay whole.
        seed: any integer; None takes one from torch's generator when this is made.

    Example:
        >>> drop = MICDrop(ratio=0.5, seed=0)
        >>> image = [torch.ones(2, 8, 16, 16), torch.ones(2, 16, 8, 8)]
        >>> depth = [torch.ones(2, 4, 16, 16), torch.ones(2, 4, 8, 8)]
        >>> image, depth = drop(image, depth, keys=[3, 4])
        >>> bool((image[0][:, 0] + depth[0][:, 0] == 1).all())
        True
    """

    ratio: float | tuple[float, float] = 0.5
    block: int = 1
    p: float = 1.0
    seed: int | None = None
    citation: ClassVar = Citation(
        "Yang, Hoyer, Weber, Fischer, Dai, Leal-Taixé, Pollefeys, Cremers & Van Gool",
        2024,
        "MICDrop: masking image and depth features via complementary dropout for domain-adaptive semantic segmentation",
        "2408.16478",
    )

    def __post_init__(self) -> None:
        plain_fields(self)
        check_whole("MICDrop: block", self.block, 1)
        check_probability("MICDrop: p", self.p)
        check_range("MICDrop: ratio", self._range, 0, 1)
        object.__setattr__(self, "seed", seed_of("MICDrop: seed", self.seed))

    @property
    def _range(self) -> tuple[float, float]:
        return self.ratio if isinstance(self.ratio, tuple) else (self.ratio, self.ratio)

    def __call__(
        self,
        image: Sequence[Tensor],
        depth: Sequence[Tensor],
        *,
        keys: Ids | None = None,
        epoch: Ids | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Both pyramids, masked: new tensors.

        Args:
            image, depth: features ``[B, C, H, W]`` of as many levels, of the same sides at each level.
            keys, epoch: see `augdrop.keys`.
        """
        sides = [(f.shape[-2], f.shape[-1]) for f in image]
        if (
            not image
            or sides != [(f.shape[-2], f.shape[-1]) for f in depth]
            or len({len(f) for f in (*image, *depth)}) != 1
        ):
            raise fail(
                "MICDrop",
                got=f"levels {sides} and {[tuple(f.shape[-2:]) for f in depth]}",
                expected="the same levels of both modalities, [B, C, H, W]",
                fix="Resize one to the other.",
            )
        masked, hit = self.mask(len(image[0]), min(sides), keys=keys, epoch=epoch)
        gone = [interpolate(masked[:, None].float(), size=size, mode="nearest-exact") > 0.5 for size in sides]
        hit = hit[:, None, None, None]
        return (
            [f.masked_fill((m & hit).to(f.device), 0) for f, m in zip(image, gone, strict=True)],
            [f.masked_fill((~m & hit).to(f.device), 0) for f, m in zip(depth, gone, strict=True)],
        )

    def mask(
        self, batch: int, size: tuple[int, int], *, keys: Ids | None = None, epoch: Ids | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is masked of the image at the coarsest level, bool ``[B, h, w]``, and of which samples, bool ``[B]``."""
        draws = Draws(stream_key(self.seed or 0, "MICDrop"), *resolve(keys, epoch, batch, 0))
        h, w = (-(-side // self.block) for side in size)
        u = draws.uniforms(2, first=0)
        low, high = self._range
        blocks = torch.from_numpy(bernoulli_map(*draws, low + (high - low) * u[:, 1], h, w)).bool()
        cells = blocks.repeat_interleave(self.block, 1).repeat_interleave(self.block, 2)
        return cells[:, : size[0], : size[1]], torch.from_numpy(u[:, 0] < self.p)
