"""AugDrop: decide a drop once, apply it to pixels, labels, boxes, masks, keypoints, feature maps and tokens."""

from augdrop import nn, regions, saliency
from augdrop.annotations import Policy
from augdrop.datasets import collate, keyed, mixed
from augdrop.errors import AugDropError
from augdrop.fills import Blur, Constant, Fill, ImageMean, Noise, Partner, PerChannel
from augdrop.keys import key_of, keys
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.registry import METHODS, method
from augdrop.schedules import Ramp
from augdrop.transforms.attentive_cutmix import AttentiveCutMix
from augdrop.transforms.base import Transform
from augdrop.transforms.coarse_dropout import CoarseDropout
from augdrop.transforms.composition import Compose, OneOf
from augdrop.transforms.cutmix import CutMix
from augdrop.transforms.cutout import Cutout
from augdrop.transforms.drop_block import DropBlock
from augdrop.transforms.grid_dropout import GridDropout
from augdrop.transforms.grid_mask import GridMask
from augdrop.transforms.hide_and_seek import HideAndSeek
from augdrop.transforms.identity import Identity
from augdrop.transforms.mixup import Mixup
from augdrop.transforms.pixel_dropout import PixelDropout
from augdrop.transforms.random_erasing import RandomErasing
from augdrop.transforms.regional import RegionalDropout

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "AttentiveCutMix",
    "AugDropError",
    "Blur",
    "CoarseDropout",
    "Compose",
    "Constant",
    "CutMix",
    "Cutout",
    "DropBlock",
    "Fill",
    "GridDropout",
    "GridMask",
    "HideAndSeek",
    "Identity",
    "ImageMean",
    "Mixup",
    "Noise",
    "OneOf",
    "Partner",
    "PerChannel",
    "PixelDropout",
    "Plan",
    "Plans",
    "Policy",
    "Ramp",
    "RandomErasing",
    "RegionalDropout",
    "Transform",
    "collate",
    "key_of",
    "keyed",
    "keys",
    "method",
    "mixed",
    "nn",
    "regions",
    "saliency",
]
