import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.helpers import same
from tests.transforms.cases import images

KEYS, CLASSES = [7, 3, 11, 900, 5, 6], [0, 1, 2, 3, 4, 0]
KINDS = {"numpy": np.asarray, "jax": jnp.asarray}


def expected(t, x):
    """The core's own result."""
    return t(x, torch.tensor(CLASSES), keys=KEYS, epoch=2)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_drop_as_the_core_and_the_same_kind_of_array(name, kind, layout):
    t, x, array = make(name), images(dtype=torch.uint8), KINDS[kind]
    given = array((x.movedim(1, -1) if layout == "NHWC" else x).numpy())
    before = np.array(given)
    got, labels = ad.to_arrays(t, layout)(given, array(np.array(CLASSES)), keys=array(np.array(KEYS)), epoch=2)
    pixels, soft = expected(t, x)
    assert type(got) is type(given) and got.dtype == given.dtype and np.array_equal(np.asarray(given), before)
    got = np.moveaxis(np.asarray(got), -1, 1) if layout == "NHWC" else np.asarray(got)
    assert np.array_equal(got, pixels.numpy())
    assert type(labels) is type(given)
    assert np.array_equal(np.asarray(labels), soft.numpy())


@pytest.mark.parametrize("dtype", [jnp.bool_, jnp.uint8, jnp.int16, jnp.int32, jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtypes_and_devices_of_jax(dtype):
    t, x = ad.CutMix(seed=0), jnp.asarray(images().movedim(1, -1).numpy()).astype(dtype)
    got = ad.to_arrays(t, "NHWC")(x, keys=KEYS)
    assert got.dtype == dtype and got.devices() == x.devices()
    again = t(torch.from_dlpack(x).movedim(-1, 1), keys=KEYS).movedim(1, -1)
    assert torch.equal(torch.from_dlpack(got), again)


def test_sixteen_bits_and_read_only_memory_of_numpy():
    x = images().movedim(1, -1).numpy().astype(np.uint16)
    x.flags.writeable = False
    got = ad.to_arrays(ad.Cutout(8, seed=0), "NHWC")(x, keys=KEYS)
    assert got.dtype == np.uint16 and (got == 0).any() and (x > 0).all()


def test_single_images_and_videos():
    t, x = ad.Cutout(8, seed=0), images(dtype=torch.uint8)
    one = ad.to_arrays(t, "NHWC")(jnp.asarray(x[0].movedim(0, -1).numpy()), keys=7)
    assert np.array_equal(np.asarray(one), t(x[0], keys=7).movedim(0, -1).numpy())
    video = torch.stack([x, x.flip(0)], 1)
    got = ad.to_arrays(t, "NCHW")(jnp.asarray(video.numpy()), keys=KEYS)
    assert np.array_equal(np.asarray(got), t(video, keys=KEYS).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_annotations_go_along(kind):
    t, array = ad.CutMix(num_classes=5, seed=0), KINDS[kind]
    x, masks = images(dtype=torch.uint8), torch.arange(6 * 48 * 64, dtype=torch.int32).view(6, 48, 64) % 5
    boxes = [torch.tensor([[2.0, 2, 20, 20], [30, 10, 50, 40]])] * 6
    sample = {"image": x, "masks": masks, "boxes": boxes, "keypoints": torch.rand(6, 4, 2) * 40}
    want = t(sample, keys=KEYS)
    arrays = {k: [array(b.numpy()) for b in v] if isinstance(v, list) else array(v.numpy()) for k, v in sample.items()}
    arrays["image"] = array(x.movedim(1, -1).numpy())
    got = ad.to_arrays(t, "NHWC")(arrays, keys=KEYS)
    assert np.array_equal(np.moveaxis(np.asarray(got["image"]), -1, 1), want["image"].numpy())
    assert list(got) == list(want)
    for part in list(want)[1:]:
        for a, b in zip(got[part], want[part], strict=True):
            assert np.array_equal(np.asarray(a), b.numpy()) and isinstance(a, type(arrays["image"]))


def test_replay_and_keys_around_the_call():
    t, x = ad.OneOf([ad.CutMix(num_classes=5), ad.GridMask()], seed=0), images(dtype=torch.uint8)
    stage = ad.to_arrays(t, "NCHW")
    plan = t.plan(x.shape, keys=KEYS, epoch=2)
    want = [a.numpy() for a in expected(t, x)]
    assert same(list(stage(x.numpy(), np.array(CLASSES), plan=plan)), want)
    with ad.keys(KEYS, 2):
        assert same(list(stage(x.numpy(), np.array(CLASSES))), want)
    stage.set_epoch(2)
    assert same(list(stage(x.numpy(), np.array(CLASSES), keys=np.array(KEYS))), want)


def test_score_maps_may_be_arrays():
    t, x, scores = make("AttentiveCutMix"), images(), torch.rand(6, 7, 7)
    got = ad.to_arrays(t, "NCHW")(jnp.asarray(x.numpy()), keys=KEYS, scores=jnp.asarray(scores.numpy()))
    assert np.array_equal(np.asarray(got), t(x, keys=KEYS, scores=scores).numpy())


class Elsewhere:
    """An array of another library: nothing but the protocol."""

    def __init__(self, tensor):
        self.tensor = tensor

    @property
    def shape(self):
        return tuple(self.tensor.shape)

    def __dlpack__(self, **kwargs):
        return self.tensor.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    def __array_namespace__(self):
        return type(self)

    @classmethod
    def from_dlpack(cls, other):
        return cls(torch.from_dlpack(other))


def test_any_library_with_the_protocol():
    t, x = ad.CutMix(num_classes=5, seed=0), images(dtype=torch.uint8)
    got, labels = ad.to_arrays(t, "NCHW")(Elsewhere(x), Elsewhere(torch.tensor(CLASSES)), keys=KEYS, epoch=2)
    assert type(got) is type(labels) is Elsewhere
    assert same([got.tensor, labels.tensor], list(expected(t, x)))


X, Y = images(dtype=torch.uint8).movedim(1, -1).numpy(), np.array(CLASSES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s(X.transpose(0, 3, 1, 2), Y), "to_arrays: images: .* expected NHWC"),
        (lambda s: s(X[0].transpose(2, 0, 1)), "to_arrays: images: .* expected NHWC"),
        (lambda s: s(X, Y.astype(float)), "to_arrays: labels: .* integer class indices"),
        (lambda s: s(X, Y[:3]), "to_arrays: labels: .* each of 6 samples"),
        (lambda s: s(X, Y, keys=[1, 2]), "to_arrays: keys: .* each of 6 samples"),
        (lambda s: s(X, Y, keys=[1, 2, 3, 3, 4, 5]), "to_arrays: keys: got 3 twice"),
        (lambda s: s(X, Y, keys=np.arange(6.0)), "to_arrays: keys: .* integers"),
        (lambda s: s(X[..., 0, 0]), "to_arrays: images: got none"),
        (lambda s: jax.jit(lambda x: s(x))(X), "to_arrays: got .*Tracer.*outside of jit"),
        (lambda s: ad.to_arrays(ad.Cutout(3)), "to_arrays: layout: got ''; expected 'NHWC' or 'NCHW'"),
        (lambda s: ad.to_arrays(lambda x: x, "NHWC"), "to_arrays: got function"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call(ad.to_arrays(ad.CutMix(num_classes=5, seed=0), "NHWC"))


def test_without_keys_torch_governs():
    stage = ad.to_arrays(ad.Cutout(8, seed=0), "NHWC")
    torch.manual_seed(5)
    first, second = stage(X), stage(X)
    torch.manual_seed(5)
    assert np.array_equal(stage(X), first) and not np.array_equal(first, second)
