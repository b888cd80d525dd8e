"""Without Triton there is no device code to import, and so no examples in it to run."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("triton") else ["augdrop/kernels/gpu/*", "tests/kernels/gpu/*"]
