import numpy as np
import pytest
import ray
import ray.data
import torch

import augdrop as ad
from augdrop.adapters.fields import Fields
from augdrop.adapters.ray import RayStage
from tests.adapters.cases import NAMES, make
from tests.helpers import same
from tests.transforms.cases import images

COUNT = 12
X = images(COUNT, (32, 48), torch.uint8)
ROWS = {"image": X.movedim(1, -1).numpy(), "label": np.arange(COUNT) % 5, "key": np.arange(COUNT) * 7 + 3}


def core(t, at=slice(None), **call):
    """The core's own result, as Ray has it."""
    x, y = t(X[at], torch.from_numpy(ROWS["label"][at]), keys=ROWS["key"][at], **call)
    return x.movedim(1, -1).numpy(), y.numpy()


@pytest.fixture(scope="module")
def dataset():
    """12 rows in 4 blocks, on a small cluster."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{name: column[i] for name, column in ROWS.items()} for i in range(COUNT)]
    yield ray.data.from_items(rows, override_num_blocks=4)
    ray.shutdown()


def by_key(data):
    batch = data.take_batch(COUNT)
    order = np.argsort(batch["key"])
    return {name: column[order] for name, column in batch.items()}


@pytest.mark.parametrize("name", NAMES)
def test_batches_as_in_the_core(name):
    t = make(name)
    columns = {k: v.copy() for k, v in ROWS.items()}
    for column in columns.values():
        column.flags.writeable = False
    got = ad.to_ray(t)(columns)
    x, y = core(t)
    assert same(got, {"image": x, "label": y, "key": ROWS["key"]}) and same(columns, ROWS)


def test_batch_size_blocks_and_concurrency_do_not_matter(dataset):
    t = ad.Compose([ad.RandomErasing(p=1), ad.GridMask((8, 16))], seed=0)
    t.set_epoch(2)
    want = core(t)[0]
    stage = ad.to_ray(t)
    for call in ({"batch_size": 1}, {"batch_size": 5, "concurrency": 2}, {"batch_size": None}):
        assert np.array_equal(by_key(dataset.map_batches(stage, **call))["image"], want)


def test_actors_and_mixes(dataset):
    mix = ad.CutMix(num_classes=5, seed=0)
    fields = Fields("to_ray", "image", "label", key="key")
    data = dataset.map_batches(RayStage, fn_constructor_args=(mix, fields), concurrency=1, batch_size=COUNT)
    got, (x, y) = by_key(data), core(mix)
    assert np.array_equal(got["image"], x) and np.array_equal(got["label"], y)


def test_images_of_several_sizes(dataset):
    t, stage = ad.Cutout(8, seed=0), ad.to_ray(ad.Cutout(8, seed=0))

    def cropped(batch):
        ragged = np.empty(len(batch["key"]), object)
        ragged[:] = [image[: 16 + key % 5] for image, key in zip(batch["image"], batch["key"], strict=True)]
        return {**batch, "image": ragged}

    got = by_key(dataset.map_batches(cropped).map_batches(stage, batch_size=5))
    for image, i, key in zip(got["image"], range(COUNT), ROWS["key"], strict=True):
        want = t(X[i, :, : 16 + key % 5], keys=int(key)).movedim(0, -1).numpy()
        assert same(image, want)


def test_names_as_keys_and_an_epoch_for_each_row():
    t, paths = ad.Cutout(8, seed=0), np.array([f"cats/{i}.jpg" for i in range(COUNT)])
    columns = {"image": ROWS["image"], "path": paths, "epoch": np.arange(COUNT)}
    keys = [ad.key_of(p) for p in paths.tolist()]
    want = t(X, keys=keys, epoch=range(COUNT)).movedim(1, -1).numpy()
    for names in (paths, paths.astype(object)):
        assert same(ad.to_ray(t, key="path")({**columns, "path": names})["image"], want)


def test_masks_boxes_and_keypoints():
    t = ad.CutMix(num_classes=5, seed=0)
    boxes = np.empty(COUNT, object)
    boxes[:] = [np.array([[1, 2, 20, 20], [4, 4, 10, 12 + i]], np.float32)[: 1 + i % 2] for i in range(COUNT)]
    masks, points = ROWS["image"][..., 0] % 5, np.random.default_rng(0).uniform(0, 30, (COUNT, 3, 2))
    columns = {**ROWS, "seg": masks, "bbox": boxes, "points": points}
    got = ad.to_ray(t, masks="seg", boxes="bbox", keypoints="points")(columns)
    parts = {"image": X, "masks": torch.from_numpy(masks), "boxes": [torch.from_numpy(b) for b in boxes]}
    parts |= {"keypoints": torch.from_numpy(points), "labels": torch.from_numpy(ROWS["label"])}
    want = t(parts, keys=ROWS["key"])
    assert same(got["seg"], want["masks"].numpy()) and same(got["label"], want["labels"].numpy())
    assert same(got["points"], want["keypoints"].numpy())
    assert same(got["points_visible"], want["keypoints_visible"].numpy())
    assert all(same(a, b.numpy()) for a, b in zip(got["bbox"], want["boxes"], strict=True))


MIX = ad.CutMix(num_classes=5, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.to_ray(MIX)({**ROWS, "image": X.numpy()}), "image: got shape .*expected HWC"),
        (lambda: ad.to_ray(MIX)({**ROWS, "label": ROWS["label"] + 0.5}), "labels: .*integer class indices"),
        (lambda: ad.to_ray(MIX)({**ROWS, "key": ROWS["key"] // 14}), "keys: got .* twice in a batch"),
        (lambda: ad.to_ray(MIX)({**ROWS, "key": ROWS["key"] + 0.5}), "keys: got float64 values"),
        (lambda: ad.to_ray(MIX, key="path")(ROWS), "key: got 'image', 'label', 'key'; expected 'path'"),
        (lambda: ad.to_ray(MIX, label="class")(ROWS), "label: .*expected 'class'"),
        (lambda: ad.to_ray(MIX, masks="mask")(ROWS), "masks: .*expected 'mask'"),
        (lambda: ad.to_ray(MIX)(list(ROWS.values())), 'got list; .*batch_format="numpy"'),
        (lambda: ad.to_ray(MIX, key=None), "key: got None; .*Number the rows"),
        (lambda: ad.to_ray("CutMix"), "got str; expected an AugDrop transform"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ad.AugDropError, match=message) as caught:
        call()
    assert str(caught.value).startswith("to_ray")
