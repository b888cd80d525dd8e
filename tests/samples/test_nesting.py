"""Samples of any structure come back in it, whatever the order of their keys."""

import collections
import dataclasses

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from augdrop.samples import unpack
from tests.helpers import same
from tests.samples.cases import KEEP, SOFT, H, W, erased, images, pasted, run, sample

Pair = collections.namedtuple("Pair", "image target")


@dataclasses.dataclass(eq=True)
class Info:
    name: str


ROUND_TRIPS = {
    "tensor": images(),
    "batch": images(2),
    "video": images(2)[:, None].expand(2, 3, 3, H, W),
    "pair": (images(), 3),
    "batch pair": (images(2), torch.tensor([0, 1])),
    "collated list": [images(2), torch.tensor([0, 1])],
    "named tuple": Pair(images(), torch.tensor(1)),
    "dict": {"labels": torch.tensor([1, 2]), "pixel_values": images(2), "text": ["a", "b"]},
    "ordered": collections.OrderedDict(z=1, image=images(), a=None),
    "nested": {"meta": {"info": Info("x"), "sizes": [(1, 2), (3, 4)]}, "data": (images(), {"y": 3})},
    "list of tensors": [images(), images(seed=1)],
    "list of pairs": [(images(), 1), (images(seed=1), 2)],
    "list of dicts": [sample(0), sample(1, 3)],
    "detection collate": ((images(), images(seed=1)), ({"boxes": torch.ones(1, 4)}, {"boxes": torch.ones(2, 4)})),
    "dict of lists": {"image": [images(), images(seed=1)], "label": [0, 1]},
    "sizes": [images(), images()[:, :, :5], images(seed=1)],
    "array": images().permute(1, 2, 0).numpy().astype(np.uint8),
    "PIL": PIL.Image.fromarray(images(dtype=torch.uint8).permute(1, 2, 0).numpy()),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_the_same_nesting_comes_back(name):
    inputs = ROUND_TRIPS[name]
    out = run(inputs, hit=False, policy=KEEP)
    assert same(out, inputs)
    if isinstance(inputs, (dict, list)):
        assert out is not inputs


def test_several_inputs_come_back_as_a_tuple():
    assert type(run(images(2), torch.tensor([0, 1]))) is tuple
    assert same(run(images(2), torch.tensor([0, 1])), (erased(images(2)), torch.tensor([0, 1])))


@settings(max_examples=60)
@given(order=st.permutations(list(sample())))
def test_any_order_of_keys(order):
    given_samples = [{key: sample(seed)[key] for key in order} for seed in (0, 1)]
    out = run(given_samples, mixes=True, options=SOFT)
    expected = run([sample(0), sample(1)], mixes=True, options=SOFT)
    for mine, theirs in zip(out, expected, strict=True):
        assert list(mine) == order
        assert same(mine, {key: theirs[key] for key in order})


@pytest.mark.parametrize("order", [("labels", "pixel_values"), ("pixel_values", "labels")])
def test_labels_are_never_taken_for_the_image(order):
    batch = {"pixel_values": images(2), "labels": torch.tensor([0, 3])}
    out = run({key: batch[key] for key in order}, mixes=True, options=SOFT)
    assert torch.equal(out["pixel_values"], pasted(images(2), images(2).flip(0)))
    torch.testing.assert_close(out["labels"], torch.tensor([[0.7, 0, 0, 0.3], [0.3, 0, 0, 0.7]]))


@pytest.mark.parametrize("key", ["image", "images", "img", "pixel_values", "video", "inputs", "x"])
def test_images_by_name_before_position(key):
    sample = {"depth": torch.ones(1, H, W), key: images()}
    assert same(run(sample), {"depth": torch.ones(1, H, W), key: erased(images())})


def test_the_first_array_of_three_axes_if_no_name_says():
    sample = {"target": torch.ones(2, 3, 3), "thing": images(), "other": images(seed=1)}
    assert same(run(sample), {**sample, "thing": erased(images())})


def test_all_wrapped_images_of_a_sample_share_the_draw():
    sample = {"depth": tv_tensors.Image(images(channels=1)), "rgb": tv_tensors.Image(images()), "x": images(seed=4)}
    out = run(sample)
    assert same(out["depth"], tv_tensors.Image(erased(images(channels=1))))
    assert same(out["rgb"], tv_tensors.Image(erased(images())))
    assert torch.equal(out["x"], images(seed=4))
    out = run([sample, sample])
    assert same(out[1]["depth"], tv_tensors.Image(erased(images(channels=1))))


def test_groups_by_size_and_dtype():
    small, other = images()[:, :6, :9], images().double()
    inputs = [images(), small, other, images(seed=1)]
    batch = unpack((inputs,))
    assert batch.size == 4
    assert [g.positions for g in batch.groups] == [[0, 3], [1], [2]]
    assert same(run(inputs), [erased(images()), erased(small), erased(other), erased(images(seed=1))])


def test_video_classes():
    video = tv_tensors.Video(images(5))
    assert unpack((video,)).groups[0].images.shape == (1, 5, 3, H, W)
    assert unpack((images(5),)).groups[0].images.shape == (5, 3, H, W)
    assert same(run(video), tv_tensors.Video(erased(images(5))))


@pytest.mark.parametrize(
    ("inputs", "keys"),
    [
        ({"image": images(), "key": 7}, [7]),
        ({"image": images(), "key": torch.tensor(7)}, [7]),
        ({"keys": torch.tensor([3, 4]), "image": images(2)}, [3, 4]),
        ({"keys": [3, 4], "image": images(2)}, [3, 4]),
        ({"keys": np.array([3, 4]), "image": images(2)}, [3, 4]),
        ([{"key": 9, "x": images()}, {"x": images(), "key": 8}], [9, 8]),
        ({"image": images(), "key": "photo.jpg"}, None),
        (images(), None),
    ],
)
def test_keys(inputs, keys):
    found = unpack((inputs,)).keys
    assert (None if found is None else found.tolist()) == keys
    assert found is None or found.dtype == torch.int64


def test_an_empty_batch():
    x, y = run(images(2)[:0], torch.zeros(0, dtype=torch.int64), mixes=True, options=SOFT)
    assert (x.shape, y.shape) == ((0, 3, H, W), (0, 4))
    empty = {"image": images(2)[:0], "masks": torch.zeros(0, H, W), "boxes": [], "keypoints": torch.zeros(0, 2, 3)}
    assert same(run(empty), empty)
