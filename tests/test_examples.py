"""Each example runs as a user runs it, with the least to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.helpers import two_at_a_time

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

ROOT = Path(__file__).parents[1]
PRETRAINING = ("mae", "droppos", "hpm")
DROPPING = ("gridmask_as_tokens.py", "patchdropout_finetune.py")
SHORT = {"train_classifier.py": ["--epochs", "1", "--width", "4"]} | {
    f"{name}_pretrain.py": ["--epochs", "2", "--seeds", "0"] for name in PRETRAINING
}
SHORT |= {name: ["--epochs", "2", "--size", "16", "--seeds", "0"] for name in DROPPING}
"""Arguments that make an example shorter; the others run as they are."""
ELSEWHERE = {"demo.py", "tiny_vit.py", "vit_classifier.py"}
"""Examples with tests of their own, and what examples share."""


def run(name, *arguments, cwd):
    """What an example prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(request, tmp_path_factory):
    """What an example prints when it is run without arguments (or shorter), once for all tests; and where it ran."""
    folder = tmp_path_factory.mktemp("examples")
    with two_at_a_time(lambda name: run(name, *SHORT.get(name, []), cwd=folder), request, "example") as result:
        yield lambda name: (result(name), folder)


@pytest.mark.parametrize("example", sorted(p.name for p in (ROOT / "examples").glob("*.py") if p.name not in ELSEWHERE))
def test_example_runs_without_arguments(example, said):
    assert said(example)[0].strip()


def test_training_loop_learns(said):
    assert float(said("training_loop.py")[0].split()[-1].rstrip("%")) > 50


@pytest.mark.parametrize("name", PRETRAINING)
def test_pretraining_learns_and_draws(name, said):
    text, folder = said(f"{name}_pretrain.py")
    first, last = (float(line.split()[-1]) for line in text.splitlines() if line.startswith("epoch"))
    assert last < 0.9 * first
    probes = next(line for line in text.splitlines() if line.startswith("linear probe, pre-trained"))
    assert float(probes.split()[-5]) > 70  # from all labels; chance is 10
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.width > 600 and picture.height > 300
    if name == "droppos":
        right = next(line for line in text.splitlines() if line.startswith("positions"))
        assert float(right.split("images: ")[1].split("%")[0]) > 10  # chance is 6.2


@pytest.mark.parametrize("name", DROPPING)
def test_dropping_tokens_compares_and_drops(name, said):
    *_, first, second, tokens = said(name)[0].splitlines()
    accuracies = [float(line.split("accuracy ")[1].split()[0]) for line in (first, second)]
    assert max(accuracies) > 15  # chance is 10, and two epochs are short
    assert all(float(line.split("step ")[1].split()[0]) > 0 for line in (first, second))
    assert first.endswith(" 1.00 times as fast") and second.endswith(" times as fast")
    total, kept = (float(word) for word in tokens.split()[1:4:2])  # "of 16 tokens 8 stay ..."
    assert total == 16 and 4 <= kept < 14


def test_replay_is_equal(said):
    told = [line.split()[-1] for line in said("replay.py")[0].splitlines() if "equal" in line or "alone" in line]
    assert told == ["True"] * 3


def test_detection_writes_its_picture(said):
    text, folder = said("detection.py")
    with Image.open(folder / "detection.png") as picture:
        assert picture.width > 3 * 400
        assert picture.height > 2 * 300
    assert "as they are, 0: cup, saucer, spoon" in text


def test_classifier_on_digits_compares_methods_over_seeds(tmp_path):
    arguments = ("--method", "none", "CutMix+Mixup", "--seeds", "0", "1", "--epochs", "1", "--width", "4")
    lines = [
        json.loads(line) for line in run("train_classifier.py", *arguments, cwd=tmp_path).splitlines() if line[0] == "{"
    ]
    assert [line["method"] for line in lines] == ["none", "CutMix+Mixup"]
    for line in lines:
        assert len(line["accuracy"]) == 2
        assert 0 <= line["mean"] <= 1
        assert line["settings"]["epochs"] == 1


@pytest.mark.parametrize("split", [True, False])
def test_classifier_on_a_folder(split, tmp_path):
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "val") if split else (".",):
        for name, colour in (("dark", 40), ("light", 200)):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for i in range(24):
                noise = torch.randint(0, 50, (40, 30, 3), dtype=torch.uint8, generator=generator)
                Image.fromarray((noise + colour).numpy()).save(folder / f"{i}.png")
    arguments = ("--data", "images", "--method", "RandomErasing", "--size", "16", "--batch", "8", "--width", "4")
    said = run("train_classifier.py", *arguments, "--epochs", "4", cwd=tmp_path)
    result = json.loads(said.splitlines()[-1])
    assert "2 classes" in said
    assert result["mean"] > 0.9  # dark from light: chance would be 0.5


def test_classifier_names_the_nearest_method(tmp_path):
    with pytest.raises(AssertionError, match="CutMix"):
        run("train_classifier.py", "--method", "Cutmix", cwd=tmp_path)
