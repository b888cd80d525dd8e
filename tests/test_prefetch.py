"""A prefetcher gives what a plain loop gives; on a GPU a batch ahead, in the right order of streams."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader
from torchvision import tv_tensors

import augdrop as ad
from augdrop import prefetch
from tests.helpers import same
from tests.transforms.cases import make

PAIRS = [(torch.full((3, 16, 16), float(i + 1)), i % 5) for i in range(20)]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Photo(torch.utils.data.Dataset):
    """Dict samples that bring their key."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return {"image": PAIRS[i][0], "labels": i % 5, "key": 100 + i}


def keyed(epoch=0, shuffle=False):
    dataset = ad.keyed(PAIRS, attach=True)
    dataset.set_epoch(epoch)
    return DataLoader(dataset, 8, shuffle=shuffle, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("name", ["CutMix", "RandomErasing", "Compose", "OneOf"])
def test_keys_and_epochs_of_a_keyed_data_set_govern(name, epoch):
    t = make(name)
    got = list(ad.Prefetcher(keyed(epoch, shuffle=True), t, device="cpu"))
    assert [len(x) for x, _ in got] == [8, 8, 4]
    for batch, (x, y) in zip(keyed(epoch, shuffle=True), got, strict=True):
        images, labels = batch.item
        assert same((x, y), t(images, labels, keys=batch.key, epoch=epoch))
    collating = DataLoader(keyed(epoch).dataset, 8, collate_fn=ad.collate(t))
    assert same([*ad.Prefetcher(keyed(epoch), t, device="cpu")], [tuple(b) for b in collating])


def test_the_key_entry_of_a_dict_governs():
    t = make("Mixup")
    got = list(ad.Prefetcher(DataLoader(Photo(), 6), t, device="cpu"))
    for batch, result in zip(DataLoader(Photo(), 6), got, strict=True):
        images, targets = t(batch["image"], batch["labels"], keys=batch["key"])
        assert same(result["image"], images) and same(result["labels"], targets)
        assert same(result["key"], batch["key"])


def test_no_transform_hands_on_what_came():
    assert same([*ad.Prefetcher(keyed(), device="cpu")], [*keyed()])
    assert len(ad.Prefetcher(keyed(), device="cpu")) == 3


def test_any_function_may_be_the_transform():
    got = list(ad.Prefetcher([torch.ones(2), (torch.ones(2),)], lambda x: x + 1, device="cpu"))
    assert same(got, [torch.full((2,), 2.0)] * 2)


def test_what_the_loader_keeps_is_not_written():
    batch, cut = (torch.ones(4, 3, 16, 16), np.ones((4, 5))), make("Cutout")
    before = batch[0].clone()
    (pair,) = ad.Prefetcher([batch], lambda x, y: (cut(x), y), device="cpu")
    (alone,) = ad.Prefetcher([batch[0]], cut, device="cpu")
    assert not same(pair[0], before) and not same(alone, before) and same(batch[0], before)


class Box(NamedTuple):
    image: torch.Tensor
    names: list


def test_only_copies_of_ours_are_overwritten():
    # "meta" stands for a device: what is there already is the loader's own.
    meta, host = torch.device("meta"), torch.ones(2, 3)
    for batch, ours in [
        (host, True),
        ((host, [host, {"a": host}]), True),
        ({"image": host, "key": torch.ones(2, dtype=torch.int64, device="meta")}, True),
        (host.to("meta"), False),
        ((host, host.to("meta")), False),
        ((host, np.ones(3)), False),
        ("no tensor", False),
    ]:
        assert prefetch._moved(batch, meta)[1] is ours


def test_structures_go_along_and_keys_stay():
    boxes = tv_tensors.BoundingBoxes([[1, 1, 3, 3]], format="XYXY", canvas_size=(8, 8))
    batch = {"image": torch.ones(2), "more": [boxes, Box(torch.ones(1), ["a"])], "key": torch.arange(2), "n": 3}
    there, _ = prefetch._moved(batch, torch.device("meta"))
    assert there["image"].is_meta and there["more"][0].is_meta and there["more"][1].image.is_meta
    assert not there["key"].is_meta and there["n"] == 3 and there["more"][1].names == ["a"]
    assert type(there["more"][0]) is tv_tensors.BoundingBoxes and there["more"][0].canvas_size == (8, 8)
    assert not batch["image"].is_meta


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ad.AugDropError, match="a GPU in this machine"):
        ad.Prefetcher(keyed())


def test_the_next_batch_is_on_its_way_when_one_is_handed_over(monkeypatch):
    # torch's streams, noting what is asked of them, around tensors of a device that is not there.
    log, current = [], ["main"]

    class Stream:
        def __init__(self, device, name="side"):
            assert device == torch.device("cuda:1"), "the current device, asked for when the loop begins"
            self.name = name

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

        def wait_event(self, event):
            log.append(f"{self.name} waits for batch {event.number}")

    class Event:
        def __init__(self):
            self.number = sum("done" in line for line in log)

        def record(self, stream):
            log.append(f"batch {self.number} done on {stream.name}")

    @contextlib.contextmanager
    def on(stream):
        current.append(stream.name)
        yield
        current.pop()

    def transform(x):
        log.append(f"transform on {current[-1]}")
        return x + 1

    for name, value in {
        "is_available": lambda: True,
        "current_device": lambda: 1,
        "current_stream": lambda device: Stream(device, current[-1]),
        "Stream": Stream,
        "Event": Event,
        "stream": on,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: log.append("pinned") or x, raising=False)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, s: log.append(f"kept for {s.name}"), raising=False)
    with FakeTensorMode():
        for i, x in enumerate(ad.Prefetcher([torch.ones(2) for _ in range(3)], transform)):
            assert x.device == torch.device("cuda:1")
            log.append(f"step {i}")
        whole = log.copy()
        there = torch.ones(2, device="cuda:1")
        log.clear()
        (x,) = ad.Prefetcher([there], transform)

    def started(i):
        return ["side waits for main", "pinned", "transform on side", f"batch {i} done on side"]

    def handed_over(i):
        return [f"main waits for batch {i}", "kept for main", f"step {i}"]

    # A batch that the loader made there is no copy of ours, and both streams use it.
    assert log == ["side waits for main", "kept for side", *started(0)[2:], *handed_over(0)[:2]]
    assert whole == [
        *(*started(0), *started(1), *handed_over(0)),
        *(*started(2), *handed_over(1)),
        *handed_over(2),
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_before_one_that_fails_are_handed_over(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)

    def started(self, batch, device, side):
        return SimpleNamespace(handed_over=self._prepared(batch, torch.device("cpu")).clone)

    monkeypatch.setattr(ad.Prefetcher, "_started", started)
    batches = iter(ad.Prefetcher(torch.arange(5).unbind(), lambda x: 6 // (3 - int(x)) + torch.zeros(()), device))
    assert [int(next(batches)) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(batches)


@pytest.mark.cuda
@CUDA
@pytest.mark.parametrize("name", ["CutMix", "RandomErasing", "GridMask"])
def test_a_gpu_gives_what_the_cpu_gives(name):
    t = make(name)
    expected = [*ad.Prefetcher(keyed(), t, device="cpu")]
    got = []
    for x, y in ad.Prefetcher(keyed(), t):
        assert x.is_cuda and y.is_cuda
        torch.cuda._sleep(1_000_000)  # a step that takes its time
        got.append((x + 0, y + 0))
    assert same([(x.cpu(), y.cpu()) for x, y in got], expected)
