"""A sample, a box that is erased or pasted in it, and `run`, which does that and no more."""

from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from augdrop import Policy, labels, regions
from augdrop.annotations import ERASING, MIXING
from augdrop.kernels.dispatch import apply
from augdrop.samples import unpack
from tests.helpers import Untouched, plan_of

H, W = 8, 10
BOX = (1, 2, 5, 8)
KEEP = Policy(keypoints="keep")
SOFT = {"num_classes": 4}


def boxes_plan(n, hit=True, mixes=False, size=(H, W)):
    region = regions.Boxes(size, torch.tensor(BOX).expand(n, 1, 4))
    partner = torch.arange(n).roll(-1) if mixes else None
    return plan_of(region, hit=torch.full((n,), hit), partner=partner)


def run(*inputs, hit=True, mixes=False, options=None, policy=None, getter: Any = "default", inplace=False):
    """Unpack, paint one box a sample, put together; the inputs must not change."""

    def paint(x, plan, ours):
        return apply(x, plan, inplace=inplace or ours)

    def whole():
        batch = unpack(inputs, labels_getter=getter)
        plans = [boxes_plan(len(g.positions), hit, mixes, g.images.shape[-2:]) for g in batch.groups]
        policy_ = policy or (MIXING if mixes else ERASING)
        mixing = None if options is None else lambda target, plan, _: labels.mix(target, plan, **options)
        classes = (options or {}).get("num_classes")
        return batch.finish(paint, plans, mixes=mixes, mix_labels=mixing, num_classes=classes, policies=policy_)

    if inplace:
        return whole()
    with Untouched(inputs):
        return whole()


def erased(x):
    """An image tensor with the box set to 0."""
    x = x.clone()
    x[..., BOX[0] : BOX[2], BOX[1] : BOX[3]] = 0
    return x


def pasted(x, other):
    x = x.clone()
    x[..., BOX[0] : BOX[2], BOX[1] : BOX[3]] = other[..., BOX[0] : BOX[2], BOX[1] : BOX[3]]
    return x


def images(n=None, channels=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, H, W) if n is None else (n, channels, H, W)
    return torch.randint(1, 200, shape, generator=generator).to(dtype)


def sample(seed=0, k=2):
    """A detection sample as torchvision v2 has it."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 8, (k, 2, 2)), axis=1).reshape(k, 4)
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(corners), format="XYXY", canvas_size=(H, W))
    return {
        "image": tv_tensors.Image(images(seed=seed)),
        "boxes": boxes,
        "masks": tv_tensors.Mask(torch.from_numpy(rng.random((k, H, W)) < 0.5)),
        "labels": torch.arange(k) + 10 * seed,
        "image_id": torch.tensor([seed]),
        "name": f"photo {seed}",
        "key": seed,
    }
