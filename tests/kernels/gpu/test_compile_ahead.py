"""Every kernel compiles for GPUs that are not here, keeps to its registers, and moves whole vectors.

What is left out of the product of all regions, fills, layouts, dtypes and architectures is said at
`tests.kernels.gpu.compile_ahead.representative`; ``python -m tests.kernels.gpu.compile_ahead --all --report`` leaves
nothing out.
"""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("triton")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler is for Linux"),
]


def test_every_kernel_compiles_for_every_architecture(compiled):
    assert [f"{r['case']}: {r['error']}" for r in compiled if "error" in r] == []
    kernels = {"paint", "chain", "channel_means", "cell_means", "gather", "scatter", "merge", "spread", "soft_labels"}
    fills = {r["case"].split(", ")[1] for r in compiled if r["kernel"] == "paint"}
    for architecture in (80, 90, 100):
        mine = [r for r in compiled if r["sm"] == architecture]
        assert {r["kernel"] for r in mine} == kernels
        assert {r["case"].split(", ")[1] for r in mine if r["kernel"] == "paint"} == fills
        for kind in ("boxes", "blocks", "grid", "cells", "mask"):
            assert any(r["case"].startswith(f"{kind}, ") for r in mine)


def test_nothing_spills(compiled):
    assert {(r["sm"], r["case"]): (r["spilled"], r["reg"]) for r in compiled if r["spilled"]} == {}


def test_partners_in_place_are_written_behind_a_barrier(compiled):
    # Which no interpreter can miss: it runs one thread after the other.
    assert all(r["barrier"] for r in compiled if r["kernel"] == "chain")


def test_aligned_images_and_tokens_are_stored_in_whole_vectors(compiled):
    aligned = [r for r in compiled if r["wide"]]
    assert {r["kernel"] for r in aligned} == {"paint", "chain", "gather", "scatter", "merge", "spread"}
    for r in aligned:
        assert max(r["st"]) >= 128, r
        if r["wide"] == "stores":
            assert min(r["st"]) >= 128, r
    assert any("channels last" in r["case"] for r in aligned)


def test_images_that_begin_between_vectors_are_stored_element_by_element(compiled):
    # A store of a vector at such an address would end the process.
    assert [set(r["st"]) for r in compiled if "between vectors" in r["case"]] == [{8}]


def test_aligned_images_and_tokens_are_loaded_in_whole_vectors(compiled):
    for r in compiled:
        if r["wide"] == "stores" or (r["wide"] and r["kernel"] in ("chain", "merge")):
            assert max(r["ld"]) >= 128, r
