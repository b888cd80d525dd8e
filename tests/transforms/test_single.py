"""One image after the other: the short way gives what a batch gives, whatever the images are and lie like."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad
from augdrop.kernels.dispatch import DTYPES, use_backend
from augdrop.transforms import single
from tests.helpers import same

KEYS = (3, 4, 5, 6, 7, 8)
FILLS = {"constant": 1, "colour": (1.0, 0.0, 1.0), "noise": "noise", "normal": ad.Noise("normal"), "mean": "mean"}
METHODS = sorted(name for name, cls in ad.METHODS.items() if not cls(seed=0).mixes)


def images(dtype=torch.uint8, layout="contiguous"):
    x = torch.randint(0, 2 if dtype == torch.bool else 200, (len(KEYS), 3, 40, 48)).to(dtype)
    if layout == "interleaved":
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return x.repeat_interleave(2, 3)[..., ::2] if layout == "strided" else x


def one_by_one(t, x, **call):
    return torch.stack([t(image, keys=key, **call) for image, key in zip(x, KEYS, strict=True)])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("inplace", [False, True])
def test_methods_alone_and_in_a_batch(name, inplace):
    t, x = ad.METHODS[name](p=0.7, seed=1, **({"fill": 1} if name != "PixelDropout" else {})), images()
    whole = t(x, keys=KEYS, epoch=2)
    assert torch.equal(one_by_one(t, x.clone(), epoch=2, inplace=inplace), whole)
    assert t._lanes, "the short way was not taken"


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "strided"])
def test_fills_and_layouts(fill, layout):
    t, x = ad.RandomErasing(fill=FILLS[fill], p=1.0, seed=2), images(layout=layout)
    assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))
    assert bool(t._lanes) == (fill != "mean" and layout != "strided")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype):
    t, x = ad.Cutout(9, fill=1, seed=3), images(dtype)
    assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))


def test_in_place_means_this_image():
    t, x = ad.Cutout(9, fill=1, seed=3), images()
    expected = t(x, keys=KEYS)
    for image, key, wanted in zip(x, KEYS, expected, strict=True):
        before = image.clone()
        assert not torch.equal(t(image, keys=key), before) and torch.equal(image, before)
        assert t(image, keys=key, inplace=True) is image and torch.equal(image, wanted)


def test_kinds_of_images():
    t, x = ad.RandomErasing(fill="noise", p=0.7, seed=4), images()
    whole = t(x, keys=KEYS)
    for image, key, wanted in zip(x, KEYS, whole, strict=True):
        array = image.permute(1, 2, 0).numpy()
        assert same(t(tv_tensors.Image(image), keys=key), tv_tensors.Image(wanted))
        assert same(t(PIL.Image.fromarray(array), keys=key), PIL.Image.fromarray(wanted.permute(1, 2, 0).numpy()))
        assert np.array_equal(t(array, keys=key), wanted.permute(1, 2, 0).numpy())
        read_only = array.copy()
        read_only.flags.writeable = False
        assert np.array_equal(t(read_only, keys=key), wanted.permute(1, 2, 0).numpy())
        assert np.array_equal(read_only, array)


def test_ranges_of_keys_and_schedules():
    t, x = ad.Cutout(9, p=ad.Ramp(1.0, epochs=10), fill=1, seed=5), images()
    for epoch in (0, 5, 10):
        assert torch.equal(one_by_one(t, x, epoch=epoch), t(x, keys=KEYS, epoch=epoch))


def test_another_fill_is_another_lane():
    t, x = ad.Cutout(9, fill=1, seed=3), images()
    one_by_one(t, x)
    t.fill = ad.Constant(7)
    assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))


def test_another_sampler_is_another_lane():
    t, x = ad.Cutout(9, fill=1, seed=3), images()
    one_by_one(t, x)
    for where in (ad.regions.CentredBoxes(5, 2), ad.regions.MinMaxBoxes(), ad.regions.BetaBoxes()):
        t.where = where
        for _ in range(2):
            assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))


def test_a_sampler_that_draws_for_itself():
    class Left(ad.regions.CentredBoxes):
        def sample(self, draws, size):
            return super().sample(draws, (size[0], size[1] // 2)).rescale(*size)

    t, x = ad.RegionalDropout(where=Left(9), fill=1, seed=3), images()
    assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))
    assert [lane.alone for lane in t._lanes.values()] == [None]


@pytest.mark.parametrize("key", [-(2**63), 2**63 - 1, np.int32(5), np.uint8(6), torch.tensor(7), [8]], ids=repr)
def test_keys_of_any_kind(key):
    t, x = ad.RandomErasing(p=1.0, seed=2), images()[0]
    expected = t(x[None], keys=np.atleast_1d(key), epoch=np.array(3))[0]
    for _ in range(2):
        assert torch.equal(t(x, keys=key, epoch=3), expected)
        with ad.keys(key, epoch=torch.tensor(3)):
            assert torch.equal(t(x), expected)


def test_a_call_without_a_key_draws_one_from_torch():
    t, x = ad.RandomErasing(p=1.0, seed=2), images()
    whole = []
    for image in x:
        torch.manual_seed(11)
        whole.append(t(image))
    torch.manual_seed(11)
    key = torch.empty(1, dtype=torch.int64).random_()
    assert all(torch.equal(painted, t(image, keys=key)) for painted, image in zip(whole, x, strict=True))


def test_threads_share_a_transform():
    t, x = ad.RandomErasing(p=1.0, fill="noise", seed=2), images().repeat(50, 1, 1, 1)
    expected = t(x, keys=range(len(x)))
    with ThreadPoolExecutor(4) as threads:
        painted = list(threads.map(lambda i: t(x[i], keys=i), range(len(x))))
    assert torch.equal(torch.stack(painted), expected)


def test_lanes_stay_at_home():
    t, x = ad.Cutout(9, fill=1, seed=3), images()
    expected = one_by_one(t, x)
    for again in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t)):
        assert not again._lanes
        assert torch.equal(one_by_one(again, x), expected)


def test_what_takes_the_long_way():
    t, x = ad.Cutout(9, fill=1, seed=3), images(torch.float32)
    with use_backend("reference"):
        assert single.image_of(x[0]) is None
    assert single.image_of(x) is None
    image = x[0].clone().requires_grad_()
    assert single.image_of(image) is None
    t(image, keys=3).sum().backward()
    assert torch.equal(image.grad == 0, t.plan(x[0].shape, keys=3).mask().expand(3, -1, -1))
    with pytest.raises(ad.AugDropError, match="none of C, H, W being 0"):
        t(torch.zeros(3, 0, 4, dtype=torch.uint8))
    with pytest.raises(ad.AugDropError, match="expanded"):
        t(torch.zeros(1, 4, 4, dtype=torch.uint8).expand(3, 4, 4), inplace=True)


def test_only_large_images_ask_for_the_number_of_threads():
    t, threads = ad.Cutout(40, fill=1, seed=3), torch.get_num_threads()
    try:
        for side, under in ((64, (0, 0)), (700, (1, 2))):
            x = torch.zeros(3, side, side, dtype=torch.uint8)
            for n, expected in zip((1, 2), under, strict=True):
                torch.set_num_threads(n)
                for _ in range(2):
                    assert torch.equal(t(x, keys=3), t(x[None], keys=[3])[0])
                assert t._lanes[x.shape, x.stride(), x.dtype, False].under == expected
    finally:
        torch.set_num_threads(threads)


def test_many_sizes_are_not_kept_for_ever():
    t = ad.Cutout(4, seed=0)
    for width in range(8, 8 + single._MOST + 10):
        t(torch.zeros(1, 8, width, dtype=torch.uint8))
    assert len(t._lanes) <= single._MOST


def test_a_method_that_decides_for_itself():
    class Upper(ad.Cutout):
        def apply(self, x, plan, **call):
            return super().apply(x, plan, **call).flip(-2)

    t, x = Upper(9, fill=1, seed=3), images()
    assert torch.equal(one_by_one(t, x), t(x, keys=KEYS))
