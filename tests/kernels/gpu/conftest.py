"""The ahead-of-time compiler begins before the first test, and works beside them until its results are asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_COMPILER = pytest.StashKey[tuple[subprocess.Popen, TemporaryDirectory]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(item.path.name == "test_compile_ahead.py" for item in session.items)
    if not wanted or sys.platform != "linux" or session.config.option.collectonly:
        return
    # Under this process's ``TRITON_INTERPRET`` nothing is compiled.
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command, folder = [sys.executable, "-m", "tests.kernels.gpu.compile_ahead"], TemporaryDirectory()
    with open(f"{folder.name}/out", "wb") as out, open(f"{folder.name}/err", "wb") as err:
        process = subprocess.Popen(
            command, env=env, stdout=out, stderr=err, cwd=session.config.rootpath, process_group=0
        )
    session.config.stash[_COMPILER] = process, folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    process, folder = session.config.stash.get(_COMPILER, (None, None))
    if process is not None and folder is not None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        folder.cleanup()


@pytest.fixture(scope="session")
def compiled(pytestconfig: pytest.Config) -> list[dict[str, Any]]:
    """What `tests.kernels.gpu.compile_ahead` says of each variant."""
    process, folder = pytestconfig.stash[_COMPILER]
    out, err = Path(folder.name, "out"), Path(folder.name, "err")
    assert process.wait() == 0, err.read_text()[-3000:]
    return [json.loads(line) for line in out.read_text().splitlines()]
