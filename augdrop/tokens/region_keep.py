"""RegionKeep: a regional transform drops tokens instead of painting pixels, and the model computes only the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from augdrop.checks import check_positive, check_share, check_whole
from augdrop.errors import fail
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.regions.base import per_patch
from augdrop.rng import Draws
from augdrop.tokens.base import Selector
from augdrop.tokens.rows import from_mask
from augdrop.tokens.selection import Selection


def from_plan(plan: Plan | Plans, patch: int | tuple[int, int], min_share: float = 0.5, prefix: int = 0) -> Selection:
    """The tokens that a plan leaves: those of which less than ``min_share`` is dropped.

    A sample of which nothing would be left keeps the token that the plan covers least; of a mix, what stays is the
    sample's own part.

    Args:
        plan: of B samples on a canvas that patches divide.
        patch: side of a token in pixels, or ``(height, width)``.
        min_share: dropped share from which on a token goes, in (0, 1]: near 0 every token that is touched goes, at 1
            only those that are covered.
        prefix: see `Selection`.

    Example:
        >>> import augdrop as ad
        >>> plan = ad.Cutout(32, seed=0).plan((2, 3, 64, 64), keys=[3, 4])
        >>> from_plan(plan, patch=16), plan.tokens(16).sum(1).tolist()
        (Selection(12 to 14 of 16 tokens a sample, 2 samples, grid 4×4), [4, 2])
    """
    check_share("tokens: min_share", min_share)
    check_positive("tokens: min_share", min_share)
    members = plan.plans if isinstance(plan, Plans) else (plan,)
    if any(one.opacity is not None and (one.opacity[one.hit] < 1).any() for one in members):
        raise fail(
            "tokens: plan",
            got="samples that are blended",
            expected="pixels that are dropped or replaced",
            fix="Take a transform of regions, such as CutMix in place of Mixup.",
        )
    dropped, area = per_patch(plan.mask(), patch)
    counts = dropped.flatten(1)
    kept = (counts == 0) | (counts < min_share * area)
    kept.scatter_(1, counts.argmin(1, keepdim=True), True)
    keep, padded = from_mask(kept)
    return Selection(keep, kept.shape[1], tuple(dropped.shape[1:]), prefix, padded=padded)


@dataclasses.dataclass(frozen=True)
class RegionKeep(Selector):
    """Drop the tokens that a transform's region covers; the same seed, key and epoch as on pixels, the same region.

    Args:
        transform: any AugDrop transform, such as ``ad.GridMask()``; ``transform.tokens(patch)`` makes this.
        patch: side of a token in pixels.
        min_share: see `from_plan`.

    Example:
        >>> import augdrop as ad, torch
        >>> grid = ad.GridMask((32, 33), seed=0)
        >>> selection = grid.tokens(patch=16, prefix=1)(torch.rand(2, 197, 8), keys=[5, 6])
        >>> kept = grid.plan((2, 3, 224, 224), keys=[5, 6]).tokens(16)
        >>> bool((selection.mask("removed") == kept).all())
        True
    """

    transform: Any = None
    patch: int = 16
    min_share: float = 0.5

    def __post_init__(self) -> None:
        self.check_place()
        check_whole("RegionKeep: patch", self.patch, 1)
        check_share("RegionKeep: min_share", self.min_share)
        check_positive("RegionKeep: min_share", self.min_share)
        if not hasattr(self.transform, "plan"):
            raise fail(
                "RegionKeep: transform", got=self.transform, expected="a transform", fix="Such as ad.GridMask()."
            )
        object.__setattr__(self, "seed", self.transform.seed)

    def draws(self, batch: int, keys: Any, epoch: Any) -> Draws:
        return self.transform.draws(batch, keys, epoch)

    def select(self, draws: Draws, total: int, scores: Tensor | None = None, **given: Any) -> Selection:
        grid = self.lattice(total)
        shape = (len(draws), 3, grid[0] * self.patch, grid[1] * self.patch)
        wanted = {"scores": scores} if self.transform.uses_pixels else {}
        plan = self.transform.plan(shape, keys=draws.keys, epoch=draws.epochs, **wanted)
        return from_plan(plan, self.patch, self.min_share)
