"""AugDrop: decide a drop once, apply it to pixels, labels, boxes, masks, keypoints, feature maps and tokens."""

from typing import TYPE_CHECKING, Any

from augdrop import adapters, nn, regions, saliency, tokens
from augdrop.annotations import Policy
from augdrop.datasets import collate, keyed, mixed
from augdrop.errors import AugDropError
from augdrop.fills import Blur, Constant, Fill, ImageMean, Noise, Partner, PerChannel
from augdrop.keys import key_of, keys
from augdrop.plan import Plan
from augdrop.plan_buffer import PlanBuffer
from augdrop.plans import Plans
from augdrop.prefetch import Prefetcher
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
from augdrop.warmup import warmup

if TYPE_CHECKING:
    from augdrop.adapters import to_albumentations as to_albumentations
    from augdrop.adapters import to_arrays as to_arrays
    from augdrop.adapters import to_dali as to_dali
    from augdrop.adapters import to_datasets as to_datasets
    from augdrop.adapters import to_kornia as to_kornia
    from augdrop.adapters import to_lightning as to_lightning
    from augdrop.adapters import to_ray as to_ray
    from augdrop.adapters import to_timm as to_timm
    from augdrop.adapters import to_transformers as to_transformers
    from augdrop.adapters import to_webdataset as to_webdataset

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
    "PlanBuffer",
    "Plans",
    "Policy",
    "Prefetcher",
    "Ramp",
    "RandomErasing",
    "RegionalDropout",
    "Transform",
    "adapters",
    "collate",
    "key_of",
    "keyed",
    "keys",
    "method",
    "mixed",
    "nn",
    "regions",
    "saliency",
    "tokens",
    "warmup",
]


def __getattr__(name: str) -> Any:
    # Adapters are found when they are first asked for, so that no ecosystem is imported before it is used.
    if name in adapters.ADAPTERS:
        return getattr(adapters, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
