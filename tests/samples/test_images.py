"""Images of every kind: memory formats, PIL modes, arrays, palettes."""

import copy

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors

from augdrop import Policy
from tests.helpers import same
from tests.samples.cases import H, W, images, run


def test_memory_format_and_identity_in_place():
    x = images(2).contiguous(memory_format=torch.channels_last)
    assert run(x).is_contiguous(memory_format=torch.channels_last)
    rows = run([x[0], x[1]])
    assert all(row.permute(1, 2, 0).is_contiguous() for row in rows)
    for leaf in (images(2), images(), tv_tensors.Image(images()), images().permute(1, 2, 0).numpy()):
        before = copy.deepcopy(leaf)
        out = run({"image": leaf}, inplace=True)
        assert out["image"] is leaf
        assert not same(leaf, before)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "I", "F"])
def test_pil_images(mode):
    source = images(channels=len(PIL.Image.new(mode, (1, 1)).getbands())).permute(1, 2, 0)
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    array = (source.squeeze(-1).numpy() * (300 if mode == "I;16" else 1)).astype(dtype)
    picture = PIL.Image.fromarray(array)
    assert picture.mode == mode
    out = run(picture)
    expected = array.copy()
    colours = slice(0, -1) if mode.endswith("A") else slice(None)
    if array.ndim == 2:
        expected[1:5, 2:8] = 0
    else:
        expected[1:5, 2:8, colours] = 0
    assert out.mode == mode
    assert np.array_equal(np.asarray(out), expected)
    assert same(run([picture, picture]), [out, out])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_arrays_have_channels_last(dtype):
    array = images().permute(1, 2, 0).numpy().astype(dtype)
    expected = array.copy()
    expected[1:5, 2:8] = 0
    assert same(run(array), expected)
    assert same(run(np.stack([array, array])), np.stack([expected, expected]))


def test_arrays_with_odd_memory():
    array = images().permute(1, 2, 0).numpy()
    flipped, frozen = array[:, ::-1], array.copy()
    frozen.flags.writeable = False
    for odd in (flipped, frozen, array[:, :, ::2]):
        expected = odd.copy()
        expected[1:5, 2:8] = 0
        assert np.array_equal(run(odd), expected)


def test_palette_masks_of_segmentation_data_sets():
    mask = PIL.Image.fromarray(np.arange(H * W, dtype=np.uint8).reshape(H, W) % 7).convert("P")
    mask.putpalette([9, 8, 7] * 256)
    out = run(
        {"image": PIL.Image.new("RGB", (W, H), "white"), "mask": mask}, policy=Policy(masks="fill", mask_fill=255)
    )
    expected = np.array(mask)
    expected[1:5, 2:8] = 255
    assert out["mask"].mode == "P"
    assert out["mask"].getpalette() == mask.getpalette()
    assert np.array_equal(np.asarray(out["mask"]), expected)
