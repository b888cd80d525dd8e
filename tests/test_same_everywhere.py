"""The promise, end to end: a sample's drop is the same in every library, batch size, number of workers and order."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import augdrop as ad

PROGRAM = Path(__file__).parents[1] / "pipelines" / "same_everywhere.py"
CELL = re.compile(r"[0-9a-f]{6} [0-9a-f]{6}!?|–")


@pytest.fixture(scope="module")
def program():
    """The program as a module; its folder is where it finds what pipelines share."""
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        spec = importlib.util.spec_from_file_location("same_everywhere", PROGRAM)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(PROGRAM.parent))


def test_every_library_batch_and_order_gives_the_same(program, tmp_path):
    """As a user runs it, with fewer images: 9 in batches of 1, 7 and all."""
    command = [sys.executable, PROGRAM, "--images", "9", "--batches", "1,7,9", "--out", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    lines = run.stdout.splitlines()
    assert lines[-1] == "all equal, for 9 images"
    header, rows = lines[0].split()[3:], lines[1:-1]
    assert [name.rstrip("*") for name in header] == [*ad.METHODS, "OneOf", "Compose"]
    assert len(rows) == len(program.WAYS) * 3 * 2 * 2
    table = np.array([CELL.findall(row) for row in rows])
    for column, name in enumerate(header):
        plans = {cell[:6] for cell in table[:, column] if cell != "–"}
        # Methods that mix nothing have one plan throughout; the others one for each way to share out the samples:
        # alone, all together, and by sevens in two orders.
        assert len(plans) == (4 if name.endswith("*") else 1), name
        assert (table[:, column] == "–").sum() == (24 if name == "AttentiveCutMix*" else 0)


@pytest.fixture
def small(program, tmp_path, monkeypatch):
    """Eight images, two methods, and plain torch alone."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"{i}.png")
    items = [(tmp_path / f"{i}.png", i % 2) for i in range(8)]
    plain = next(iter(program.WAYS))
    monkeypatch.setattr(program, "WAYS", {plain: program.WAYS[plain]})
    monkeypatch.setattr(program, "LOADED", {})
    ts = {"Cutout": ad.Cutout(16, seed=0), "CutMix": ad.CutMix(num_classes=2, seed=0)}
    return program.Photographs(items, program.v2.PILToTensor()), ts


@pytest.mark.parametrize("wrong", ["pixel", "target", "missing"])
def test_a_difference_is_seen(program, small, wrong, capsys):
    photographs, ts = small

    def almost(t):
        def stage(x, y, keys):
            x, y = (part.clone() for part in t(x, y, keys=keys))
            if 5 in keys:
                part = x if wrong == "pixel" else y
                part[keys.index(5)] = 1 - part[keys.index(5)]
            return (x, y) if wrong != "missing" else (x[:-1], y[:-1])

        return stage

    assert program.compare(photographs, ts, [4]) == 0
    program.way("almost", program.on_batches)(almost)
    if wrong == "missing":
        with pytest.raises(ValueError, match="zip"):
            program.compare(photographs, ts, [4])
        return
    assert program.compare(photographs, ts, [4]) == 2 * 4
    assert capsys.readouterr().out.count("!") == 8


def test_what_a_batch_has_to_do_with_a_drop_is_seen(program, small):
    photographs, ts = small
    program.way("by position", program.on_batches)(lambda t: lambda x, y, keys: t(x, y, keys=range(len(keys))))
    assert program.compare(photographs, {"Cutout": ts["Cutout"]}, [4, 8]) >= 6
