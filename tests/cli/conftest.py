import contextlib
import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def public_folder():
    """A folder that other users reach too, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def unprivileged():
    """A context in which permissions bind, also where the tests run as root (as in many containers)."""

    @contextlib.contextmanager
    def as_nobody():
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)

    return as_nobody
