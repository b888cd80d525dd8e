"""Selections that several tests share."""

from __future__ import annotations

import torch

from augdrop.tokens import Selection, from_mask


def even(batch=4, total=12, count=5, prefix=1, grid=(3, 4)):
    """As many tokens of every sample."""
    generator = torch.Generator().manual_seed(0)
    keep = torch.stack([torch.randperm(total, generator=generator)[:count].sort().values for _ in range(batch)])
    return Selection(keep, total, grid, prefix)


def uneven(batch=4, total=12, prefix=1, grid=(3, 4)):
    """A number of its own of each sample."""
    kept = torch.rand(batch, total, generator=torch.Generator().manual_seed(1)) < 0.5
    keep, padded = from_mask(kept)
    return Selection(keep, total, grid, prefix, padded=padded)


def shuffled():
    """Tokens that do not go in ascending order."""
    selection = even()
    order = torch.tensor([[4, 0, 3, 1, 2]]).expand(len(selection), -1)
    return Selection(selection.keep, selection.total, selection.grid, selection.prefix, order=order)


ALL = {"even": even, "uneven": uneven, "shuffled": shuffled}
