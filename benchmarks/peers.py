"""The peers: one short function each, as their own users would write it, beside the same thing done by AugDrop.

A row compares like with like: the same law, a draw for each image or one for the batch, a new tensor or in place,
labels mixed on both sides or on neither. Where a peer's user must loop over images in Python, the loop is in the row,
and so is stacking the results to a new batch; the way from tensors to the arrays that albumentations takes is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import augdrop as ad
from benchmarks.comparison import CLASSES, IN_PLACE, NEW, Peer
from benchmarks.timing import DTYPES, Call

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no look at the network while the clock runs

PEERS: list[Peer] = []


def peer(
    call: str,
    ours: Callable[[], Any],
    state: str = NEW,
    *,
    shared: bool = False,
    labels: bool = False,
    dtypes: tuple[torch.dtype, ...] = DTYPES,
) -> Callable[[Callable[[Tensor, Tensor], Call]], Callable[[Tensor, Tensor], Call]]:
    """Enter a function into the table; its name begins with the library's."""

    def enter(make: Callable[[Tensor, Tensor], Call]) -> Callable[[Tensor, Tensor], Call]:
        PEERS.append(Peer(make.__name__.split("_")[0], call, make, ours, state, shared, labels, dtypes))
        return make

    return enter


FLOAT = (torch.float32,)


def erasing(**parameters: Any) -> Any:
    return ad.RandomErasing.preset("torchvision", p=1.0, seed=0, **parameters)


def cutmix(**parameters: Any) -> Any:
    return ad.CutMix(num_classes=CLASSES, seed=0, **parameters)


def mixup(**parameters: Any) -> Any:
    return ad.Mixup(alpha=1.0, num_classes=CLASSES, seed=0, **parameters)


def each(x: Tensor) -> list[Tensor]:
    """The images of a batch, or the one image."""
    return [x] if x.ndim == 3 else list(x)


# torchvision: one region a call, so a draw for each image takes a loop.


@peer("v2.RandomErasing, image by image", erasing)
def torchvision_random_erasing(x: Tensor, y: Tensor) -> Call:
    from torchvision.transforms import v2

    t, parts = v2.RandomErasing(p=1.0), each(x)
    return (lambda: t(x)) if x.ndim == 3 else (lambda: torch.stack([t(image) for image in parts]))


@peer("v2.RandomErasing(inplace=True), image by image", erasing, IN_PLACE)
def torchvision_random_erasing_in_place(x: Tensor, y: Tensor) -> Call:
    from torchvision.transforms import v2

    t, parts = v2.RandomErasing(p=1.0, inplace=True), each(x)
    return lambda: [t(image) for image in parts]


@peer("v2.RandomErasing", erasing, shared=True)
def torchvision_random_erasing_shared(x: Tensor, y: Tensor) -> Call:
    from torchvision.transforms import v2

    t = v2.RandomErasing(p=1.0)
    return lambda: t(x)


@peer("v2.CutMix", lambda: cutmix(per="batch"), shared=True, labels=True)
def torchvision_cutmix(x: Tensor, y: Tensor) -> Call:
    from torchvision.transforms import v2

    t = v2.CutMix(num_classes=CLASSES)
    return lambda: t(x, y)


@peer("v2.MixUp", lambda: mixup(per="batch"), shared=True, labels=True, dtypes=FLOAT)
def torchvision_mixup(x: Tensor, y: Tensor) -> Call:
    from torchvision.transforms import v2

    t = v2.MixUp(num_classes=CLASSES)
    return lambda: t(x, y)


# timm: in place, by a loop of its own.


@peer('RandomErasing(mode="const")', lambda: ad.RandomErasing.preset("timm", p=1.0, seed=0), IN_PLACE)
def timm_random_erasing(x: Tensor, y: Tensor) -> Call:
    from timm.data.random_erasing import RandomErasing

    t = RandomErasing(probability=1.0, mode="const", device=str(x.device))
    return lambda: t(x)


@peer(
    'RandomErasing(mode="pixel")',
    lambda: ad.RandomErasing.preset("timm-pixel", p=1.0, seed=0),
    IN_PLACE,
    dtypes=FLOAT,
)
def timm_random_erasing_pixel(x: Tensor, y: Tensor) -> Call:
    from timm.data.random_erasing import RandomErasing

    t = RandomErasing(probability=1.0, mode="pixel", device=str(x.device))
    return lambda: t(x)


def _timm_mixup(x: Tensor, y: Tensor, mode: str, **alphas: float) -> Call:
    from timm.data import Mixup

    t = Mixup(**alphas, mode=mode, num_classes=CLASSES)
    return lambda: t(x, y)


def _timm(method: Callable[..., Any], **parameters: Any) -> Callable[[], Any]:
    box = {"box": "clipped-odd"} if method is cutmix else {}
    return lambda: method(label_smoothing=0.1, **box, **parameters)


# Its labels are wrong for uint8 in the modes "elem" and "pair"; its time is what counts here.
@peer('Mixup(cutmix, mode="elem")', _timm(cutmix), IN_PLACE, labels=True)
def timm_cutmix_elem(x: Tensor, y: Tensor) -> Call:
    return _timm_mixup(x, y, "elem", mixup_alpha=0.0, cutmix_alpha=1.0)


@peer('Mixup(cutmix, mode="pair")', _timm(cutmix, per="pair"), IN_PLACE, labels=True)
def timm_cutmix_pair(x: Tensor, y: Tensor) -> Call:
    return _timm_mixup(x, y, "pair", mixup_alpha=0.0, cutmix_alpha=1.0)


@peer('Mixup(cutmix, mode="batch")', _timm(cutmix, per="batch"), IN_PLACE, shared=True, labels=True)
def timm_cutmix_batch(x: Tensor, y: Tensor) -> Call:
    return _timm_mixup(x, y, "batch", mixup_alpha=0.0, cutmix_alpha=1.0)


@peer('Mixup(mixup, mode="elem")', _timm(mixup), IN_PLACE, labels=True)
def timm_mixup_elem(x: Tensor, y: Tensor) -> Call:
    return _timm_mixup(x, y, "elem", mixup_alpha=1.0, cutmix_alpha=0.0)


@peer('Mixup(mixup, mode="batch")', _timm(mixup, per="batch"), IN_PLACE, shared=True, labels=True, dtypes=FLOAT)
def timm_mixup_batch(x: Tensor, y: Tensor) -> Call:
    return _timm_mixup(x, y, "batch", mixup_alpha=1.0, cutmix_alpha=0.0)


# kornia: floats only; a draw for each image.


@peer("RandomErasing", erasing, dtypes=FLOAT)
def kornia_random_erasing(x: Tensor, y: Tensor) -> Call:
    from kornia.augmentation import RandomErasing

    t = RandomErasing(p=1.0)
    return lambda: t(x)


@peer("RandomErasing(same_on_batch=True)", erasing, shared=True, dtypes=FLOAT)
def kornia_random_erasing_shared(x: Tensor, y: Tensor) -> Call:
    from kornia.augmentation import RandomErasing

    t = RandomErasing(p=1.0, same_on_batch=True)
    return lambda: t(x)


@peer("RandomCutMixV2", lambda: cutmix(box="inside", targets="pairs"), labels=True, dtypes=FLOAT)
def kornia_cutmix(x: Tensor, y: Tensor) -> Call:
    from kornia.augmentation import RandomCutMixV2

    t = RandomCutMixV2(p=1.0, data_keys=["input", "class"], use_correct_lambda=True)
    return lambda: t(x, y)


@peer("RandomMixUpV2", lambda: mixup(targets="pairs"), labels=True, dtypes=FLOAT)
def kornia_mixup(x: Tensor, y: Tensor) -> Call:
    from kornia.augmentation import RandomMixUpV2

    t = RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    return lambda: t(x, y)


# albumentations: one H×W×C array at a time.


def _albumentations(x: Tensor, name: str, **parameters: Any) -> Call:
    import albumentations as A

    t = getattr(A, name)(p=1.0, **parameters)
    arrays = [image.permute(1, 2, 0).contiguous().numpy() for image in each(x)]
    if x.ndim == 3:
        return lambda: t(image=arrays[0])["image"]
    return lambda: np.stack([t(image=image)["image"] for image in arrays])


@peer("Erasing, image by image", erasing)
def albumentations_erasing(x: Tensor, y: Tensor) -> Call:
    return _albumentations(x, "Erasing", scale=(0.02, 0.33), ratio=(0.3, 3.3), fill=0)


@peer("CoarseDropout, image by image", lambda: ad.CoarseDropout(seed=0))
def albumentations_coarse_dropout(x: Tensor, y: Tensor) -> Call:
    return _albumentations(x, "CoarseDropout", num_holes_range=(1, 2))


@peer("GridDropout, image by image", lambda: ad.GridDropout(seed=0))
def albumentations_grid_dropout(x: Tensor, y: Tensor) -> Call:
    return _albumentations(x, "GridDropout", ratio=0.5, random_offset=True)


@peer("PixelDropout, image by image", lambda: ad.PixelDropout(seed=0))
def albumentations_pixel_dropout(x: Tensor, y: Tensor) -> Call:
    return _albumentations(x, "PixelDropout", dropout_prob=0.01)


# paraug: floats only; a draw for each image; labels are left to the caller, so ours are not mixed either.


def _paraug(x: Tensor, name: str, **spec: Any) -> Call:
    from paraug import AugPipeline

    t = AugPipeline({"photometric": {name: {"p": 1.0, **spec}}})
    x = x if x.ndim > 3 else x[None]
    return lambda: t(x)


@peer("cutout", lambda: ad.CoarseDropout((1, 3), (0.05, 0.2), (0.05, 0.2), seed=0), dtypes=FLOAT)
def paraug_cutout(x: Tensor, y: Tensor) -> Call:
    return _paraug(x, "cutout", n_boxes_range=(1, 3), size_frac_range=(0.05, 0.2), value=0.0)


@peer('random_erasing(fill_mode="constant")', erasing, dtypes=FLOAT)
def paraug_random_erasing(x: Tensor, y: Tensor) -> Call:
    return _paraug(x, "random_erasing", size_frac_range=(0.02, 0.33), fill_mode="constant", fill_value=0.0)


@peer('random_erasing(fill_mode="normal")', lambda: erasing(fill="normal"), dtypes=FLOAT)
def paraug_random_erasing_normal(x: Tensor, y: Tensor) -> Call:
    return _paraug(x, "random_erasing", size_frac_range=(0.02, 0.33), fill_mode="normal")


@peer("grid_mask", lambda: ad.GridMask(ratio=0.6, period=(0.43, 0.995), seed=0), dtypes=FLOAT)
def paraug_grid_mask(x: Tensor, y: Tensor) -> Call:
    side = min(x.shape[-2:])
    return _paraug(x, "grid_mask", ratio=0.4, d_range=(0.43 * side, 0.995 * side), rotation_deg=180.0)


@peer("cutmix", lambda: ad.CutMix(box="inside", seed=0), dtypes=FLOAT)
def paraug_cutmix(x: Tensor, y: Tensor) -> Call:
    return _paraug(x, "cutmix", alpha=1.0)


@peer("mixup", lambda: ad.Mixup(alpha=1.0, seed=0), dtypes=FLOAT)
def paraug_mixup(x: Tensor, y: Tensor) -> Call:
    return _paraug(x, "mixup", alpha=1.0)
