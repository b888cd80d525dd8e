"""to_timm in timm's own places: its loaders with and without prefetcher, its losses, its training task."""

import pickle

import numpy as np
import pytest
import timm
import torch
from timm.data import create_loader
from timm.data.loader import PrefetchLoader
from timm.data.mixup import FastCollateMixup, mixup_target
from timm.data.random_erasing import RandomErasing
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.task import ClassificationTask

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.transforms.cases import images, same

CPU = torch.device("cpu")
MIXES = [name for name in NAMES if make(name).label_options() is not None]
ERASERS = [name for name in NAMES if name not in MIXES]


class Photos(torch.utils.data.Dataset):
    """As timm's ImageDataset: PIL images (here arrays) through ``transform``, which ``create_loader`` sets."""

    def __init__(self, count=8, size=32):
        self.pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
        self.transform = None

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        from PIL import Image

        image = Image.fromarray(self.pixels[i])
        return (image if self.transform is None else self.transform(image)), i % 5


def loader(dataset, **options):
    options = {"batch_size": 4, "is_training": True, "no_aug": True, "num_workers": 0, **options}
    return create_loader(dataset, (3, 32, 32), device=CPU, persistent_workers=options["num_workers"] > 0, **options)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MIXES)
def test_mixup_fn_is_the_core_in_place_for_any_batch_size(name, dtype):
    t, x, y = make(name), images(7, dtype=dtype), torch.arange(7) % 5
    ours = x.clone()
    with ad.keys(range(7), 3):
        out, target = ad.to_timm(t)(ours, y)
    expected, labels = make(name)(x, y, keys=range(7), epoch=3)
    assert out is ours and same(out, expected)
    assert target.dtype == torch.float32 and torch.equal(target, labels)


def test_a_mix_in_a_chain():
    t, x, y = ad.Compose([ad.CutMix(num_classes=5), ad.Cutout(16)], seed=0), images(5), torch.arange(5)
    with ad.keys(range(5)):
        out, target = ad.to_timm(t)(x.clone(), y)
    expected, labels = t(x, y, keys=range(5))
    assert same(out, expected) and torch.equal(target, labels) and not torch.equal(target, target.round())


@pytest.mark.parametrize("name", ERASERS)
def test_an_eraser_as_mixup_fn_gives_soft_targets(name):
    x, y = images(5), torch.arange(5)
    with ad.keys(range(5)):
        out, target = ad.to_timm(make(name), num_classes=5, label_smoothing=0.1)(x.clone(), y)
    assert same(out, make(name)(x, keys=range(5)))
    assert torch.allclose(target, mixup_target(y, 5, 1.0, 0.1))


@pytest.mark.parametrize("name", ERASERS)
def test_random_erasing_is_the_core_in_place(name):
    x = images(6)
    for splits, clean in ((0, 0), (1, 0), (2, 3), (3, 2)):
        ours = x.clone()
        with ad.keys(range(6), 1):
            out = ad.to_timm(make(name), num_splits=splits)(ours)
        expected = make(name)(x, keys=range(6), epoch=1)
        assert out is ours and same(out[clean:], expected[clean:]) and same(out[:clean], x[:clean])


def test_splits_are_those_of_timm():
    """The samples that timm's RandomErasing keeps clean are those that ours keeps clean."""
    x = torch.ones(7, 3, 32, 32)
    theirs = RandomErasing(probability=1, num_splits=3, device="cpu")(x.clone())
    ours = ad.to_timm(ad.RandomErasing.preset("timm", p=1.0), num_splits=3)(x.clone())
    assert torch.equal((theirs == 0).any(3).any(2).any(1), (ours == 0).any(3).any(2).any(1))


def test_random_erasing_takes_one_image_as_timms_does():
    t = ad.Cutout(8, seed=0)
    with ad.keys(3):
        assert same(ad.to_timm(t)(images(1)[0].clone()), t(images(1)[0], keys=3))


def test_calls_without_keys_differ_and_follow_torchs_seed():
    stage, x = ad.to_timm(ad.RandomErasing(p=1.0, seed=0)), images(4)
    torch.manual_seed(1)
    a, b = stage(x.clone()), stage(x.clone())
    torch.manual_seed(1)
    assert same(a, stage(x.clone())) and not same(a, b)


def test_the_epoch_counts():
    stage, x, y = ad.to_timm(ad.CutMix(num_classes=5, seed=0)), images(6), torch.arange(6) % 5
    results = []
    for epoch in (0, 1, 0):
        stage.set_epoch(epoch)
        with ad.keys(range(6)):
            results.append(stage(x.clone(), y)[0])
    assert same(results[0], results[2]) and not same(results[0], results[1])


@pytest.mark.parametrize("name", [*MIXES, "Cutout"])
def test_mixup_enabled_turns_it_off_as_timms_does(name):
    own = {"num_classes": 5, "label_smoothing": 0.1}
    compositions = ("OneOf", "Compose")
    t = make(name, **(own if name in MIXES and name not in compositions else {}))
    stage = ad.to_timm(t, **({} if name in MIXES else own))
    x, y = images(4), torch.arange(4)
    stage.mixup_enabled = False
    off, target = stage(x.clone(), y)
    smoothing = stage.label_smoothing
    assert same(off, x) and torch.allclose(target, mixup_target(y, 5, 1.0, smoothing))
    stage.mixup_enabled = True
    with ad.keys(range(4)):
        assert not same(stage(x.clone(), y)[0], x)


def test_labels_of_uint8_images_are_the_pixels_that_are_left():
    """timm's own 'elem' mode gives every uint8 sample its partner's label."""
    x = torch.arange(1, 7, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 3, 32, 32).contiguous()
    out, target = ad.to_timm(ad.CutMix(num_classes=7, seed=0))(x, torch.arange(1, 7))
    shares = torch.stack([(out == c).float().mean((1, 2, 3)) for c in range(7)], 1)
    assert torch.allclose(target, shares) and not torch.equal(target, target.round())


@pytest.mark.parametrize("workers", [0, 2])
def test_create_loader_without_prefetcher(workers):
    data = loader(Photos(7), use_prefetcher=False, num_workers=workers)
    mixup_fn, loss = ad.to_timm(ad.CutMix(num_classes=5, label_smoothing=0.1)), SoftTargetCrossEntropy()
    for x, y in data:
        before = x.clone()
        x, target = mixup_fn(x, y)
        assert not same(x, before) and loss(torch.randn(len(x), 5), target).isfinite()


def test_prefetch_loader_erases_with_ours():
    """The attribute is read in each iteration, after normalising: a fill of 0 is the mean colour."""
    data = loader(Photos(8), re_prob=1.0, no_aug=False)
    assert isinstance(data, PrefetchLoader) and isinstance(data.random_erasing, RandomErasing)
    data.random_erasing = ad.to_timm(ad.Cutout(16, seed=0))
    for x, y in data:
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        assert bool((x == 0).all(1).flatten(1).any(1).all())
    data.random_erasing = ad.to_timm(ad.Cutout(16, p=0.0))
    assert not any(bool((x == 0).all(1).any()) for x, _ in data)


@pytest.mark.parametrize("prefetch", [True, False])
def test_collate_fn_with_a_keyed_data_set_is_the_core_in_any_worker(prefetch):
    mix = ad.CutMix(num_classes=5, seed=0)
    photos = ad.keyed(Photos(8), attach=True)
    for workers in (0, 2):
        options = {"is_training": False, "use_prefetcher": prefetch, "num_workers": workers, "batch_size": 5}
        data = loader(photos, collate_fn=ad.to_timm(mix), **options)
        raw = torch.stack([torch.as_tensor(photos.dataset[i][0]) for i in range(8)])
        for epoch in (0, 2):
            photos.set_epoch(epoch)
            for ids, (x, y) in zip((range(5), range(5, 8)), data, strict=True):
                expected, target = mix(raw[list(ids)], torch.tensor(ids) % 5, keys=ids, epoch=epoch)
                if prefetch:
                    expected = expected.float().sub_(data.mean).div_(data.std)
                assert torch.equal(y, target) and same(x, expected)


def test_mixup_enabled_reaches_workers_that_already_run():
    """timm's script sets it on the loader; timm's own FastCollateMixup in a persistent worker never sees it."""
    stage = ad.to_timm(ad.CutMix(num_classes=5, seed=0))
    data = loader(Photos(8), num_workers=1, collate_fn=stage)
    assert isinstance(stage, FastCollateMixup) and data.mixup_enabled
    assert any(bool((y.amax(1) < 1).any()) for _, y in data)
    data.mixup_enabled = False
    assert not stage.mixup_enabled and all(bool((y.amax(1) == 1).all()) for _, y in data)


def test_timms_own_task_trains_on_it():
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=5, img_size=32, patch_size=8)
    task = ClassificationTask(model, criterion=SoftTargetCrossEntropy(), verbose=False)
    optimizer = create_optimizer_v2(task, "adamw", lr=1e-2)
    stage = ad.to_timm(ad.OneOf([ad.CutMix(num_classes=5), ad.GridMask((8, 16)), ad.Identity()], seed=0))
    x, y, losses = torch.randn(10, 3, 32, 32), torch.arange(10) % 5, []
    for _ in range(12):
        losses.append(task(*stage(x.clone(), y))["loss"])
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_multi_label_targets():
    y = torch.eye(5)[torch.arange(4)] + torch.eye(5)[3]
    t = ad.CutMix(multi_label=True, label_smoothing=0.1, seed=0)
    with ad.keys(range(4)):
        _, target = ad.to_timm(t)(images(4), y.clamp(max=1))
    assert torch.equal(target, t(images(4), y.clamp(max=1), keys=range(4))[1])


def test_a_stage_is_pickled_to_a_worker():
    stage = pickle.loads(pickle.dumps(ad.to_timm(ad.CutMix(num_classes=5, seed=0))))
    with ad.keys(range(4)):
        x, _ = stage(images(4), torch.arange(4))
    assert same(x, ad.CutMix(num_classes=5, seed=0)(images(4), torch.arange(4), keys=range(4))[0])


MIX = ad.CutMix(num_classes=5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ad.to_timm("cutmix"), "to_timm: got str"),
        (lambda: ad.to_timm(MIX, num_classes=10), "which mixes"),
        (lambda: ad.to_timm(MIX, num_splits=2), "which mixes"),
        (lambda: ad.to_timm(ad.CutMix(targets="pairs")), "soft targets"),
        (lambda: ad.to_timm(ad.RandomErasing(objects="only")), "object boxes"),
        (lambda: ad.to_timm(MIX)(images(4)), "to_timm: random_erasing: .*without targets"),
        (lambda: ad.to_timm(ad.Cutout(8))(images(4), torch.arange(4)), "to_timm: targets: .*num_classes"),
        (lambda: ad.to_timm(ad.CutMix())(images(4), torch.arange(4)), "Pass it to CutMix"),
        (lambda: ad.to_timm(MIX)(images(4), torch.rand(4)), "to_timm: labels: got torch.float32"),
        (lambda: ad.to_timm(MIX)(images(4), torch.arange(3)), "to_timm: labels"),
        (lambda: ad.to_timm(MIX)(images(4), torch.arange(4) + 3), "to_timm: labels: got class 5"),
        (
            lambda: ad.to_timm(MIX)(images(4).movedim(1, -1), torch.arange(4)),
            "to_timm: images: got shape .*expected BCHW",
        ),
        (lambda: ad.to_timm(MIX)(list(images(4)), [0, 1, 2, 3]), "NaFlex"),
        (lambda: ad.to_timm(MIX)([((images(1)[0],) * 3, 0)] * 2), "AugMix"),
    ],
)
def test_bad_input_names_the_adapter_and_the_mend(call, said):
    with pytest.raises(ad.AugDropError, match=said) as error:
        call()
    assert str(error.value).startswith("to_timm")


def test_bad_targets_leave_the_images_alone():
    x = images(4)
    with pytest.raises(ad.AugDropError):
        ad.to_timm(MIX)(x, torch.arange(4) + 3)
    assert same(x, images(4))
