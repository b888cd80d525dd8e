"""Tokens: what a transformer keeps of each sample, decided once by key, and applied to any ``[B, N, D]`` tensor."""

from augdrop.tokens import scores
from augdrop.tokens.actions import attention_bias, drop, fuse, hide, places, replace
from augdrop.tokens.attach import Attachment, attach
from augdrop.tokens.attention_drop import BlurredSmoothing, HardMasking, consistency_loss
from augdrop.tokens.base import Selector
from augdrop.tokens.block_mask import BlockMask, DINOv2Mask, token_weights
from augdrop.tokens.budgets import Count, Cumulative, Ratio, Threshold, kept, stages
from augdrop.tokens.choose import choose
from augdrop.tokens.drop_pos import (
    DropPos,
    Puzzle,
    attentive_weights,
    droppos_accuracy,
    droppos_loss,
    multi_task_loss,
    sigma_at,
    smoothing_map,
)
from augdrop.tokens.dynamic_vit import DynamicViT, Predictor
from augdrop.tokens.edge_dropout import DropKey, EdgeDropout, palindrome_losses
from augdrop.tokens.evad import EVAD, TokenGrid
from augdrop.tokens.evit import CosineKeep, EViT
from augdrop.tokens.gmml import GMML
from augdrop.tokens.hpm import HPM, absolute_loss, ema_momentum, relative_loss
from augdrop.tokens.mae import MAE, dbot_target, mae_loss, patchify, removed_mean, unpatchify
from augdrop.tokens.micdrop import MICDrop
from augdrop.tokens.multi_block import IJEPA, VJEPA, truncate
from augdrop.tokens.patch_dropout import PatchDropout
from augdrop.tokens.perturb import perturbed_attention
from augdrop.tokens.random_keep import RandomKeep
from augdrop.tokens.random_ltd import GrowingLength, random_ltd
from augdrop.tokens.reducer import Reduced, Reducer, Seen, compose
from augdrop.tokens.region_keep import RegionKeep, from_plan
from augdrop.tokens.rows import from_mask
from augdrop.tokens.selection import Selection
from augdrop.tokens.simmim import SimMIM, simmim_loss
from augdrop.tokens.span import Span
from augdrop.tokens.token_dropping import ImportanceTable, TokenDropping, drop_middle, sctd_loss
from augdrop.tokens.tome import ToMe, merge, merges, unmerge
from augdrop.tokens.tube import Tube

__all__ = [
    "EVAD",
    "GMML",
    "HPM",
    "IJEPA",
    "MAE",
    "VJEPA",
    "Attachment",
    "BlockMask",
    "BlurredSmoothing",
    "CosineKeep",
    "Count",
    "Cumulative",
    "DINOv2Mask",
    "DropKey",
    "DropPos",
    "DynamicViT",
    "EViT",
    "EdgeDropout",
    "GrowingLength",
    "HardMasking",
    "ImportanceTable",
    "MICDrop",
    "PatchDropout",
    "Predictor",
    "Puzzle",
    "RandomKeep",
    "Ratio",
    "Reduced",
    "Reducer",
    "RegionKeep",
    "Seen",
    "Selection",
    "Selector",
    "SimMIM",
    "Span",
    "Threshold",
    "ToMe",
    "TokenDropping",
    "TokenGrid",
    "Tube",
    "absolute_loss",
    "attach",
    "attention_bias",
    "attentive_weights",
    "choose",
    "compose",
    "consistency_loss",
    "dbot_target",
    "drop",
    "drop_middle",
    "droppos_accuracy",
    "droppos_loss",
    "ema_momentum",
    "from_mask",
    "from_plan",
    "fuse",
    "hide",
    "kept",
    "mae_loss",
    "merge",
    "merges",
    "multi_task_loss",
    "palindrome_losses",
    "patchify",
    "perturbed_attention",
    "places",
    "random_ltd",
    "relative_loss",
    "removed_mean",
    "replace",
    "scores",
    "sctd_loss",
    "sigma_at",
    "simmim_loss",
    "smoothing_map",
    "stages",
    "token_weights",
    "truncate",
    "unmerge",
    "unpatchify",
]
