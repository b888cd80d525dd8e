"""The benchmark runs whole, and every registered method is in its report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import augdrop as ad

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder that a quick run wrote."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def rows(results):
    return json.loads((results / "results.json").read_text())["rows"]


@pytest.mark.parametrize("name", ad.METHODS)
@pytest.mark.parametrize("section", ["methods", "plans"])
def test_every_method_has_rows(rows, section, name):
    own = [r for r in rows if r["section"] == section and r["name"].split(" (")[0] == name]
    states = {r["state"] for r in own}
    assert states == ({"out=", "in place"} if section == "methods" else {"a call", "a sample"})
    assert {r["dtype"] for r in own} == ({"uint8", "float32"} if section == "methods" else {""})
    assert all(r["value"] > 0 for r in own)


def test_the_floor_zeroes_what_is_dropped_and_nothing_else():
    from benchmarks.floor import floor

    x, plan = torch.ones(40, 3, 64, 64), ad.PixelDropout(0.3, seed=0).plan((40, 3, 64, 64), keys=range(40))
    for _ in range(2):
        floor(x, plan.mask())()
        assert torch.equal(x == 0, plan.mask()[:, None].expand_as(x))


def test_every_peer_has_a_row_or_is_named_as_missing(rows):
    from benchmarks.peers import PEERS

    there = {r["peer"] for r in rows if r["section"] == "peers"}
    for p in PEERS:
        assert f"{p.library} {p.call}" in there or p.library in there


def test_a_missing_peer_is_named_once(monkeypatch):
    from benchmarks.comparison import rows
    from benchmarks.peers import PEERS
    from benchmarks.timing import QUICK

    monkeypatch.setitem(sys.modules, "paraug", None)  # importing it now raises
    (row,) = rows([p for p in PEERS if p.library == "paraug"], QUICK)
    assert row.note == "paraug is not installed"
    assert row.met is None


def test_every_section_has_rows(rows):
    from benchmarks.memory import available
    from benchmarks.report import SECTIONS

    assert {r["section"] for r in rows} == SECTIONS.keys() - (set() if available() else {"memory"})


def test_report_has_every_section_and_every_row(results, rows):
    from benchmarks.report import SECTIONS

    text = (results / "RESULTS.md").read_text()
    for section, (title, _, columns) in SECTIONS.items():
        own = [r for r in rows if r["section"] == section]
        if own:
            part = text.split(f"## {title}\n")[1].split("\n## ")[0]
            lines = [line for line in part.splitlines() if line.startswith("|")]
            assert len(lines) == 2 + len(own)
            assert {line.count(" | ") for line in lines} == {len(columns) - 1}
    assert "torch threads: " in text
    assert f"augdrop {ad.__version__}" in text


def test_plot_is_a_picture(results):
    with Image.open(results / "results.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("L").getcolors()) > 10


def test_memory_counts_a_clone_and_no_image_where_none_is_made(rows):
    memory = [r for r in rows if r["section"] == "memory"]
    if not memory:
        pytest.skip("peak memory can be measured on Linux only")
    assert memory[0]["name"] == "clone"
    assert 0.9 < memory[0]["share"] < 1.1
    assert all(r["share"] < 0.1 for r in memory[1:] if r["goal"])


def test_ratios_are_medians_of_rounds():
    from benchmarks.timing import micros, ratio

    slow_round = np.array([1.0, 10.0, 1.0, np.nan]) * 1e-6
    assert ratio(2 * slow_round, slow_round) == 2
    assert micros(slow_round) == 1


def test_race_times_what_is_asked():
    from benchmarks.timing import QUICK, race

    calls = []
    seconds = race({"one": lambda: calls.append(1), "two": lambda: calls.append(2)}, QUICK._replace(rounds=3, least=3))
    assert set(seconds) == {"one", "two"}
    assert all(s.shape == (3,) and (s > 0).all() for s in seconds.values())
    assert {1, 2} == set(calls)


def test_passes_go_by_turns_and_the_fastest_quarter_counts(monkeypatch):
    from benchmarks import throughput
    from benchmarks.timing import FULL

    monkeypatch.setattr(throughput, "ROUNDS", 3)
    calls = []
    seconds = throughput.passes({n: lambda n=n: calls.append(n) or len(calls) for n in "ab"}, FULL)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert seconds["a"].tolist() == [1, 4, 5]
    assert throughput.undisturbed(np.array([9.0, 2.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0])) == 1.5


def test_a_missing_target_is_neither_met_nor_missed():
    from benchmarks.timing import Row

    assert Row("methods", "x", to_copy=1.0, goal="to_copy", target=1.3).met is True
    assert Row("methods", "x", to_copy=1.4, goal="to_copy", target=1.3).met is False
    assert Row("methods", "x", to_copy=1.4).met is None
