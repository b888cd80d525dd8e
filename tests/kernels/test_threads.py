"""Any number of threads makes the same bytes, before and after a fork."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop.kernels import threads as pool
from augdrop.kernels.dispatch import apply
from tests.kernels.cases import FILLS, WHERES, alike, images, opacities, plan_for, threads

SIZE = (448, 200)


def cases():
    """Plans for images large enough to be shared out: 64 kB a plane, 4 samples."""
    for where in WHERES:
        for name, fill in FILLS.items():
            yield where, name, plan_for(WHERES[where], fill, 4, SIZE, opacity=opacities(4) if name == "blend" else None)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_threads_do_not_change_a_byte(dtype):
    x = images("contiguous", dtype, 4, SIZE)
    with threads(2):
        assert pool.threads_for(x.numel() * x.element_size()) == 2
    for where, name, plan in cases():
        with threads(1):
            expected = apply(x, plan)
        for n in (2, 3):
            with threads(n):
                assert alike(apply(x, plan), expected), (where, name, n)
                assert alike(apply(x.clone(), plan, inplace=True), expected), (where, name, n)


def test_one_large_image_is_shared_by_rows():
    x = images("contiguous", torch.uint8, 1, (1200, 900))
    plan = plan_for(WHERES["turned grid"], FILLS["noise"], 1, (1200, 900), p=1)
    with threads(1):
        expected = apply(x, plan)
    for n in (2, 4):
        with threads(n):
            assert alike(apply(x, plan), expected)


def test_python_threads_stand_in_for_openmp(monkeypatch):
    monkeypatch.setattr(pool, "_parallel", None)
    x = images("contiguous", torch.uint8, 4, SIZE)
    for _, _, plan in list(cases())[::5]:
        with threads(1):
            expected = apply(x, plan)
        with threads(3):
            assert alike(apply(x, plan), expected)


def test_small_work_stays_in_the_calling_thread():
    assert pool.threads_for(1000) == 1


def _apply_in_a_child(results, shared, plan, n):
    # NumPy compares: torch's own threads do not survive a fork, ours must.
    torch.set_num_threads(n)
    x = torch.from_numpy(shared)
    results.put(apply(x, plan, out=torch.from_numpy(np.empty_like(shared))).numpy().tobytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("n", [1, 2])
def test_children_of_a_process_that_used_threads(method, n):
    if method not in multiprocessing.get_all_start_methods():
        assert os.name == "nt"
        return
    x = images("contiguous", torch.uint8, 4, SIZE)
    plan = plan_for(WHERES["boxes"], FILLS["partner"], 4, SIZE)
    with threads(2):
        expected = apply(x, plan)
    context = multiprocessing.get_context(method)
    results = context.Queue()
    child = context.Process(target=_apply_in_a_child, args=(results, x.numpy(), plan, n), daemon=True)
    child.start()
    assert results.get(timeout=120) == expected.numpy().tobytes()
    child.join(60)
    assert child.exitcode == 0
    # ... and the parent goes on.
    with threads(2):
        assert alike(apply(x, plan), expected)


class Counted(torch.utils.data.Dataset):
    """Large images, erased and mixed, and by how many threads their process grew over it."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = torch.full((8, 3, 256, 256), index, dtype=torch.uint8)
        before = len(list(TASKS.iterdir()))
        for t in (ad.RandomErasing(seed=0), ad.CutMix(seed=0), ad.Mixup(seed=0), ad.PixelDropout(seed=0)):
            x = t(x, keys=range(8))
        return len(list(TASKS.iterdir())) - before


TASKS = Path("/proc/self/task")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_of_a_loader_starts_no_threads(method):
    if not TASKS.exists():
        assert not sys.platform.startswith("linux")
        return
    loader = torch.utils.data.DataLoader(Counted(), None, num_workers=2, multiprocessing_context=method)
    assert [int(n) for n in loader] == [0, 0, 0, 0]
