"""One thread, unless a test asks for more: on a busy machine torch's threads wait for each other in every call."""

from __future__ import annotations

import pytest

from tests.kernels.cases import threads


@pytest.fixture(autouse=True)
def _one_thread():
    with threads(1):
        yield
