import os
import signal
import subprocess
import sys
import time

import pytest

from augdrop.cli.manifest import Journal
from tests.cli.photos import apply, class_folders, contents

RUN = ("--method", "RandomErasing", "--set", "p=1.0", "--copies", "150")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("source") / "photos")


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert apply(photos, out, *RUN) == 0
    return contents(out)


def started(photos, out, workers):
    """A run in a process group of its own, some of whose outputs are there."""
    command = [sys.executable, "-m", "augdrop", "apply", photos, out, *RUN, "--workers", workers]
    process = subprocess.Popen(
        list(map(str, command)), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    journal = out / "manifest.partial.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 40):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process


def taken_up(photos, out, whole, capsys):
    """The run continues, does not do again what is done, and ends as if nothing had happened."""
    assert not (out / "manifest.jsonl").exists()
    assert (out / "manifest.partial.jsonl").exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    noted = (out / "manifest.partial.jsonl").read_bytes().count(b"\n")
    assert noted > 40
    capsys.readouterr()
    assert apply(photos, out, *RUN) == 0
    assert f"{900 - noted} written" in capsys.readouterr().out
    assert sum(path.stat().st_mtime_ns == time for path, time in before.items()) == noted
    assert contents(out) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_taken_up_is_the_same_as_never_killed(photos, whole, tmp_path, capsys, workers):
    process = started(photos, tmp_path / "out", workers)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    taken_up(photos, tmp_path / "out", whole, capsys)


def test_workers_end_when_the_main_process_is_killed_alone(photos, whole, tmp_path, capsys):
    process = started(photos, tmp_path / "out", 2)
    process.kill()
    process.wait()
    # The pipes are open as long as a worker is alive.
    process.communicate(timeout=60)
    taken_up(photos, tmp_path / "out", whole, capsys)


def test_ctrl_c_says_that_the_run_can_be_taken_up(photos, whole, tmp_path, capsys):
    process = started(photos, tmp_path / "out", 2)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the same command continues" in err
    assert "Traceback" not in err
    taken_up(photos, tmp_path / "out", whole, capsys)


def test_a_line_that_was_cut_off_and_a_file_left_over_are_cleared_away(photos, tmp_path):
    run = ("--method", "RandomErasing")
    apply(photos, tmp_path / "whole", *run)
    out = tmp_path / "out"
    apply(photos, out, *run)
    lines = (out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (out / "manifest.jsonl").unlink()
    (out / "manifest.partial.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
    (out / "flower" / ".augdrop-0123.tmp").write_bytes(b"half an im")
    journal = Journal(out)
    assert len(journal.records) == 2
    journal.close()
    assert apply(photos, out, *run) == 0
    assert contents(out) == contents(tmp_path / "whole")
