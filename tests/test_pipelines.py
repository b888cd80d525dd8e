"""Each pipeline is run as a user runs it, on a few photographs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import two_at_a_time

FOLDER = Path(__file__).parents[1] / "pipelines"
NOT_PIPELINES = {"common.py", "same_everywhere.py"}
PIPELINES = sorted(p for p in FOLDER.glob("*.py") if p.name not in NOT_PIPELINES)
SPEEDS = re.compile(r"^without AugDrop: +(\d+) images/s\nwith AugDrop: +(\d+) images/s \([+-]\d+\.\d%\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def done(request, tmp_path_factory):
    """A pipeline that has run, and the folder that it wrote to."""

    def run(path):
        folder = tmp_path_factory.mktemp(path.stem)
        command = [sys.executable, path, "--images", "16", "--out", folder]
        environment = os.environ | {"PYTHONWARNINGS": "", "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment), folder

    with two_at_a_time(run, request, "path") as result:
        yield result


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_a_pipeline_prints_two_speeds_and_draws_what_it_did(path, done):
    run, folder = done(path)
    assert run.returncode == 0, run.stderr[-3000:]
    speeds = SPEEDS.search(run.stdout)
    assert speeds and all(int(number) > 0 for number in speeds.groups()), run.stdout
    picture = folder / f"{path.stem}.png"
    assert f"preview:         {picture}" in run.stdout
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) >= 64 and pixels.std() > 20, "an empty picture"


def test_the_page_names_every_pipeline():
    page = (FOLDER / "README.md").read_text()
    assert all(f"({p.name})" in page for p in FOLDER.glob("*.py") if p.name != "common.py")


def test_a_folder_of_ones_own(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            noise = np.random.default_rng(i).integers(0, 255, (240, 260, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / name / f"{i}.png")
    command = [sys.executable, FOLDER / "torchvision_classification.py", "--data", tmp_path / "data"]
    run = subprocess.run(
        [*command, "--out", tmp_path, "--batch", "4", "--workers", "0"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "soft targets (4, 2)" in run.stdout
    assert {"cats", "dogs"} & set(run.stdout.split())


def test_a_folder_of_another_kind_is_told(tmp_path):
    command = [sys.executable, FOLDER / "torchvision_detection.py", "--data", tmp_path / "nowhere"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert run.returncode == 1 and "masks/NAME.png" in run.stderr and "Traceback" not in run.stderr
