"""Class labels are found wherever they are, and mixed; or an error says that they are not."""

import numpy as np
import pytest
import torch

from augdrop import AugDropError
from tests.helpers import Untouched, same
from tests.samples.cases import SOFT, H, W, images, run

MIXED = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.3, 0.7, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("inputs", "labels_of"),
    [
        ((images(2), torch.tensor([0, 1])), lambda out: out[1]),
        (([images(2), torch.tensor([0, 1])],), lambda out: out[1]),
        (({"label": torch.tensor([0, 1]), "image": images(2)},), lambda out: out["label"]),
        (({"a": {"Target": torch.tensor([0, 1])}, "image": images(2)},), lambda out: out["a"]["Target"]),
        (({"my_label_id": torch.tensor([0, 1]), "image": images(2)},), lambda out: out["my_label_id"]),
        (({"image": [images(), images()], "label": [0, 1]},), lambda out: torch.stack(out["label"])),
        (([(images(), 0), (images(), 1)],), lambda out: torch.stack([o[1] for o in out])),
        (
            ([{"y": np.int64(0), "x": images()}, {"y": np.int64(1), "x": images()}],),
            lambda out: torch.stack([o["y"] for o in out]),
        ),
        (([(images(), torch.eye(4)[0]), (images(), torch.eye(4)[1])],), lambda out: torch.stack([o[1] for o in out])),
        (({"labels": np.array([0, 1]), "image": images(2)},), lambda out: torch.from_numpy(out["labels"])),
    ],
)
def test_class_labels_wherever_they_are(inputs, labels_of):
    torch.testing.assert_close(labels_of(run(*inputs, mixes=True, options=SOFT)), MIXED)
    assert same(run(*inputs, hit=False, mixes=True), inputs[0] if len(inputs) == 1 else inputs)


def test_pairs_in_the_place_of_labels():
    first, second, own = run(images(2), torch.tensor([0, 1]), mixes=True, options={"form": "pairs"})[1]
    assert (first.tolist(), second.tolist()) == ([0, 1], [1, 0])
    torch.testing.assert_close(own, torch.tensor([0.7, 0.7]))
    out = run([(images(), 0), (images(), 1)], mixes=True, options={"form": "pairs"})
    assert [(int(a), int(b)) for _, (a, b, _) in out] == [(0, 1), (1, 0)]


def test_a_single_sample_keeps_the_weight_of_its_label():
    out = run(images(), 2, mixes=True, hit=False, options=SOFT)
    assert out[1].tolist() == [0, 0, 1, 0]


def test_labels_getter():
    batch = {"image": images(2), "kind": torch.tensor([0, 1]), "labels": torch.tensor([3, 3])}
    out = run(batch, mixes=True, options=SOFT, getter=lambda b: b["kind"])
    torch.testing.assert_close(out["kind"], MIXED)
    assert out["labels"].tolist() == [3, 3]
    assert same(run(batch, mixes=True, options=SOFT, getter=None)["labels"], batch["labels"])
    rows = [{"image": images(), "kind": torch.tensor(i)} for i in range(2)]
    out = run(rows, mixes=True, options=SOFT, getter=lambda s: s["kind"])
    torch.testing.assert_close(torch.stack([o["kind"] for o in out]), MIXED)


@pytest.mark.parametrize(
    "sample", [{"image": images(2)}, [{"image": images(), "name": "a"}] * 2, (images(2), ["cat", "dog"])]
)
def test_a_sample_without_labels_is_not_mixed_in_silence(sample):
    with pytest.raises(AugDropError, match="labels: got a sample in which none can be told"):
        run(sample, mixes=True, options=SOFT)
    for options, getter in ((SOFT, None), ({}, "default")):
        run(sample, mixes=True, options=options, getter=getter)
    run({"image": images(2), "mask": torch.ones(2, H, W)}, mixes=True, options=SOFT)


@pytest.mark.parametrize(
    ("inputs", "getter", "message"),
    [
        ({"image": images(2), "kind": torch.tensor([0, 1])}, "default", "none can be told; .* labels_getter"),
        ({"image": images(2), "kind": torch.tensor([0, 1])}, lambda b: b["kind"].clone(), "the very tensor"),
        ({"image": images(2), "kind": torch.tensor([0, 1])}, "labels", "'default', a function or None"),
        ([(images(), torch.zeros(2)), (images(), torch.zeros(3))], "default", "one shape for all samples"),
        ((images(2), torch.tensor([0.0, 1.0])), "default", "integer class indices"),
    ],
)
def test_labels_that_cannot_be_found_or_mixed(inputs, getter, message):
    with pytest.raises(AugDropError, match=message):
        run(inputs, mixes=True, options=SOFT, getter=getter)


def test_two_keys_that_speak_of_labels_are_not_told_apart_by_their_order():
    sample = {"image": images(2), "fine_label": torch.tensor([0, 1]), "coarse_label": torch.tensor([1, 0])}
    with Untouched(sample), pytest.raises(AugDropError, match="got 'fine_label' and 'coarse_label'"):
        run(sample, mixes=True, options=SOFT)
    fine = run(sample, mixes=True, options=SOFT, getter=lambda sample: sample["fine_label"])
    assert fine["fine_label"].shape == (2, 4) and fine["coarse_label"] is sample["coarse_label"]
    named = run(sample | {"label": torch.tensor([2, 3])}, mixes=True, options=SOFT)
    assert named["label"].shape == (2, 4) and named["fine_label"] is sample["fine_label"]
    assert run(sample)["fine_label"] is sample["fine_label"]
