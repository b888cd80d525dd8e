"""Partners in place: who is overwritten when, whoever copies from whom; and nothing of an image's size is allocated."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augdrop import fills
from augdrop.kernels.dispatch import apply, use_backend
from augdrop.kernels.order import in_order, read_order, write_order
from tests.kernels.cases import FILLS, WHERES, alike, images, opacities, plan_for, threads

PAIRINGS = {
    "one ring": [1, 2, 3, 4, 5, 0],
    "a ring backwards": [5, 0, 1, 2, 3, 4],
    "two rings": [3, 2, 0, 5, 4, 1],
    "swaps": [1, 0, 3, 2, 5, 4],
    "a tree": [1, 2, 2, 2, 3, 3],
    "a tree on a ring": [1, 2, 0, 0, 3, 3],
    "all from one": [4, 4, 4, 4, 4, 4],
    "themselves": [0, 1, 2, 3, 4, 5],
    "some themselves": [1, 0, 2, 3, 5, 4],
}


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("p", [1.0, 0.6])
def test_in_place_is_as_good_as_out_of_place(pairing, p):
    partner = torch.tensor(PAIRINGS[pairing])
    for dtype in (torch.uint8, torch.float64):
        x = images("contiguous", dtype, size=(60, 90))
        for where in ("box", "boxes", "blocks", "everywhere"):
            for opacity in (None, opacities(6)):
                plan = plan_for(WHERES[where], fills.Partner(), 6, (60, 90), p, partner, opacity)
                with use_backend("reference"):
                    expected = apply(x, plan)
                for n in (1, 2):
                    with threads(n):
                        assert alike(apply(x.clone(), plan, inplace=True), expected), (dtype, where, n)


def carry_out(order, partner, hit):
    """Follow an order with numbers for images: what each sample ends up with."""
    values, aside = list(range(len(partner))), None
    for sample, save, from_aside in order:
        if save:
            aside = values[sample]
        if hit[sample]:
            values[sample] = ("of", aside if from_aside else values[partner[sample]])
    return values


pairings = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, n - 1), min_size=n, max_size=n), st.lists(st.booleans(), min_size=n, max_size=n)
    )
)


@settings(max_examples=500, derandomize=True)
@given(pairings)
def test_the_order_of_writing_never_reads_what_was_written(pairing):
    partner, hit = (np.array(v) for v in pairing)
    order = write_order(partner, hit)
    assert sorted(order[:, 0]) == list(range(len(partner)))
    assert carry_out(order.tolist(), partner, hit) == [("of", partner[i]) if hit[i] else i for i in range(len(partner))]


@settings(max_examples=200, derandomize=True)
@given(pairings)
def test_the_order_of_reading_has_everyone_once(pairing):
    partner, hit = (np.array(v) for v in pairing)
    order = read_order(partner, hit)
    assert sorted(order[:, 0]) == list(range(len(partner)))
    assert not order[:, 1:].any()


def test_a_partner_comes_just_before_whoever_copies_from_it():
    assert read_order(np.array([3, 0, 1, 2]), np.ones(4, bool))[:, 0].tolist() == [1, 2, 3, 0]


def test_in_order():
    assert in_order(3).tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]


def _paint_large_images(results):
    """Paint in place and into a given tensor, in a process that cannot have half as much memory again."""

    def paint(batch, size):
        x, out = (torch.ones(batch, 3, *size, dtype=torch.uint8) for _ in range(2))
        plans = []
        for name, fill in FILLS.items():
            # Overlapping boxes at partial opacity are left to the reference.
            where, opacity = ("everywhere", opacities(batch)) if name == "blend" else ("boxes", None)
            plans.append(plan_for(WHERES[where], fill, batch, size, p=1, opacity=opacity))
        yield
        for plan in plans:
            apply(x, plan, inplace=True)
            apply(x, plan, out=out)

    list(paint(2, (300, 400)))  # compiles, and wakes the threads
    large = paint(16, (1000, 1200))
    next(large)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 3 * 1000 * 1200 // 2,) * 2)
    refused = False
    try:
        torch.ones(16, 3, 1000, 1200, dtype=torch.uint8)
    except RuntimeError:
        refused = True
    list(large)
    results.put(refused)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space, which only Linux does")
def test_nothing_of_an_images_size_is_allocated():
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_paint_large_images, args=(results,), daemon=True)
    child.start()
    child.join(300)
    assert child.exitcode == 0
    assert results.get(timeout=10)
