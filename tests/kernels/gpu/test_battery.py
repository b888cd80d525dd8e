"""Every method for images, as it stands in the registry, through the kernels for GPUs."""

from __future__ import annotations

import pytest
import torch

from augdrop.kernels.dispatch import use_backend
from tests.kernels.gpu.cases import DEVICE, needs_triton
from tests.transforms.cases import ALL, images, make, same

pytestmark = needs_triton
KEYS, SIZE = [3, 1, 4], (16, 24)


@pytest.mark.parametrize("name", ALL)
def test_kernels_equal_plain_torch(name):
    t = make(name)
    for inplace in (False, True):
        x = images(3, SIZE, torch.uint8 if inplace else torch.float32)
        x = x if inplace else x.contiguous(memory_format=torch.channels_last)
        with use_backend("reference"):
            expected = t(x, keys=KEYS)
        with use_backend("cuda"):
            assert same(t(x.to(DEVICE), keys=KEYS, inplace=inplace).cpu(), expected)


@pytest.mark.parametrize("name", ["CutMix", "RandomErasing"])
def test_videos_and_gates(name):
    x = images(6, SIZE).view(3, 2, 3, *SIZE)
    for options in ({"p": 0.5}, {"per_frame": True}):
        t = make(name, **options)
        with use_backend("reference"):
            expected = t(x, keys=KEYS)
        with use_backend("cuda"):
            assert same(t(x.to(DEVICE), keys=KEYS).cpu(), expected)
