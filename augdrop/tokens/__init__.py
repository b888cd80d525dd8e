"""Tokens: what a transformer keeps of each sample, decided once by key, and applied to any ``[B, N, D]`` tensor."""

from augdrop.tokens.budgets import Count, Cumulative, Ratio, Threshold, kept, stages
from augdrop.tokens.choose import choose
from augdrop.tokens.mae import MAE, dbot_target, mae_loss, patchify, removed_mean, unpatchify
from augdrop.tokens.random_keep import RandomKeep
from augdrop.tokens.reducer import Reduced, Reducer, Seen, compose
from augdrop.tokens.region_keep import RegionKeep, from_plan
from augdrop.tokens.selection import Selection, from_mask
from augdrop.tokens.span import Span

__all__ = [
    "MAE",
    "Count",
    "Cumulative",
    "RandomKeep",
    "Ratio",
    "Reduced",
    "Reducer",
    "RegionKeep",
    "Seen",
    "Selection",
    "Span",
    "Threshold",
    "choose",
    "compose",
    "dbot_target",
    "from_mask",
    "from_plan",
    "kept",
    "mae_loss",
    "patchify",
    "removed_mean",
    "stages",
    "unpatchify",
]
