"""DALI pipeline mode: what comes out of a graph is what the core makes of the same keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import PIL.Image
import pytest
import torch
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline, pipeline_def

import augdrop as ad
from augdrop.adapters.dali import graph, to_dali
from augdrop.adapters.dali.threads import free_beside
from tests.adapters.dali_graph import KEYS, LAYOUTS, SIZE, images, run, same, source, to_layout
from tests.transforms.cases import ALL, make

USERS = ad.RegionalDropout(where=ad.regions.RandomGrid((8, 16)), fill=ad.Partner(), num_classes=5, seed=0)
HOST: Any = None  # no GPU
LABELS = [np.array([i], np.int32) for i in (0, 1, 2, 3, 4)]


def method(name: str) -> ad.Transform:
    return USERS if name == "a user's own" else make(name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*ALL, "a user's own"])
def test_images_and_labels_are_the_cores(name: str, layout: str) -> None:
    t = method(name)
    for dtype in (torch.uint8, torch.float16, torch.float32):
        x = images(layout, dtype)
        got, labels = run(to_dali(t), to_layout(x, layout), layout, labels=LABELS)
        want, targets = t(x, torch.arange(5), keys=KEYS)
        assert not torch.equal(want, x) and same(got, want, layout)
        assert np.array_equal(np.stack(labels).squeeze(), targets.numpy())


@pytest.mark.parametrize("form", ["one-hot", "soft", "pairs"])
def test_labels_in_every_form(form: str) -> None:
    t = ad.CutMix(num_classes=5, targets="pairs" if form == "pairs" else "soft", seed=0)
    target = torch.eye(5) if form == "one-hot" else torch.rand(5, 5) if form == "soft" else torch.arange(5)
    _, *labels = run(to_dali(t), to_layout(images(), "HWC"), labels=target)
    _, want = t(images(), target, keys=KEYS)
    for got, wanted in zip(labels, want if form == "pairs" else (want,), strict=True):
        assert np.array_equal(np.stack(got).squeeze(), wanted.numpy())


def test_labels_of_an_erasing_go_around() -> None:
    _, labels = run(to_dali(ad.Cutout(8, seed=0)), to_layout(images(), "HWC"), labels=LABELS)
    assert labels[0].dtype == np.int32 and np.array_equal(np.stack(labels), np.stack(LABELS))


def test_score_maps_from_the_graph() -> None:
    t, scores = ad.AttentiveCutMix(num_classes=5, seed=0), torch.rand(5, 4, 4)
    got, labels = run(to_dali(t), to_layout(images(), "HWC"), labels=LABELS, scores=scores)
    want, targets = t(images(), torch.arange(5), plan=t.plan(images().shape, keys=KEYS, scores=scores))
    assert same(got, want) and np.array_equal(np.stack(labels), targets.numpy())


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_images_and_masks_may_be_painted_where_they_lie(layout: str, inplace: bool) -> None:
    t, x = ad.CutMix(num_classes=5, seed=0), images(layout)
    want, targets = t(x, torch.arange(5), keys=KEYS)
    photos, masks = to_layout(x, layout).numpy(), np.repeat(np.arange(5, dtype=np.uint8), SIZE[0] * SIZE[1])
    masks = masks.reshape(5, *SIZE)
    before, classes = photos.copy(), masks.copy()
    pipe: Any = Pipeline(5, num_threads=2, device_id=None, exec_async=False, exec_pipelined=False)
    with pipe:
        lent = fn.external_source(lambda: photos, no_copy=True, layout=layout)
        classes_lent = fn.external_source(lambda: masks, no_copy=True, layout="HW")
        pipe.set_outputs(*to_dali(t, inplace=inplace)(lent, source(LABELS), keys=source(KEYS), masks=classes_lent))
    pipe.build()
    got, labels, painted = pipe.run()
    assert same([np.array(i) for i in got], want, layout) and np.array_equal(labels.as_array(), targets.numpy())
    assert not np.array_equal(painted.as_array(), classes)
    assert np.array_equal(photos, got.as_array() if inplace else before)
    assert np.array_equal(masks, painted.as_array() if inplace else classes)


def test_videos_with_a_region_for_each_frame() -> None:
    t, x = ad.RandomErasing(p=1.0, per_frame=True, seed=0), images("FHWC")
    (got,) = run(to_dali(t), to_layout(x, "FHWC"), "FHWC")
    assert same(got, t(x, keys=KEYS), "FHWC")


def test_several_sizes_are_erased_each_on_its_own_canvas() -> None:
    t = ad.GridMask((8, 16), seed=0)
    x = [
        torch.randint(0, 256, (3, h, w), dtype=torch.uint8)
        for h, w in ((24, 32), (20, 40), (24, 32), (32, 32), (20, 40))
    ]
    masks = [torch.ones(1, *i.shape[1:], dtype=torch.uint8) for i in x]
    t.annotations = ad.Policy(masks="fill", mask_fill=9)
    got, painted = run(to_dali(t), x, "CHW", masks=masks)
    for image, mask, key, given in zip(got, painted, KEYS, x, strict=True):
        want = t({"image": given, "mask": torch.ones(given.shape[1:], dtype=torch.uint8)}, keys=int(key))
        assert np.array_equal(image, want["image"].numpy()) and np.array_equal(mask[0], want["mask"].numpy())


def test_a_batch_of_one_has_no_partner() -> None:
    t, x = ad.CutMix(num_classes=5, seed=0), images(batch=1)
    got, labels = run(to_dali(t), to_layout(x, "HWC"), labels=[np.array(3)], keys=[np.array([7])])
    assert same(got, x) and labels[0].tolist() == [0, 0, 0, 1, 0]


def test_the_epoch_is_set_or_rides_beside() -> None:
    t, x = ad.Cutout(8, seed=0), images()
    wants = [t(x, keys=KEYS, epoch=e) for e in (0, 3)]
    mixed = torch.where(torch.tensor([0, 1, 0, 1, 1]).bool()[:, None, None, None], wants[1], wants[0])
    assert same(run(to_dali(t), to_layout(x, "HWC"), epoch=3)[0], wants[1])
    assert same(run(to_dali(t), to_layout(x, "HWC"), epoch=np.array([0, 3, 0, 3, 3]))[0], mixed)
    stage = to_dali(ad.Cutout(8, seed=0))
    stage.set_epoch(3)
    assert same(run(stage, to_layout(x, "HWC"))[0], wants[1])


def test_the_epoch_is_counted_in_batches_however_far_dali_works_ahead() -> None:
    t, x = ad.Cutout(8, seed=0), images()

    def counting(node: Any, keys: Any) -> Any:
        epoch = fn.external_source(lambda info: np.array([info.iteration // 3]), batch=False)
        return to_dali(t)(node, keys=keys, epoch=epoch)

    for runs in (1, 3, 4, 7):
        (got,) = run(counting, to_layout(x, "HWC"), runs=runs, options={"prefetch_queue_depth": 3})
        assert same(got, t(x, keys=KEYS, epoch=(runs - 1) // 3))


def test_a_stage_leaves_torchs_threads_alone(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(graph, "free_beside", lambda pipeline: 1)

    class Asking(ad.Cutout):
        def apply(self, *args: Any, **given: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().apply(*args, **given)

    before = torch.get_num_threads()
    options: dict[str, Any] = {"exec_async": False, "exec_pipelined": False}  # so it runs in this thread
    run(to_dali(Asking(8, seed=0)), to_layout(images(), "HWC"), options=options)
    assert seen == [1] and torch.get_num_threads() == before


def test_a_stage_has_the_cores_that_dali_leaves_free() -> None:
    cores = len(os.sched_getaffinity(0))
    waiting = Pipeline(2, 2, None, exec_async=False, exec_pipelined=False)
    assert free_beside(waiting) == free_beside(None) == cores
    assert free_beside(Pipeline(2, 1, None)) == max(1, cores - 1)
    assert free_beside(Pipeline(2, 10_000, None)) == 1


@pytest.mark.parametrize("options", [{}, {"exec_dynamic": False}, {"exec_async": False, "exec_pipelined": False}])
def test_every_executor_and_every_run(options: dict) -> None:
    t = ad.CutMix(num_classes=5, seed=0)
    got, labels = run(to_dali(t), to_layout(images(), "HWC"), labels=LABELS, runs=6, options=options)
    want, targets = t(images(), torch.arange(5), keys=KEYS)
    assert same(got, want) and np.array_equal(np.stack(labels), targets.numpy())


def test_stages_share_an_input_without_touching_it() -> None:
    a, b, x = ad.Cutout(12, seed=0), ad.Cutout(12, fill=255, seed=1), images()

    def both(node: object, keys: object) -> tuple:
        return to_dali(a)(node, keys=keys), to_dali(b)(node, keys=keys), node

    first, second, untouched = run(both, to_layout(x, "HWC"))
    assert same(first, a(x, keys=KEYS)) and same(second, b(x, keys=KEYS)) and same(untouched, x)


def test_conditional_pipelines() -> None:
    t, x, chosen = ad.Cutout(12, seed=0), images(), np.array([True, False, True, True, False])
    stage = to_dali(t)

    @pipeline_def(batch_size=5, num_threads=1, device_id=HOST, enable_conditionals=True)
    def pipe() -> Any:
        node = source(to_layout(x, "HWC"), "HWC")
        keys = source(KEYS)
        if source(chosen):  # noqa: SIM108
            node = stage(node, keys=keys)
        else:
            node = fn.copy(node)
        return node

    built: Any = pipe()
    built.build()
    want = torch.where(torch.from_numpy(chosen)[:, None, None, None], t(x, keys=KEYS), x)
    assert same([np.array(i) for i in built.run()[0]], want)


def test_a_plan_is_drawn_once_a_batch() -> None:
    class Counted(ad.CutMix):
        drawn = 0

        def decide(self, *args: Any, **given: Any) -> ad.Plan:
            type(self).drawn += 1
            return super().decide(*args, **given)

    stage = to_dali(Counted(num_classes=5, seed=0))
    for _ in range(3):
        stage.plan(KEYS, 0, (5, 3, *SIZE), {})
    stage.plan(KEYS, 1, (5, 3, *SIZE), {})
    assert Counted.drawn == 2


def test_keys_of_copies_are_those_at_the_end() -> None:
    cases: Any = (([5, 3, 3], True), ([5, 3, 3, 3, 3], True), ([3, 3], True), ([3], True), ([3, 5, 3], False))
    for keys, fine in (*cases, ([5, 5, 3], False), ([5, 5, 3, 3], False)):
        decider = to_dali(ad.Cutout(8, seed=0), padded=True).decider
        if fine:
            assert decider.check(np.array(keys), len(keys)).tolist() == keys
        else:
            with pytest.raises(ad.AugDropError, match="2 times in a batch"):
                decider.check(np.array(keys), len(keys))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """11 files in two classes."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for i in range(11):
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(root / "ab"[i % 2] / f"{i}.png")
    return root


def from_files(folder: Path, stage: Any, batch: int, checkpoint: str | None = None, seed: int = 0) -> Any:
    @pipeline_def(batch_size=batch, num_threads=2, device_id=HOST, seed=seed, enable_checkpointing=True)
    def pipe() -> Any:
        files, labels = fn.readers.file(file_root=str(folder), random_shuffle=True, pad_last_batch=True, name="reader")
        keys = fn.get_property(files, key="source_info")
        batches = -(-11 // batch)
        epoch = fn.external_source(lambda info: np.array([info.iteration // batches]), batch=False)
        return *stage(fn.decoders.image(files), labels, keys=keys, epoch=epoch), keys

    built = pipe(checkpoint=checkpoint)
    built.build()
    return built


def epoch_of(pipe: Any, batches: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and target of each file by its name."""
    seen = {}
    for _ in range(batches):
        out = pipe.run()
        for i in range(len(out[0])):
            x, y, key = (np.array(o[i]) for o in out)
            name = key.tobytes().decode()
            assert name not in seen or np.array_equal(seen[name][0], x)  # a copy that fills the last batch
            seen[name] = (x, y)
    return seen


@pytest.mark.parametrize("batch", [1, 3, 4, 16])
def test_a_shuffling_reader_at_any_batch_size(folder: Path, batch: int) -> None:
    t = ad.RandomErasing(p=1.0, seed=0)
    pipe = from_files(folder, to_dali(t, padded=True), batch, seed=batch)
    for epoch in range(2):
        seen = epoch_of(pipe, -(-11 // batch))
        assert len(seen) == 11
        for name, (x, y) in seen.items():
            raw = torch.from_numpy(np.array(PIL.Image.open(folder / name))).movedim(-1, 0)
            assert np.array_equal(x, t(raw, keys=ad.key_of(name), epoch=epoch).movedim(0, -1).numpy())
            assert y.tolist() == ["ab".index(name[0])]


def test_copies_in_the_last_batch_are_nobodys_partner(folder: Path) -> None:
    t = ad.CutMix(num_classes=2, seed=0)
    pipe = from_files(folder, to_dali(t, padded=True), 4)
    for _ in range(2):
        pipe.run()
    images, labels, keys = ([np.array(a) for a in o] for o in pipe.run())
    names = [k.tobytes().decode() for k in keys]
    assert names[2] == names[3]
    raw = torch.stack([torch.from_numpy(np.array(PIL.Image.open(folder / n))).movedim(-1, 0) for n in names[:3]])
    want, targets = t(raw, torch.tensor(["ab".index(n[0]) for n in names[:3]]), keys=[ad.key_of(n) for n in names[:3]])
    assert same(images[:3], want) and np.array_equal(images[2], images[3])
    assert np.array_equal(np.stack(labels[:3]), targets.numpy()) and np.array_equal(labels[2], labels[3])


def test_checkpoint_and_restore(folder: Path) -> None:
    t = ad.CutMix(num_classes=2, seed=0)
    pipe = from_files(folder, to_dali(t, padded=True), 4)
    pipe.run()
    again = from_files(folder, to_dali(t, padded=True), 4, checkpoint=pipe.checkpoint())
    for _ in range(4):
        for a, b in zip(pipe.run(), again.run(), strict=True):
            assert all(np.array_equal(np.array(x), np.array(y)) for x, y in zip(a, b, strict=True))


def test_a_last_batch_that_is_short() -> None:
    t, x = ad.CutMix(num_classes=5, seed=0), to_layout(images(), "HWC").numpy()
    stage, parts = to_dali(t), [slice(0, 3), slice(3, 5)]
    pipe: Any = Pipeline(3, num_threads=1, device_id=None)
    with pipe:
        nodes = [
            fn.external_source(source=[list(v[p]) for p in parts], batch=True, layout=layout)
            for v, layout in ((x, "HWC"), (np.arange(5)[:, None], None), (KEYS, None))
        ]
        pipe.set_outputs(*stage(nodes[0], nodes[1], keys=nodes[2]))
    pipe.build()
    for part in parts:
        got, labels = ([np.array(a) for a in o] for o in pipe.run())
        want, targets = t(images()[part], torch.arange(5)[part], keys=KEYS[part])
        assert same(got, want) and np.array_equal(np.stack(labels), targets.numpy())


WRONG = {
    "no keys": ({"keys": None}, "keys: got none"),
    "keys that repeat": ({"keys": [np.array([k]) for k in (1, 1, 2, 3, 4)]}, "1 2 times in a batch of 5"),
    "keys of copies": ({"keys": [np.array([k]) for k in (1, 2, 3, 4, 4)]}, "padded=True"),
    "two keys a sample": ({"keys": [np.array([1, 2])] * 5}, "keys: got int64 of shape (2,) for a sample"),
    "float keys": ({"keys": [np.array([0.5])] * 5}, "keys: got float64"),
    "no layout": ({"layout": None}, "images without a layout; expected HWC, CHW, FHWC, FCHW"),
    "an unknown layout": ({"layout": "DHW"}, "images of layout 'DHW'"),
    "float labels": ({"labels": torch.rand(5)}, "expected integer class indices"),
    "a class too many": ({"labels": torch.arange(5) + 1}, "class 5 at position 4; expected classes from 0 to 4"),
    "scores for nothing": ({"scores": torch.rand(5, 4, 4)}, "scores: got CutMix"),
    "boxes of no format": ({"boxes": torch.rand(5, 2, 4)}, "Declare it: to_dali(t, bbox_format='ltrb')"),
    "masks of another size": ({"masks": torch.zeros(5, 8, 8)}, "masks: got (8, 8) for a sample"),
    "a negative epoch": ({"epoch": np.array([-1] * 5)}, "epoch: got -1"),
    "labels that are no node": ({"labels": 3}, "labels: got int; expected a DataNode"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input(case: str) -> None:
    given, message = WRONG[case]
    with pytest.raises((ad.AugDropError, RuntimeError)) as error:
        run(to_dali(ad.CutMix(num_classes=5, seed=0)), to_layout(images(), "HWC"), **{"layout": "HWC", **given})
    assert message in str(error.value) and "to_dali: " in str(error.value)


def test_sizes_that_differ_cannot_be_mixed() -> None:
    with pytest.raises(RuntimeError, match="got images of 2 sizes; expected one size for all samples"):
        run(to_dali(ad.CutMix(seed=0)), [torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], "CHW", keys=KEYS[:2])


def test_a_declared_layout_names_nameless_images_and_is_checked() -> None:
    t = ad.Cutout(8, seed=0)
    x = to_layout(images(), "CHW")
    declared = lambda node, keys: to_dali(t)(node, keys=keys, layout="CHW")  # noqa: E731
    assert same(run(declared, x, None)[0], t(images(), keys=KEYS), "CHW")
    with pytest.raises(RuntimeError, match="got HWC images; expected CHW, as declared"):
        run(declared, to_layout(images(), "HWC"))
    with pytest.raises(RuntimeError, match="got samples of 3 axes; expected 4"):
        run(lambda node, keys: to_dali(t)(node, keys=keys, layout="FHWC"), x, None)
    with pytest.raises(ad.AugDropError, match="images of layout 'WHC'"):
        run(lambda node, keys: to_dali(t)(node, keys=keys, layout="WHC"), x, None)


@pytest.mark.parametrize("route", ["kernel", "native"])
def test_images_come_out_with_the_layout_that_was_declared(route: str) -> None:
    stage, x = to_dali(ad.Cutout(8, seed=0), route), images()
    out = []

    def named(node: Any, keys: Any) -> Any:
        out.append(fn.get_property(stage(node, keys=keys, layout="HWC"), key="layout"))
        return out[0]

    assert bytes(run(named, to_layout(x, "HWC"), None)[0][0]) == b"HWC"


@pytest.mark.parametrize("route", ["kernel", "native"])
@pytest.mark.parametrize(("wrong", "right"), [("HWC", "CHW"), ("CHW", "HWC"), ("FHWC", "FCHW")])
def test_channels_where_another_layout_has_them_are_refused(route: str, wrong: str, right: str) -> None:
    x = to_layout(images(right), right)
    for given, declared in ((wrong, None), (None, wrong)):
        with pytest.raises(RuntimeError, match=rf"to_dali: images: got shape .*; expected {wrong}\. Its channels"):
            run(lambda n, keys, d=declared: to_dali(ad.Cutout(8), route)(n, keys=keys, layout=d), x, given)
    with pytest.raises(ad.AugDropError, match="Its channels"):
        to_dali(ad.Cutout(8), route)(ndd.as_batch(x, layout=wrong), keys=KEYS)


def test_operators_cannot_look_at_pixels() -> None:
    with pytest.raises(ad.AugDropError, match="got no score maps for AttentiveCutMix"):
        run(to_dali(ad.AttentiveCutMix(seed=0), route="native"), to_layout(images(), "HWC"))


def test_bad_arguments() -> None:
    t = ad.Cutout(8, seed=0)
    cases: Any = (
        ({"transform": lambda x: x}, "got function; expected an AugDrop transform"),
        ({"transform": t, "route": "nativ"}, "Did you mean 'native'"),
        ({"transform": t, "bbox_format": "xyxy"}, "got 'xyxy'; expected 'ltrb' or 'xywh'"),
    )
    for arguments, message in cases:
        with pytest.raises(ad.AugDropError, match=message):
            to_dali(**arguments)


def gpu_graph(stage: Any, **given: np.ndarray) -> tuple[Pipeline, tuple]:
    pipe = Pipeline(5, num_threads=1, device_id=0)
    with pipe:
        node = source(to_layout(images(), "HWC"), "HWC").gpu()
        more = {name: source(value) for name, value in given.items()}
        out = stage(node, source(LABELS), keys=source(KEYS), **more)
        pipe.set_outputs(*out)
    return pipe, out


@pytest.mark.parametrize("name", ALL)
def test_gpu_graphs_can_be_made(name: str) -> None:
    """As far as a machine without a GPU goes: operators take each other's outputs, but building needs a driver."""
    t = make(name)
    pipe, out = gpu_graph(
        to_dali(t), **({"scores": np.random.default_rng(0).random((5, 4, 4))} if t.uses_pixels else {})
    )
    assert [node.device for node in out] == ["gpu", "cpu"]
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            pipe.build()


def test_the_cpu_kernel_refuses_a_gpu() -> None:
    with pytest.raises(ad.AugDropError, match="got the CPU kernel for images on a GPU"):
        gpu_graph(to_dali(ad.CutMix(num_classes=5, seed=0), route="kernel"))
