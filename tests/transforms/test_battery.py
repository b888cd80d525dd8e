"""The shared battery: what every transform, registered or composed, must pass."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import pytest
import torch
from torchvision.transforms import v2

import augdrop as ad
from augdrop.kernels.dispatch import use_backend
from augdrop.plans import plan_from_dict
from tests.transforms.cases import ALL, DTYPES, METHODS, MIXING, PRESETS, images, make, same

KEYS = [3, 1, 4, 15, 9, 2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_dtype_is_kept_and_pixels_outside_the_region_are_untouched(name, dtype):
    x = images(dtype=dtype)
    before = x.clone()
    y, plan = make(name).with_plan(x, keys=KEYS)
    assert y.dtype == dtype and y.shape == x.shape
    assert same(x, before)
    kept = ~plan.mask()[:, None].expand_as(x)
    assert same(y[kept], x[kept])


@pytest.mark.parametrize("name", ALL)
def test_memory_formats_and_strides(name):
    x, t = images(), make(name)
    expected = t(x, keys=KEYS)
    last = x.contiguous(memory_format=torch.channels_last)
    y = t(last, keys=KEYS)
    assert y.is_contiguous(memory_format=torch.channels_last) and same(y, expected)
    room = torch.zeros(12, 3, 50, 70)
    cut = room[::2, :, 1:49, 3:67]
    cut.copy_(x)
    assert same(t(cut, keys=KEYS), expected)
    turned = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert same(t(turned, keys=KEYS), expected)
    around = room.clone()
    t(cut, keys=KEYS, inplace=True)
    assert same(cut, expected)
    around[::2, :, 1:49, 3:67] = expected
    assert same(room, around), "memory between the strides was written"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(0, 3, 16, 16), (0, 2, 3, 16, 16)])
def test_an_empty_batch_stays_empty(name, shape):
    x = torch.empty(shape)
    assert make(name)(x).shape == shape
    assert make(name)(x, keys=[]).shape == shape


@pytest.mark.parametrize("name", METHODS)
def test_p_zero_and_one(name):
    x = images()
    assert same(make(name, p=0.0)(x, keys=KEYS), x)
    assert make(name, p=1.0).with_plan(x, keys=KEYS)[1].hit.all()
    some = make(name, p=0.5).with_plan(images(64), keys=range(64))[1].hit.float().mean()
    assert 0.3 < some < 0.7


@pytest.mark.parametrize("name", ALL)
def test_the_drop_depends_on_seed_key_and_epoch_alone(name):
    x = images()
    a = make(name, seed=5).with_plan(x, keys=KEYS, epoch=2)[1]
    assert a == make(name, seed=5).with_plan(x, keys=torch.tensor(KEYS), epoch=[2] * 6)[1]
    masks = [
        make(name, seed=s).with_plan(images(64), keys=range(k, k + 64), epoch=e)[1]
        for s, k, e in [(5, 0, 0), (6, 0, 0), (5, 64, 0), (5, 0, 1)]
    ]
    for other in masks[1:]:
        # Mixup's region is always the whole image, and only weights differ; a lattice's area may always be the same.
        assert not (torch.equal(masks[0].lam, other.lam) and torch.equal(masks[0].mask(), other.mask()))


@pytest.mark.parametrize("name", ALL)
def test_order_in_the_batch_does_not_matter(name):
    x, keys = images(12), torch.arange(100, 112)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    t = make(name)
    assert same(t(x[order], keys=keys[order]), t(x, keys=keys)[order])


@pytest.mark.parametrize("name", [n for n in ALL if n not in MIXING and n != "OneOf"])
def test_batch_size_does_not_matter(name):
    x, keys, t = images(12), list(range(12)), make(name)
    whole = t(x, keys=keys)
    for n in (1, 5, 7):
        parts = [t(x[i : i + n], keys=keys[i : i + n]) for i in range(0, 12, n)]
        assert same(torch.cat(parts), whole)
    assert same(torch.stack([t(image, keys=key) for image, key in zip(x, keys, strict=True)]), whole)


@pytest.mark.parametrize("name", [*MIXING, "OneOf"])
def test_a_mix_of_a_batch_of_one_leaves_it_alone(name):
    x = images(1)
    t = make(name) if name != "OneOf" else ad.OneOf([ad.CutMix(num_classes=5), ad.Mixup(num_classes=5)], seed=0)
    y, target = t(x, torch.tensor([2]), keys=[7])
    assert same(y, x)
    assert target.tolist() == [[0, 0, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_in_place_and_out(name, dtype):
    x, t = images(dtype=dtype), make(name)
    expected = t(x, keys=KEYS)
    out = torch.empty_like(x)
    assert t(x, keys=KEYS, out=out) is out and same(out, expected)
    y = x.clone()
    result = t(y, keys=KEYS, inplace=True)
    assert result.data_ptr() == y.data_ptr() and same(y, expected)


@pytest.mark.parametrize("name", ALL)
def test_both_backends_agree(name):
    x, t = images(dtype=torch.uint8), make(name)
    with use_backend("reference"):
        expected = t(x, keys=KEYS)
    assert same(t(x, keys=KEYS), expected)


@pytest.mark.parametrize("name", ALL)
def test_compiles_without_a_graph_break(name):
    torch._dynamo.reset()
    t, x, keys = make(name), images(), torch.tensor(KEYS)
    compiled = torch.compile(t, fullgraph=True, backend="aot_eager")
    assert same(compiled(x, keys=keys), t(x, keys=keys))
    with_grad = x.clone().requires_grad_()
    compiled(with_grad, keys=keys).square().sum().backward()
    plain = x.clone().requires_grad_()
    t(plain, keys=keys).square().sum().backward()
    torch.testing.assert_close(with_grad.grad, plain.grad)
    if t.mixes:
        y = torch.arange(6) % 5
        image, target = compiled(x, y, keys=keys)
        assert same(target, t(x, y, keys=keys)[1])


@pytest.mark.parametrize("name", METHODS)
def test_gradients_flow_to_kept_and_pasted_pixels_and_nowhere_else(name):
    x = images(dtype=torch.float64).requires_grad_()
    t = make(name)
    plan = t.with_plan(x.detach(), keys=KEYS)[1]
    weight = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    t.apply(x, plan).backward(weight)
    painted = plan.mask()[:, None].double()
    if plan.partner is None:
        expected = weight * (1 - painted)
    else:
        opacity = torch.ones(6) if plan.opacity is None else plan.opacity
        given = weight * painted * opacity.view(-1, 1, 1, 1)
        expected = weight - given
        for i, partner in enumerate(plan.partner.tolist()):
            expected[partner] += given[i]
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("name", ALL)
def test_a_plan_survives_json(name, tmp_path):
    x, t = images(), make(name)
    y, plan = t.with_plan(x, keys=KEYS, epoch=1)
    again = plan_from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert same(t.apply(x, again), y)
    plan.save(tmp_path / "plan.json")
    assert type(plan).load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("name", ALL)
def test_pickles_and_copies_draw_alike(name):
    x, t = images(), make(name, seed=None)
    expected = t(x, keys=KEYS)
    assert same(pickle.loads(pickle.dumps(t))(x, keys=KEYS), expected)
    assert same(copy.deepcopy(t)(x, keys=KEYS), expected)


@pytest.mark.parametrize("name", METHODS)
def test_arguments_make_the_same_transform_again(name):
    t = make(name)
    again = type(t)(**t.arguments)
    assert same(again(images(), keys=KEYS), t(images(), keys=KEYS))


@pytest.mark.parametrize("name", ALL)
def test_torch_manual_seed_governs_without_keys_and_seed(name):
    def run():
        torch.manual_seed(11)
        t = make(name, seed=None)
        return t(images(64)), t(images(64))

    (a, b), (c, d) = run(), run()
    assert same(a, c) and same(b, d) and not same(a, b)


@pytest.mark.parametrize("name", ALL)
def test_frames_of_a_video_share_their_region(name):
    x = images(12).view(4, 3, 3, 48, 64)
    t = make(name)
    y, plan = t.with_plan(x, keys=[0, 1, 2, 3])
    assert y.shape == x.shape and len(plan) == 4
    kept = ~plan.mask()[:, None, None].expand_as(x)
    assert same(y[kept], x[kept])


@pytest.mark.parametrize("name", [n for n in METHODS if n != "AttentiveCutMix"])
def test_each_frame_may_have_a_region_of_its_own(name):
    x = images(32).view(4, 8, 3, 48, 64)
    t = make(name, per_frame=True)
    y, plan = t.with_plan(x, keys=[0, 1, 2, 3])
    assert y.shape == x.shape and len(plan) == 32
    shares = plan.lam.view(4, 8)
    assert (
        name in ("GridDropout",) or (shares[0] != shares[0, 0]).any() or not torch.equal(plan.mask()[0], plan.mask()[1])
    )
    if plan.partner is not None:
        assert torch.equal(plan.partner % 8, torch.arange(8).repeat(4))
    out = torch.empty_like(x)
    assert same(t(x, keys=[0, 1, 2, 3], out=out), y)


@pytest.mark.parametrize("name", ALL)
def test_stands_in_a_torchvision_pipeline(name):
    t = make(name)
    pipeline = v2.Compose([v2.ToDtype(torch.float32, scale=True), t, v2.Normalize([0.5] * 3, [0.5] * 3)])
    with ad.keys(KEYS):
        y = pipeline(images(dtype=torch.uint8))
    expected = t(images(dtype=torch.uint8).float() / 255, keys=KEYS)
    torch.testing.assert_close(y, (expected - 0.5) / 0.5)


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_presets(name, preset):
    t = ad.METHODS[name].preset(preset, seed=0, **({"num_classes": 5} if name in MIXING else {}))
    y = t(images(), keys=KEYS, epoch=300)
    assert y.shape == (6, 3, 48, 64)
    with pytest.raises(ad.AugDropError, match="Valid"):
        ad.METHODS[name].preset("no such preset")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_documented_and_cited(name):
    cls = ad.METHODS[name]
    assert cls.citation.authors and 1990 < cls.citation.year < 2100
    assert "Example:" in inspect.getdoc(cls) and "Args:" in inspect.getdoc(cls)
    assert cls().extra_repr() == "" and "seed=1" in repr(cls(seed=1))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "options", [{"p": 1.5}, {"p": -0.1}, {"p": "often"}, {"seed": 0.5}, {"probability": 1.0}], ids=str
)
def test_bad_options_are_refused(name, options):
    with pytest.raises(ad.AugDropError):
        ad.METHODS[name](**options)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("shape", "call"),
    [
        ((16, 16), {}),
        ((2, 3, 0, 16), {}),
        ((3, 0, 16, 16), {}),
        ((1, 2, 3, 4, 5, 6), {}),
        ((4, 3, 16, 16), {"keys": [1, 2, 3]}),
        ((4, 3, 16, 16), {"keys": [0.5, 1.5, 2.5, 3.5]}),
        ((4, 3, 16, 16), {"epoch": -1}),
        ((4, 3, 16, 16), {"out": torch.empty(4, 3, 16, 17)}),
        ((4, 3, 16, 16), {"out": torch.empty(4, 3, 16, 16, dtype=torch.float64)}),
    ],
    ids=["no channels", "H = 0", "C = 0", "6 axes", "3 keys", "float keys", "epoch", "out's shape", "out's dtype"],
)
def test_bad_calls_are_refused_and_leave_the_input_alone(name, shape, call):
    x = torch.rand(shape)
    before = x.clone()
    with pytest.raises(ad.AugDropError):
        make(name)(x, **call)
    with pytest.raises(ad.AugDropError):
        make(name)(x, inplace=True, **call) if call else make(name)(x)
    assert same(x, before)
