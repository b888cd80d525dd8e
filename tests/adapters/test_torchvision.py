"""AugDrop's transforms are torchvision v2 transforms: in its containers, with its types, in place of its own."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.helpers import same
from tests.transforms.cases import images

ERASING = [name for name in NAMES if not make(name).mixes]
X, Y, KEYS = images(dtype=torch.uint8), torch.tensor([0, 1, 2, 3, 4, 0]), [7, 3, 11, 900, 5, 6]


# In torchvision's containers, with its types


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_in_compose(name):
    t = make(name)
    with ad.keys(KEYS, 2):
        got = v2.Compose([v2.Identity(), t])(X, Y)
    assert isinstance(t, v2.Transform)
    assert same(got, t(X, Y, keys=KEYS, epoch=2))


@pytest.mark.parametrize("order", [("labels", "image"), ("image", "labels"), ("labels", "name", "image")])
@pytest.mark.parametrize("name", NAMES)
def test_dicts_in_any_order_of_keys(name, order):
    sample = {"image": X, "labels": Y, "name": ["a"] * 6}
    t = make(name)
    x, y = t(X, Y, keys=KEYS)
    with ad.keys(KEYS):
        got = v2.Compose([v2.Identity(), t])({key: sample[key] for key in order})
    assert list(got) == list(order)
    assert same(got["image"], x) and same(got["labels"], y)


@pytest.mark.parametrize("name", ERASING)
def test_tv_tensors_keep_their_classes(name):
    t, boxes = make(name), torch.tensor([[2.0, 2, 60, 40], [30, 10, 50, 40]])
    sample = {
        "image": tv_tensors.Image(X[0]),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(48, 64)),
        "masks": tv_tensors.Mask(torch.ones(2, 48, 64, dtype=torch.uint8)),
        "points": tv_tensors.KeyPoints(boxes[:, :2], canvas_size=(48, 64)),
        "labels": torch.tensor([1, 2]),
    }
    with ad.keys(7):
        got = v2.Compose([t, v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()])(copy.deepcopy(sample))
    assert [type(leaf) for leaf in list(got.values())[:5]] == [type(leaf) for leaf in sample.values()]
    assert torch.equal(got["image"].as_subclass(torch.Tensor), t(X[0], keys=7))
    assert torch.equal(got["boxes"], boxes) and got["points_visible"].shape == (2,)


def test_pil_in_a_data_set():
    picture = Image.fromarray(X[0].movedim(0, -1).numpy())
    t = ad.GridMask((8, 16), seed=0)
    with ad.keys(7):
        got = v2.Compose([v2.Resize((48, 64)), t, v2.PILToTensor()])(picture)
    assert torch.equal(got, t(v2.functional.pil_to_tensor(v2.functional.resize(picture, [48, 64])), keys=7))


@pytest.mark.parametrize("container", [v2.RandomApply, v2.RandomChoice, v2.RandomOrder])
def test_in_torchvisions_random_containers(container):
    t = ad.Cutout(8, seed=0)
    with ad.keys(7):
        got = {container([t, t] if container is v2.RandomChoice else [t])(X[0]).numpy().tobytes() for _ in range(20)}
    both = {X[0].numpy().tobytes(), t(X[0], keys=7).numpy().tobytes()}
    assert got == (both if container is v2.RandomApply else both - {X[0].numpy().tobytes()})


def test_copies_and_pickles_of_a_compose_draw_the_same():
    chain = v2.Compose([v2.Identity(), ad.OneOf([ad.CutMix(num_classes=5), ad.Cutout(8)], seed=3)])
    with ad.keys(KEYS):
        want = chain(X, Y)
        assert all(same(c(X, Y), want) for c in (copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))))


# In place of v2.RandomErasing


def preset(**options):
    return ad.RandomErasing.preset("torchvision", **options)


def test_erasing_the_rectangle_that_torchvision_drew():
    ours, theirs = preset(p=1.0, seed=0, fill=(3, 5, 7)), v2.RandomErasing(p=1.0, value=[3, 5, 7])
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = theirs.make_params([X[0]])
        plan = ours.plan(X[:1].shape, keys=[seed])
        top, left = drawn["i"], drawn["j"]
        box = torch.tensor([[[top, left, top + drawn["h"], left + drawn["w"]]]])
        plan = dataclasses.replace(plan, region=ad.regions.Boxes((48, 64), box))
        assert torch.equal(ours.apply(X[0], plan), theirs.transform(X[0], drawn))


def test_erased_shares_and_ratios_follow_torchvisions_law():
    theirs = v2.RandomErasing(p=1.0)
    torch.manual_seed(0)
    drawn = [theirs.make_params([X[0]]) for _ in range(1500)]
    height, width = (np.array([d[side] for d in drawn if d["v"] is not None]) for side in "hw")
    plan = preset(p=1.0, seed=0).plan((1500, 3, 48, 64), keys=range(1500))
    top, left, bottom, right = plan.region.boxes[plan.hit][:, 0].T.numpy()
    for mine, other in (
        ((bottom - top) * (right - left), height * width),
        ((bottom - top) / (right - left), height / width),
        (top, np.array([d["i"] for d in drawn])),
    ):
        assert distance(mine, other) < 0.06
    shares = plan.area()[plan.hit] / (48 * 64)
    assert shares.min() > 0.015 and shares.max() < 0.34


def distance(a, b):
    """Kolmogorov and Smirnov's; 1500 draws each of one law stay under 0.06 in 99.1 % of cases."""
    at = np.sort(np.concatenate([a, b]))
    return np.abs(
        np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)
    ).max()


@pytest.mark.parametrize("kind", ["tensor", "Image", "Video", "PIL"])
@pytest.mark.parametrize("p", [0, 1])
def test_erasing_keeps_type_shape_and_dtype(kind, p):
    x = X[:, None].expand(-1, 2, -1, -1, -1)[0].contiguous() if kind == "Video" else X[0]
    given = {
        "tensor": lambda: x,
        "Image": lambda: tv_tensors.Image(x),
        "Video": lambda: tv_tensors.Video(x),
        "PIL": lambda: v2.functional.to_pil_image(x),
    }[kind]()
    ours, theirs = (t(given) for t in (preset(p=p, seed=0), v2.RandomErasing(p=p)))
    assert type(ours) is type(theirs)
    if kind == "PIL":
        ours, theirs, x = (v2.functional.pil_to_tensor(i) for i in (ours, theirs, given))
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    changed = (torch.as_tensor(ours) != x).any()
    assert bool(changed) == bool(p)
    if kind == "Video" and p:
        erased = (torch.as_tensor(ours) != x).any(1)
        assert torch.equal(erased[0], erased[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float16, torch.float32, torch.float64])
def test_values_of_what_is_erased(dtype):
    x = images(dtype=dtype)
    plan = (t := preset(p=1.0, seed=0)).plan(x.shape, keys=KEYS)
    erased = plan.mask()[:, None].expand(-1, 3, -1, -1)
    assert (t(x, keys=KEYS)[erased] == 0).all()
    colours = preset(p=1.0, seed=0, fill=(1, 2, 3))(x, keys=KEYS)
    assert all((colours[:, c][plan.mask()] == c + 1).all() for c in range(3))
    noise = preset(p=1.0, seed=0, fill="normal")(x, keys=KEYS)
    assert len(noise[erased].unique()) > 20 and torch.equal(noise[~erased], x[~erased])


def test_in_place_and_not():
    t, x = preset(p=1.0, seed=0), X.clone()
    out = t(x, keys=KEYS)
    assert torch.equal(x, X) and out is not x
    assert t(x, keys=KEYS, inplace=True) is x and torch.equal(x, out)


def test_each_image_of_a_batch_has_its_own_rectangle():
    """torchvision's erases one rectangle of the whole batch."""
    x = torch.ones(6, 3, 48, 64)
    assert len((preset(p=1.0, seed=0)(x, keys=KEYS) == 0).flatten(1).unique(dim=0)) == 6
    assert len((v2.RandomErasing(p=1.0)(x) == 0).flatten(1).unique(dim=0)) == 1


def test_masks_and_boxes_follow_where_torchvision_warns():
    sample = {"image": tv_tensors.Image(X[0]), "mask": tv_tensors.Mask(torch.ones(48, 64, dtype=torch.uint8))}
    with pytest.warns(UserWarning, match="passing through"):
        assert v2.RandomErasing(p=1.0)(sample)["mask"].all()
    t = preset(p=1.0, seed=0, annotations=ad.Policy(masks="fill", mask_fill=255))
    with ad.keys(7):
        got = t(sample)
    assert torch.equal(got["mask"] == 255, t.plan((3, 48, 64), keys=7).mask()[0])


@pytest.mark.parametrize(
    ("options", "theirs", "message"),
    [
        ({"area": (-0.1, 0.3)}, {"scale": (-0.1, 0.3)}, "area"),
        ({"area": (0.1, 1.3)}, {"scale": (0.1, 1.3)}, "area"),
        ({"area": 0.3}, {"scale": 0.3}, "area"),
        ({"ratio": 1.0}, {"ratio": 1.0}, "ratio"),
        ({"fill": "noisy"}, {"value": "noisy"}, "fill"),
        ({"fill": {}}, {"value": {}}, "fill"),
        ({"p": 1.5}, {"p": 1.5}, "p: got 1.5"),
    ],
)
def test_arguments_that_both_refuse(options, theirs, message):
    with pytest.raises((ValueError, TypeError)):
        v2.RandomErasing(**theirs)
    with pytest.raises(ad.AugDropError, match=message):
        ad.RandomErasing(**options)


def test_a_colour_for_each_channel():
    for t in (v2.RandomErasing(p=1.0, value=[1, 2]), ad.RandomErasing(p=1.0, fill=(1, 2))):
        with pytest.raises(ValueError, match=r"1 or 3|single value or 3"):
            t(X[0])


@pytest.mark.parametrize(
    ("cls", "spelling", "ours"),
    [
        (ad.RandomErasing, {"scale": (0.02, 0.33)}, "'area'"),
        (ad.RandomErasing, {"value": 0}, "'fill'"),
        (ad.RandomErasing, {"inplace": True}, r"t\(x, inplace=True\)"),
        (ad.RandomErasing, {"fill": "random"}, "normal"),
        (ad.CutMix, {"beta": 1.0}, "'alpha'"),
        (ad.CutMix, {"label_getter": None}, "'labels_getter'"),
    ],
)
def test_other_spellings_are_told_ours(cls, spelling, ours):
    with pytest.raises(ad.AugDropError, match=ours):
        cls(**spelling)


# In place of v2.CutMix and v2.MixUp

MIXES = {
    "CutMix": (lambda **o: ad.CutMix.preset("torchvision", seed=0, **o), v2.CutMix),
    "MixUp": (lambda **o: ad.Mixup.preset("torchvision", seed=0, **o), v2.MixUp),
}
each_mix = pytest.mark.parametrize("name", MIXES)


def flat(values=range(6), dtype=torch.float32, kind=torch.Tensor, extra=()):
    """Images of one value each, so that shares can be read off."""
    x = torch.tensor(values).view(-1, *[1] * len(extra), 1, 1, 1).expand(-1, *extra, 3, 32, 40).to(dtype).contiguous()
    return x if kind is torch.Tensor else kind(x)


FLOATS = [torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize(("name", "dtype"), [("CutMix", torch.uint8), *((n, d) for n in MIXES for d in FLOATS)])
@pytest.mark.parametrize(("kind", "extra"), [(torch.Tensor, ()), (tv_tensors.Image, ()), (tv_tensors.Video, (4,))])
@pytest.mark.parametrize("labels", ["indices", "one-hot", "soft"])
def test_mixes_keep_type_shape_and_dtype(name, dtype, kind, extra, labels):
    x = flat(dtype=dtype, kind=kind, extra=extra)
    y = {"indices": Y, "one-hot": torch.eye(5, dtype=torch.int64)[Y], "soft": torch.rand(6, 5).softmax(1)}[labels]
    results = [make_(num_classes=5)(x, y) for make_ in MIXES[name]]
    (mine, my_labels), (theirs, their_labels) = results
    assert type(mine) is type(theirs) is kind
    assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    assert (my_labels.shape, my_labels.dtype) == (their_labels.shape, their_labels.dtype) == ((6, 5), torch.float32)
    for total in (my_labels.sum(1), their_labels.sum(1)):
        torch.testing.assert_close(total, torch.ones(6))


@pytest.mark.parametrize("per", ["batch", "pair", "sample"])
def test_label_weights_are_counted_pixels(per):
    x, y = MIXES["CutMix"][0](per=per, num_classes=6)(flat(), torch.arange(6))
    for i in range(6):
        shares = torch.stack([(x[i, 0] == value).float().mean() for value in range(6)])
        torch.testing.assert_close(y[i], shares, rtol=0, atol=1e-6)
        assert shares.count_nonzero() <= 2 and (x[i] == x[i, :1]).all()


def test_label_weights_of_mixup_are_the_weights_of_pixels():
    values = torch.tensor([1.0, 10, 100, 1000, 10000, 100000])
    x, y = MIXES["MixUp"][0](num_classes=6)(flat(values.tolist(), torch.float64), torch.eye(6).double())
    torch.testing.assert_close(x[:, 0, 0, 0], y @ values.double())
    assert ((y > 0).sum(1) == 2).all()


def test_one_draw_for_the_batch_as_torchvision():
    x, y = MIXES["CutMix"][0](num_classes=6)(flat(), torch.arange(6), keys=KEYS)
    own = x[:, 0] == torch.arange(6)[:, None, None]
    assert (own == own[:1]).all() and 0 < y.diagonal()[0] < 1 and (y.diagonal() == y.diagonal()[0]).all()
    x, y = ad.CutMix(num_classes=6, seed=0)(flat(), torch.arange(6), keys=KEYS)
    assert len(y.diagonal().unique()) > 3


def test_pasting_what_torchvision_drew():
    """Its box and its pairing, in our plan: the same pixels and labels."""
    theirs = v2.CutMix(num_classes=5)
    partner = torch.arange(6).roll(1)
    for seed in range(10):
        torch.manual_seed(seed)
        x0, y0, x1, y1 = theirs.make_params([X])["box"]
        torch.manual_seed(seed)
        pixels, labels = theirs(X, Y)
        region = ad.regions.Boxes((48, 64), torch.tensor([[[y0, x0, y1, x1]]]).expand(6, 1, 4))
        ids = torch.arange(6)
        plan = ad.Plan("CutMix", region, ad.Partner(), torch.ones(6, dtype=torch.bool), ids, ids, ids, partner)
        mine = ad.CutMix(num_classes=5)(X, Y, plan=plan)
        assert torch.equal(mine[0], pixels)
        torch.testing.assert_close(mine[1], labels)


def test_blending_as_torchvision():
    theirs, x = v2.MixUp(num_classes=5), images(dtype=torch.float64)
    for seed in range(5):
        torch.manual_seed(seed)
        lam = theirs.make_params([x])["lam"]
        torch.manual_seed(seed)
        pixels, labels = theirs(x, Y)
        ids, every = torch.arange(6), torch.ones(6, dtype=torch.bool)
        region = ad.regions.Boxes((48, 64), torch.tensor([[[0, 0, 48, 64]]]).expand(6, 1, 4))
        opacity = torch.full((6,), 1 - lam, dtype=torch.float64)
        plan = ad.Plan("Mixup", region, ad.Partner(), every, ids, ids, ids, ids.roll(1), opacity)
        mine = ad.Mixup(num_classes=5)(x, Y, plan=plan)
        torch.testing.assert_close(mine[0], pixels)
        torch.testing.assert_close(mine[1], labels)


def test_boxes_follow_torchvisions_law():
    theirs, ours = v2.CutMix(num_classes=5), ad.CutMix(seed=0)
    torch.manual_seed(0)
    lam = np.array([theirs.make_params([X])["lam_adjusted"] for _ in range(1500)])
    plan = ours.plan((1500, 3, 48, 64), keys=range(1500))
    assert distance(plan.lam.numpy(), lam) < 0.06
    top, left, bottom, right = plan.region.boxes[:, 0].T
    free = (top > 0) & (bottom < 48) & (left > 0) & (right < 64)
    assert free.sum() > 200 and not ((bottom - top)[free] % 2).any() and not ((right - left)[free] % 2).any()


LABELS = {
    "second": lambda x, y: (x, y),
    "labels": lambda x, y: {"image": x, "labels": y},
    "LaBeLs": lambda x, y: {"image": x, "LaBeLs": y, "label_id": y.flip(0)},
    "label in it": lambda x, y: {"image": x, "fooLABELbar": y, "other": torch.zeros(6)},
    "nested": lambda x, y: (x, {"labels": y, "id": 3}),
}


@each_mix
@pytest.mark.parametrize("place", LABELS)
def test_labels_are_found_where_torchvision_finds_them(name, place):
    x, sample = flat(), LABELS[place](flat(), Y)
    results = [make_(num_classes=5)(sample) for make_ in MIXES[name]]
    for got in results:
        leaves, given = (torch.utils._pytree.tree_leaves(tree) for tree in (got, sample))
        mixed = [i for i, (a, b) in enumerate(zip(leaves, given, strict=True)) if a is not b and not same(a, b)]
        assert all(given[i] is not None and (given[i].shape == x.shape or same(given[i], Y)) for i in mixed)
        assert sorted(leaves[i].ndim for i in mixed) == [2, 4]


@each_mix
def test_a_labels_getter_of_ones_own(name):
    batch = {"image": flat(), "kind": Y, "labels": Y.flip(0)}
    for make_ in MIXES[name]:
        got = make_(num_classes=5, labels_getter=lambda b: b["kind"])(batch)
        assert got["kind"].shape == (6, 5) and torch.equal(got["labels"], Y.flip(0))


PICTURES = [v2.functional.to_pil_image(x) for x in X]


@each_mix
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(num_classes=None)(X.float(), Y), "num_classes"),
        (lambda t: t(num_classes=7)(X.float(), torch.rand(6, 5)), "classes"),
        (lambda t: t(num_classes=5)(X.float(), torch.rand(6, 5, 2)), "labels"),
        (lambda t: t(num_classes=5)(X.float(), Y[:4]), "labels"),
        (lambda t: t(num_classes=5)(X.float(), Y.float()), "labels"),
        (lambda t: t(num_classes=5)({"image": X.float()}), "labels"),
        (lambda t: t(num_classes=5)({"image": X.float(), "other": Y}), "labels_getter"),
        (lambda t: t(num_classes=5, labels_getter=lambda b: "a")({"image": X.float(), "labels": Y}), "labels_getter"),
        (lambda t: t(num_classes=5, labels_getter="other")({"image": X.float(), "labels": Y}), "labels_getter"),
        (lambda t: t(num_classes=5)(X[0].float(), Y), "labels"),
        (lambda t: t(num_classes=3)(X.float(), Y), "class 3"),
        (lambda t: t(num_classes=5, alpha=-1.0), "alpha"),
    ],
)
def test_mixes_refuse_what_torchvision_refuses(name, call, message, monkeypatch):
    # The first torch.compile of a process switches the checks of torch's distributions off.
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", True)
    ours, theirs = MIXES[name]
    with pytest.raises((ValueError, RuntimeError, TypeError, IndexError)):
        call(theirs)
    with pytest.raises(ad.AugDropError, match=message):
        call(ours)


@each_mix
def test_pil_in_a_batch_is_mixed_where_torchvision_refuses(name):
    ours, theirs = MIXES[name]
    with pytest.raises(ValueError, match="does not support PIL"):
        theirs(num_classes=5)(PICTURES, Y)
    got, labels = ours(num_classes=5)(PICTURES, Y, keys=KEYS)
    x, y = ours(num_classes=5)(X, Y, keys=KEYS)
    assert all(isinstance(picture, Image.Image) for picture in got)
    assert torch.equal(torch.stack([v2.functional.pil_to_tensor(picture) for picture in got]), x)
    assert torch.equal(labels, y)


def test_integers_are_blended_where_torchvision_refuses():
    with pytest.raises(RuntimeError):
        v2.MixUp(num_classes=5)(X, Y)
    t = MIXES["MixUp"][0](num_classes=5)
    mine, precise = (t(x, Y, keys=KEYS)[0] for x in (X, X.double()))
    assert mine.dtype == torch.uint8 and ((mine.double() - precise).abs() <= 0.5 + 1e-9).all()


def test_masks_and_boxes_are_mixed_where_torchvision_refuses():
    boxes = [tv_tensors.BoundingBoxes([[2.0, 2, 20, 20]], format="XYXY", canvas_size=(48, 64)) for _ in X]
    batch = {"image": tv_tensors.Image(X), "mask": tv_tensors.Mask(X[:, 0]), "labels": Y}
    with pytest.raises(ValueError, match="masks"):
        v2.CutMix(num_classes=5)(batch)
    got = ad.CutMix(num_classes=5, seed=0)(batch, keys=KEYS)
    assert torch.equal(got["mask"].as_subclass(torch.Tensor), got["image"][:, 0].as_subclass(torch.Tensor))
    t = ad.CutMix(seed=0)
    got = t({"image": X, "boxes": boxes}, keys=KEYS)["boxes"]
    plan = t.plan(X.shape, keys=KEYS)
    assert all(type(b) is tv_tensors.BoundingBoxes for b in got)
    for b, (y0, x0, y1, x1) in enumerate(plan.region.boxes[:, 0].tolist()):
        # The partner's box is the same one, cut to what was pasted, if a tenth of it was.
        inside = [max(2, x0), max(2, y0), min(20, x1), min(20, y1)]
        area = max(0, inside[2] - inside[0]) * max(0, inside[3] - inside[1])
        own, came = ([[2.0, 2, 20, 20]] if (18 * 18 - area) >= 32.4 else []), ([inside] if area >= 32.4 else [])
        assert got[b].tolist() == own + came


@each_mix
def test_chances_of_a_mix(name):
    never, always = (MIXES[name][0](num_classes=5, p=p, per="sample") for p in (0, 1))
    x, y = never(X, Y)
    assert torch.equal(x, X) and torch.equal(y, torch.eye(5)[Y])
    assert not torch.equal(always(X, Y)[0], X)


# Data sets, collating, workers


class Ones(Dataset):
    """What is erased of white images, with their labels."""

    def __init__(self, transform=None, size=24):
        self.transform, self.size = transform or v2.Identity(), size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.transform(tv_tensors.Image(torch.ones(1, 32, 32))), index % 5


def run(dataset, batch=4, workers=0, collate=None, shuffle=False):
    loader = DataLoader(dataset, batch, num_workers=workers, collate_fn=collate, shuffle=shuffle)
    parts = list(zip(*loader, strict=True))
    return [torch.cat(part) for part in parts]


@pytest.mark.parametrize("workers", [0, 2])
def test_without_keys_workers_never_repeat_each_other_and_torch_governs(workers):
    runs = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        chain = v2.Compose([v2.Identity(), ad.RandomErasing(p=1.0, seed=3)])
        runs.append(run(Ones(chain), workers=workers)[0])
        assert len(runs[-1].flatten(1).unique(dim=0)) == 24
    assert torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[1])


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (7, 2), (24, 2)])
def test_with_keys_nothing_else_matters(batch, workers):
    t = ad.RandomErasing(p=1.0, seed=3)
    want = t(torch.ones(24, 1, 32, 32), keys=range(24), epoch=2)
    data = ad.keyed(Ones(v2.Compose([t])))
    data.set_epoch(2)
    torch.manual_seed(batch)
    assert torch.equal(run(data, batch, workers)[0], want)


def test_a_seed_from_torch_and_one_that_is_given():
    def pixels(transform):
        return run(ad.keyed(Ones(transform)), 8)[0]

    torch.manual_seed(0)
    first = pixels(ad.RandomErasing(p=1.0))
    second = pixels(ad.RandomErasing(p=1.0))
    torch.manual_seed(0)
    assert torch.equal(pixels(ad.RandomErasing(p=1.0)), first) and not torch.equal(first, second)
    assert torch.equal(pixels(ad.RandomErasing(p=1.0, seed=1)), pixels(ad.RandomErasing(p=1.0, seed=1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_mixes_in_collate(workers):
    numbers = [(torch.full((1, 16, 16), float(i)), i % 5) for i in range(24)]
    mix = ad.CutMix(num_classes=5, seed=0)
    x, y = run(ad.keyed(numbers, attach=True), 8, workers, ad.collate(mix))
    for at in (slice(0, 8), slice(8, 16), slice(16, 24)):
        images_, labels = torch.stack([n[0] for n in numbers[at]]), torch.tensor([n[1] for n in numbers[at]])
        want = mix(images_, labels, keys=range(at.start, at.stop))
        assert torch.equal(x[at], want[0]) and torch.equal(y[at], want[1])
    # Without keys torch governs, as for torchvision's own.
    runs = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        runs.append(run(numbers, 8, workers, ad.collate(mix))[0])
    assert torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[1])


def test_soft_targets_suit_cross_entropy():
    x, y = ad.CutMix(num_classes=5, seed=0)(X.float(), Y, keys=KEYS)
    logits = x.mean((2, 3)) @ torch.rand(3, 5)
    by_hand = -(y * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(torch.nn.CrossEntropyLoss()(logits, y), by_hand)
