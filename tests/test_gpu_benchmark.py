"""The GPU's benchmark without a GPU: its parts run on the CPU; the report also on numbers that are made up."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import clock, correctness, report, rivals, training
from benchmarks.gpu.bench import Bench, Broken, Task, carried_out
from benchmarks.gpu.clock import DeviceClock, HostClock, race, returning
from benchmarks.timing import Row

BENCH = Bench(HostClock(), ((1, 3, 32, 32), (4, 3, 32, 32)), (3, 3, 17, 23), (torch.float32,), 1, 1, "squeezenet1_1", 2)
ABOUT = {"device": "a made-up GPU", "torch threads": 1, "cpu": "a CPU", "versions": {"augdrop": "0", "none": None}}


def test_without_a_gpu_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--out", str(tmp_path)]) is None
    out, err = capsys.readouterr()
    assert out.startswith("No GPU in this machine") and out.count("\n") == 1 and not err
    assert not [*tmp_path.iterdir()]


def checked(names, bench):
    return [*carried_out(t for t in correctness.tasks(bench) if t.row.name in names)]


@pytest.mark.parametrize("name", ["grid × constant", "pixels × noise", "cells × normal", "blocks × mean"])
def test_the_kernels_are_checked(name):
    pytest.importorskip("triton")
    (row,) = checked([name], BENCH._replace(backend="cuda"))
    assert (row.value, row.met) == (0, True), row.note
    # A dtype in each layout; a new tensor, out=, in place.
    assert row.note == "6 cases, all equal bit for bit"


def test_every_region_fill_and_method_is_checked():
    names = [t.row.name for t in correctness.tasks(BENCH)]
    assert len(names) == len(set(names)) == len(correctness.WHERES) * len(correctness.FILLS) + 12 + 1
    wanted = [
        "boxes × blend",
        "cells × partner",
        "CutMix",
        "OneOf",
        "AttentiveCutMix",
        "tokens: gather, scatter, merge",
    ]
    rows = checked(wanted, BENCH)
    assert len(rows) == 6 and all(r.met for r in rows), [r.note for r in rows]


def test_a_kernel_that_is_wrong_is_found(monkeypatch):
    right = correctness.apply
    monkeypatch.setattr(
        correctness, "apply", lambda x, plan, inplace=False, **k: right(x, plan, **k) + (1 if inplace else 0)
    )
    (row,) = checked(["grid × constant"], BENCH)
    assert row.value == 2 and row.met is False
    assert row.note.startswith("2 of 6 cases differ, by 1")
    assert row.note.endswith("; first: uint8, channels_last, in place")


def test_a_definition_that_goes_its_own_way_is_told():
    tally = correctness.Tally()
    tally.compare("a", torch.ones(2), torch.ones(2))
    tally.beside(torch.ones(2), torch.ones(2) + 1e-6)
    row = tally.row(Row("correctness", "x", goal="value", target=0.0))
    assert row.met and row.note == "1 cases, all equal bit for bit; plain torch on the device differs in 1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a run of all that can be timed on the CPU has written."""
    folder = tmp_path_factory.mktemp("gpu")
    sections = ("references", "methods", "calls", "graphs", "peers", "DALI")
    assert [*command.run(BENCH, sections, folder, ABOUT)]
    return folder


def test_everything_that_is_timed_runs(folder):
    data = json.loads((folder / "gpu.json").read_text())
    rows = report.read(folder)
    assert {r.section for r in rows} == {"references", "methods", "fills", "calls", "graphs", "peers", "DALI"}
    failed = [r for r in rows if r.failed]
    assert {r.section for r in failed} == {"DALI"} and all("need a GPU" in r.note for r in failed)
    assert all(r.value > 0 for r in rows if not r.failed)
    assert all(r.host > 0 and r.to_copy > 0 for r in rows if r.section in ("methods", "fills", "calls"))
    assert {r.goal for r in rows if r.section == "methods" and r.shape == "1×3×32×32"} == {None}
    assert data["machine"] == ABOUT


def test_the_report_has_every_row(folder):
    text, rows = (folder / "GPU.md").read_text(), json.loads((folder / "gpu.json").read_text())["rows"]
    assert text.startswith("# AugDrop on a made-up GPU\n")
    assert f"- {sum(r['note'].startswith('failed') for r in rows)} rows failed" in text
    for section, (title, _, columns) in report.SECTIONS.items():
        own = [r for r in rows if r["section"] == section]
        if own:
            lines = [v for v in text.split(f"## {title}\n")[1].split("\n## ")[0].splitlines() if v.startswith("|")]
            assert len(lines) == 2 + len(own)
            assert {v.count(" | ") for v in lines} == {len(columns) - 1}
    with Image.open(folder / "gpu.png") as picture:
        assert picture.width > 1000 and len(picture.convert("L").getcolors()) > 10


@pytest.mark.parametrize("state", training.STATES)
def test_training_steps_with_and_without(state):
    (task,) = [t for t in training.tasks(BENCH) if (t.row.name, t.row.state) == ("CutMix", state)]
    (row,) = carried_out([task])
    assert not row.failed, row.note
    assert row.value > 0 and row.peer_value > 0 and row.share > -1
    assert row.peer == "squeezenet1_1 without" and (row.goal, row.target) == ("share", 0.01)


def test_dali_takes_its_operators_for_a_gpu():
    pytest.importorskip("nvidia.dali")
    for step in (rivals.dali.erase, rivals.dali.grid_mask(64), rivals.dali.cutmix(64)):
        devices = []

        def noted(*nodes, step=step, devices=devices):
            out = step(*nodes)
            devices += [node.device for node in out]
            return out

        rivals.graph(noted, torch.zeros(4, 64, 64, 3, dtype=torch.uint8), 0)
        assert devices == ["gpu", "cpu"]  # images and labels


def test_a_task_that_fails_is_a_row_and_not_the_end():
    def broken(row):
        raise RuntimeError("CUDA error: an illegal\n  memory access")

    rows = [*carried_out([Task(Row("peers", "a"), broken), Task(Row("peers", "b"), lambda r: r._replace(value=1.0))])]
    assert rows[0].failed and rows[0].note == "failed: RuntimeError: CUDA error: an illegal memory access"
    assert rows[1].value == 1.0


def test_a_run_that_is_cut_short_leaves_what_it_had(monkeypatch, tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    tasks = [Task(Row("references", "copy_"), lambda r: r._replace(value=2.0)), Task(Row("references", "b"), stop)]
    monkeypatch.setitem(command.SECTIONS, "references", lambda bench: tasks)
    with pytest.raises(KeyboardInterrupt):
        list(command.run(BENCH, ["references"], tmp_path, ABOUT))
    row, cut = report.read(tmp_path)
    assert (row.name, row.value) == ("copy_", 2.0)
    assert cut.name == "b" and cut.note == "failed: the process ended here"
    assert "copy_" in (tmp_path / "GPU.md").read_text()


def test_a_kernel_that_takes_the_device_or_the_process_along_costs_one_row(monkeypatch, tmp_path):
    ran, device = [], {"works": True}

    def task(name, harm=None):
        def run(row):
            assert device["works"]
            ran.append(name)
            if harm is not None:
                raise harm
            return row._replace(value=1.0)

        return Task(Row("references", name), run)

    def synchronize():
        if ran[-1] == "illegal":
            device["works"] = False
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def process(arguments):
        # What a process of its own would do; a new one has a device that works.
        device["works"], after = True, int(arguments[-1])
        try:
            list(command.run(BENCH, ["references"], tmp_path, ABOUT, report.read(tmp_path)[:after] if after else []))
        except (SystemExit, Broken):
            return 1
        return 0

    tasks = [
        task("a"),
        task("illegal", RuntimeError("CUDA error")),
        task("b"),
        task("crash", SystemExit(139)),
        task("c"),
    ]
    monkeypatch.setitem(command.SECTIONS, "references", lambda bench: tasks)
    monkeypatch.setattr(command.subprocess, "call", process)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    command.supervise([], tmp_path)
    assert ran == ["a", "illegal", "b", "crash", "c"]
    rows = report.read(tmp_path)
    assert [(r.name, r.value, r.note) for r in rows] == [
        ("a", 1.0, ""),
        ("illegal", None, "failed: RuntimeError: CUDA error"),
        ("b", 1.0, ""),
        ("crash", None, "failed: the process ended here"),
        ("c", 1.0, ""),
    ]


def test_a_process_that_measures_nothing_is_not_started_again(monkeypatch, tmp_path):
    list(command.run(BENCH._replace(dtypes=()), ["references"], tmp_path, ABOUT))
    monkeypatch.setattr(command.time, "time", lambda: float("inf"))  # what is there is of another day
    monkeypatch.setattr(command.subprocess, "call", lambda arguments: 2)
    with pytest.raises(SystemExit, match="2"):
        command.supervise([], tmp_path)


# Made-up numbers, to see what the report makes of them; no GPU has given any of these.
MADE_UP = [
    Row("correctness", "boxes × noise", value=0.0, goal="value", target=0.0, note="54 cases"),
    Row("methods", "Cutout", "out=", "256×3×8×8", "uint8", 100.0, to_copy=1.05, goal="to_copy", target=1 / 0.9),
    Row("methods", "GridMask", "out=", "256×3×8×8", "uint8", 130.0, to_copy=1.3, goal="to_copy", target=1 / 0.9),
    Row("training", "CutMix", "in line", value=9e4, share=0.004, peer="n", peer_value=9e4, goal="share", target=0.01),
    Row("training", "Mixup", "in line", value=9e4, share=0.04, peer="n", peer_value=9e4, goal="share", target=0.01),
    Row("peers", "CutMix", peer="kornia x", goal="to_peer", target=1.0, note="failed: ImportError: no kornia"),
]


def test_the_report_says_what_is_met():
    text = report.markdown(ABOUT, MADE_UP, 12.0)
    assert "| Cutout | out= | 256×3×8×8 | uint8 | 100 | 1.05 | 95% | – | met (≥ 90% of a copy's bandwidth) |" in text
    assert "| 77% | – | **not met** (≥ 90% of a copy's bandwidth) |" in text
    assert "| 0.4% | met (≤ 1% of a step) |" in text and "| 4.0% | **not met** (≤ 1% of a step) |" in text
    assert "met (no difference); 54 cases" in text
    assert "| failed: ImportError: no kornia |" in text
    for line in ("1 of 1 kinds", "1 of 2 methods", "1 of 2 training", "0 of 1 peers", "1 rows failed"):
        assert line in text
    assert "NOT MET" in command.line(MADE_UP[2]) and "NOT MET" not in command.line(MADE_UP[1])


def test_a_device_is_timed_between_events_that_wait_for_nothing(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("event")

        def synchronize(self):
            log.append("wait")

        def elapsed_time(self, end):
            return 6.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: log.append("sleep"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("idle"))
    clock = DeviceClock(torch.device("cuda"))
    assert clock.busy(lambda: log.append("call"), 3) == pytest.approx(2e-3)
    assert log == ["idle", "call", "idle", "sleep", "event", "call", "call", "call", "event", "wait"]
    log.clear()
    assert 0 < clock.returns(lambda: log.append("call")) < 1 and log == ["idle", "call", "idle"]
    log.clear()
    assert 0 < clock.row(lambda: log.append("call"), 2) < 1 and log == ["idle", "call", "call", "idle"]


def test_a_race_turns_and_repeats():
    calls = []
    measured = race({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, HostClock().row, rounds=3)
    assert {len(v) for v in measured.values()} == {3}
    assert calls.count("a") == calls.count("b") == 2 + 3 * 50
    assert clock.HostClock().captured(len) is len
    assert returning(HostClock())(lambda: None, 5) > 0
