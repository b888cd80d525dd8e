import io

import numpy as np
import PIL.Image
import pytest
import torch
import webdataset as wds
from torch.utils.data import DataLoader

import augdrop as ad
from tests.adapters.cases import NAMES, make
from tests.helpers import same
from tests.transforms.cases import images

COUNT = 12
PIXELS = images(COUNT, (32, 48), torch.uint8)
KEYS = [ad.key_of(f"{i:04}") for i in range(COUNT)]
CLASSES = [i % 5 for i in range(COUNT)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards of PNG files with classes, masks and boxes."""
    folder = tmp_path_factory.mktemp("shards")
    for s in range(2):
        with wds.TarWriter(str(folder / f"{s}.tar")) as writer:
            for i in range(6 * s, 6 * s + 6):
                writer.write(sample(i))
    return [str(folder / f"{s}.tar") for s in range(2)]


def sample(i):
    file = io.BytesIO()
    PIL.Image.fromarray(mask(i)).save(file, "png")
    picture = PIL.Image.fromarray(PIXELS[i].movedim(0, -1).numpy())
    return {
        "__key__": f"{i:04}", "png": picture, "cls": i % 5, "seg.png": file.getvalue(), "boxes.npy": boxes(i)
    }  # fmt: skip


def mask(i):
    return np.full((32, 48), i + 1, np.uint8)


def boxes(i):
    return np.array([[1, 2, 20, 20], [4, 4, 10, 12 + i]], np.float32)


def classes_of_pixels(file):
    return PIL.Image.open(io.BytesIO(file))


def pipeline(shards, *stages, decode="pil"):
    data = wds.WebDataset(shards, shardshuffle=False, nodesplitter=None)
    return data.decode(wds.handle_extension("seg.png", classes_of_pixels), decode).compose(*stages)


def tensor_of(image):
    return image if isinstance(image, torch.Tensor) else torch.from_numpy(np.array(image)).movedim(-1, -3)


@pytest.mark.parametrize("decode", ["pil", "rgb8", "torchrgb8"])
@pytest.mark.parametrize("name", [n for n in NAMES if not make(n).mixes])
def test_samples_as_in_the_core(shards, name, decode):
    t = make(name)
    got = list(pipeline(shards, wds.map(ad.to_webdataset(t, image="png")), decode=decode))
    want = t(PIXELS, keys=KEYS)
    assert len(got) == COUNT
    for i, s in enumerate(got):
        assert torch.equal(tensor_of(s["png"]), want[i]) and s["cls"] == i % 5 and s["__key__"] == f"{i:04}"


@pytest.mark.parametrize("name", NAMES)
def test_batches_as_in_the_core(shards, name):
    t = make(name)
    keep = wds.map(lambda s: {k: s[k] for k in ("__key__", "png", "cls")})
    got = list(pipeline(shards, keep, wds.batched(5), wds.map(ad.to_webdataset(t)), decode="rgb8"))
    assert [len(b["cls"]) for b in got] == [5, 5, 2]
    for start, b in zip((0, 5, 10), got, strict=True):
        at = slice(start, start + 5)
        x, y = t(PIXELS[at], torch.tensor(CLASSES[at]), keys=KEYS[at])
        assert torch.equal(tensor_of(b["png"]), x) and np.array_equal(b["cls"], y.numpy())


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffling_workers_and_epochs_do_not_matter(shards, workers):
    t = ad.RandomErasing(p=1, seed=0)
    stage = ad.to_webdataset(t)
    data = pipeline(shards, wds.shuffle(8), wds.map(stage), wds.to_tuple("__key__", "png"), decode="torchrgb8")
    loader = DataLoader(data, None, num_workers=workers, persistent_workers=workers > 0)
    for epoch in (0, 3):
        stage.set_epoch(epoch)
        got = dict(loader)
        want = t(PIXELS, keys=KEYS, epoch=epoch)
        assert len(got) == COUNT and all(torch.equal(got[f"{i:04}"], want[i]) for i in range(COUNT))


def test_tuples_are_named_by_position(shards):
    t = ad.CutMix(num_classes=5, seed=0)
    stage = ad.to_webdataset(t, image=1, label=2, key=0)
    stages = wds.to_tuple("__key__", "png", "cls"), wds.batched(12), wds.map(stage)
    (batch,) = pipeline(shards, *stages, decode="torchrgb8")
    x, y = t(PIXELS, torch.tensor(CLASSES), keys=KEYS)
    assert type(batch) is tuple and batch[0] == [f"{i:04}" for i in range(COUNT)]
    assert torch.equal(batch[1], x) and np.array_equal(batch[2], y.numpy())


def test_one_entry_without_a_key_follows_torch(shards):
    t = ad.Cutout(16, seed=0)
    for stages in ((wds.map_dict(png=t),), (wds.to_tuple("png", "cls"), wds.map_tuple(t, lambda y: y))):
        runs = []
        for seed in (3, 4, 3):
            torch.manual_seed(seed)
            first = next(iter(pipeline(shards, *stages, decode="torchrgb8")))
            runs.append(first["png"] if isinstance(first, dict) else first[0])
        assert torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[1])


def test_masks_and_boxes(shards):
    t = ad.Cutout(20, seed=0, annotations=ad.Policy(boxes="shrink", masks="fill", mask_fill=255))
    stage = ad.to_webdataset(t, masks="seg.png", boxes="boxes.npy")
    got = list(pipeline(shards, wds.map(stage)))
    for i, s in enumerate(got):
        want = t({"image": PIXELS[i], "masks": torch.from_numpy(mask(i)), "boxes": torch.from_numpy(boxes(i))},
                 keys=KEYS[i])  # fmt: skip
        assert isinstance(s["seg.png"], PIL.Image.Image)
        assert np.array_equal(np.array(s["seg.png"]).squeeze(), want["masks"].numpy())
        assert np.array_equal(s["boxes.npy"], want["boxes"].numpy())
    assert any(len(s["boxes.npy"]) < 2 for s in got)


def test_masks_and_flags_in_a_mixed_batch():
    t = ad.CutMix(num_classes=5, seed=0)
    points = torch.rand(COUNT, 3, 2) * 30
    batch = {"__key__": [f"{i:04}" for i in range(COUNT)], "jpg": PIXELS, "cls": torch.tensor(CLASSES)}
    batch |= {"seg": torch.stack([torch.from_numpy(mask(i)) for i in range(COUNT)]), "points": list(points)}
    got = ad.to_webdataset(t, masks="seg", keypoints="points")(batch)
    parts = {"image": PIXELS, "masks": batch["seg"], "keypoints": list(points), "labels": batch["cls"]}
    want = t(parts, keys=KEYS)
    names = {"jpg": "image", "seg": "masks", "points": "keypoints", "cls": "labels"}
    names["points_visible"] = "keypoints_visible"
    assert list(got) == [*batch, "points_visible"]
    assert all(same(got[mine], want[theirs]) for mine, theirs in names.items())


def test_the_epoch_may_ride_along():
    t, s = ad.Cutout(16, seed=0), {"__key__": "a", "__epoch__": 4, "jpg": PIXELS[0]}
    assert torch.equal(ad.to_webdataset(t)(s)["jpg"], t(PIXELS[0], keys=ad.key_of("a"), epoch=4))
    batch = {"__key__": ["a", "b"], "__epoch__": [4, 5], "jpg": PIXELS[:2]}
    want = t(PIXELS[:2], keys=[ad.key_of("a"), ad.key_of("b")], epoch=[4, 5])
    assert torch.equal(ad.to_webdataset(t)(batch)["jpg"], want)


MIX = ad.CutMix(num_classes=5, seed=0)
BATCH = {"__key__": ["a", "b"], "jpg": PIXELS[:2], "cls": torch.tensor([0, 1])}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.to_webdataset(MIX)({"__key__": "a", "jpg": PIXELS[0], "cls": 3}), "got one sample; .*Batch it"),
        (lambda: ad.to_webdataset(MIX)({**BATCH, "cls": torch.rand(2)}), "to_webdataset: labels: .*integer class"),
        (
            lambda: ad.to_webdataset(MIX)({k: BATCH[k] for k in ("__key__", "jpg")}),
            "label: got '__key__', 'jpg'; .*cls",
        ),
        (lambda: ad.to_webdataset(MIX)({**BATCH, "__key__": ["a", "a"]}), "to_webdataset: keys: .* twice .*key=None"),
        (lambda: ad.to_webdataset(MIX)({**BATCH, "__key__": ["a", "b", "c"]}), "to_webdataset: keys: .* 2 samples"),
        (
            lambda: ad.to_webdataset(MIX)({"jpg": PIXELS[:2], "cls": BATCH["cls"]}),
            "^to_webdataset: key: .*expected '__key__'",
        ),
        (lambda: ad.to_webdataset(MIX)({"tif": PIXELS[0]}), "image: got 'tif'; expected 'jpg' or 'jpeg' or 'png'"),
        (lambda: ad.to_webdataset(MIX, image="tif")(BATCH), "image: .*expected 'tif'"),
        (lambda: ad.to_webdataset(MIX, masks="seg.png")(BATCH), "masks: .*expected 'seg.png'"),
        (lambda: ad.to_webdataset(MIX)({**BATCH, "jpg": PIXELS[:2].numpy()}), "channels are not last"),
        (lambda: ad.to_webdataset(MIX, image=0, label=1, key=2)((PIXELS[:2],)), "key|label: got 1 entries"),
        (lambda: ad.to_webdataset(print), "expected an AugDrop transform"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ad.AugDropError, match=message) as caught:
        call()
    assert "to_webdataset" in str(caught.value)
