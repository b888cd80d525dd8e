"""The cost of every method on a GPU, counted on fake CUDA tensors; and that the meter counts right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import augdrop as ad
from augdrop.transforms import compiled

pytest.importorskip("psutil", reason="the benchmark needs augdrop[bench]")

from benchmarks.comparison import IN_PLACE, NEW
from benchmarks.gpu_cost import report, rows
from benchmarks.gpu_cost.meter import Meter, measure

README = Path(__file__).parents[1] / "README.md"
FLOAT = torch.float32


def counts(cost):
    return cost.launches, cost.copies, cost.syncs


@pytest.fixture(scope="module")
def ours():
    return [
        *(row for batch in (1, 64) for row in rows.methods(batch, FLOAT)),
        *rows.methods(64, torch.uint8),
        *(row for batch in (1, 64) for row in rows.fills(batch, FLOAT)),
    ]


def test_every_method_is_one_copy_one_launch_and_no_wait(ours):
    methods = [r for r in ours if r.section == "methods" and r.met is not None]
    assert {r.name.split(" (")[0] for r in methods} == set(ad.METHODS)
    assert {(r.name, r.state, r.batch) for r in methods if counts(r.cost) != (1, 1, 0)} == set()


def test_fills_that_look_at_the_image_are_a_launch_more(ours):
    for row in (r for r in ours if r.section == "fills"):
        looks = row.name in ("RandomErasing (fill: mean)", "RandomErasing (fill: blur)")
        assert counts(row.cost) == (1 + looks, 1, 0), row.name


def test_scores_on_the_device_are_waited_for_once(ours):
    there = {r.name: counts(r.cost) for r in ours if r.dtype == "float32" and r.note}
    assert there == {
        "AttentiveCutMix (scores on the device)": (1, 1, 1),
        "AttentiveCutMix (its own scores)": (30, 1, 1),
    }


def test_targets_are_met(ours):
    assert [(r.name, r.state, r.batch, r.dtype) for r in ours if r.met is False] == []
    assert all(r.cost.stopped is None for r in ours)


@pytest.mark.parametrize("dtype", [torch.uint8, FLOAT])
@pytest.mark.parametrize("name", [n for n in ad.METHODS if n != "AttentiveCutMix"])
def test_bytes_are_one_read_and_one_write_and_in_place_what_is_dropped(name, dtype):
    t = ad.METHODS[name](p=1.0, seed=0)
    x = torch.zeros(4, 3, 96, 64, dtype=dtype)
    torch.manual_seed(0)  # as the meter does before a call
    dropped = int(t.plan(x.shape).mask().sum()) * 3 * x.element_size()
    new, place = (measure(lambda x, i=i: lambda: t(x, inplace=i), x) for i in (False, True))
    whole, reads = x.numel() * x.element_size(), t.mixes + (name == "Mixup")
    assert (new.written, place.written) == (whole, dropped)
    # The rest of what is read is the plan, and in place what is put aside of a ring of partners.
    assert 0 <= new.read - whole - (dropped if name == "Mixup" else 0) <= new.copied
    assert 0 <= place.read - reads * dropped <= place.copied + (dropped if name == "CutMix" else 0)


@pytest.mark.parametrize("mixed", [ad.CutMix, ad.Mixup])
@pytest.mark.parametrize("form", ["soft", "pairs"])
def test_labels_on_the_device_are_a_launch_more_and_no_copy(mixed, form):
    t = mixed(num_classes=10, targets=form, seed=0)
    cost = measure(lambda x, y: lambda: t(x, y), torch.rand(8, 3, 32, 32), torch.arange(8))
    # In pairs they are taken from the partner, and the share is rounded, by torch.
    assert counts(cost) == ((2, 1, 0) if form == "soft" else (3, 1, 0))


@pytest.mark.parametrize(("name", "expected"), [("CutMix", (3, 1, 0)), ("Mixup", (2, 1, 0)), ("GridMask", (1, 1, 0))])
def test_the_operator_of_compiled_code_is_one_copy_too(name, expected):
    t = ad.METHODS[name](seed=0)
    run = compiled._transform._init_fn  # torch knows better than to run it on fake tensors
    cost = measure(lambda x: lambda: run(x, t._handle, None, None, False), torch.rand(8, 3, 32, 32))
    # A mix gathers partners and shares into one result; CutMix has weights of one to make.
    assert counts(cost) == expected


@pytest.mark.parametrize("name", ["CutMix", "Mixup"])
def test_shares_come_with_the_plan(name):
    plan = ad.METHODS[name](seed=0).plan((8, 3, 32, 32), keys=range(8))
    with Meter().installed():
        moved = plan.to("cuda")
        assert moved.lam.device.type == "cuda"
    assert torch.equal(moved.lam.shadow, plan.lam)
    assert torch.equal(moved.partner.shadow, plan.partner)


def test_soft_labels_on_the_device_are_a_launch_more_and_no_copy():
    t, y = ad.CutMix(seed=0), torch.rand(8, 10)
    cost = measure(lambda x, y: lambda: t(x, y), torch.rand(8, 3, 32, 32), y)
    assert counts(cost) == (2, 1, 0)
    assert cost.kernels == {"augdrop::paint": 1, "augdrop::soft_labels": 1}


CALLS = {
    # launches, copies, waits
    "a view": (lambda x: x[:, 1:].mT.expand(5, -1, -1, -1, -1), (0, 0, 0)),
    "arithmetic": (lambda x: x * 2 + 1, (2, 0, 0)),
    "item": (lambda x: x.sum().item(), (1, 0, 1)),
    "bool": (lambda x: bool((x > 0).any()), (2, 0, 1)),
    "tolist": (lambda x: x[0, 0, 0].tolist(), (0, 0, 1)),
    "to the host": (lambda x: x.cpu(), (0, 0, 1)),
    "nonzero": (lambda x: x.nonzero(), (1, 0, 1)),
    "unique": (lambda x: x.unique(), (1, 0, 1)),
    "repeat_interleave": (lambda x: x.repeat_interleave(torch.tensor([1, 2]).to("cuda"), 0), (2, 1, 2)),
    "repeat_interleave, size known": (
        lambda x: x.repeat_interleave(torch.tensor([1, 2]).to("cuda"), 0, output_size=3),
        (2, 1, 1),
    ),
    "read by a mask": (lambda x: x[x > 0], (3, 0, 1)),
    "write by a mask": (lambda x: x.__setitem__(x > 2, torch.full((93,), 9.0, device=x.device)), (4, 0, 1)),
    "write a number by a mask": (lambda x: x.__setitem__(x > 0, 0.0), (2, 0, 0)),
    "index from the host": (lambda x: x[torch.tensor([1, 0])], (1, 1, 1)),
    "mask from the host": (lambda x: x[torch.ones(2, dtype=torch.bool)], (1, 1, 0)),
    "blocking copy": (lambda x: torch.ones(3).to(x.device), (0, 1, 1)),
    "pageable copy": (lambda x: torch.ones(3).to(x.device, non_blocking=True), (0, 1, 0)),
    "pinned copy": (lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True), (0, 1, 0)),
    "tensor there": (lambda x: torch.tensor([1.0, 2.0], device=x.device), (0, 1, 1)),
    "write from the host": (lambda x: x[:, :, :2].copy_(torch.ones(1, 1, 2, 1)), (1, 1, 1)),
    "a number": (lambda x: x[:, :, :2].fill_(3), (1, 0, 0)),
    "drawn there": (lambda x: torch.rand_like(x), (1, 0, 0)),
    "drawn here": (lambda x: torch.rand(3), (0, 0, 0)),
    "one-hot": (lambda x: torch.nn.functional.one_hot(x[0, 0, 0].long(), 5), (3, 0, 0)),
    "nothing": (lambda x: x[:0] + 1, (0, 0, 0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_meter_counts(name):
    call, expected = CALLS[name]
    x = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    cost = measure(lambda x: lambda: call(x), x)
    assert cost.stopped is None
    assert counts(cost) == expected


def test_meter_counts_bytes():
    x = torch.zeros(2, 3, 4, 4)
    size = x.numel() * 4
    for call, read, written in [
        (lambda x: x + x, size, size),
        (lambda x: x + torch.zeros(3, 1, 1, device=x.device), size + 12, size + 12),
        (lambda x: x.add_(1), size, size),
        (lambda x: x.zero_(), 0, size),
        (lambda x: x[:, :1].expand(-1, 3, -1, -1).contiguous(), size // 3, size),
        (lambda x: torch.where(x > 0, x, x), 2 * size + size // 4, size + size // 4),
        (lambda x: x.index_select(0, torch.zeros(1, dtype=torch.int64, device=x.device)), size // 2 + 8, size // 2 + 8),
    ]:
        cost = measure(lambda x, call=call: lambda: call(x), x)
        assert (cost.read, cost.written) == (read, written)


def test_what_is_waited_for_has_its_true_value():
    x = torch.arange(6.0)
    seen = {}

    def look(x):
        seen.update(item=x.sum().item(), list=x[1:3].tolist(), above=len(x[x > 3]), host=x.cpu().mul(2).tolist())
        x[:2] = 9
        seen["written"] = x[0].item()
        seen["device"] = x.device.type, x.is_cuda

    measure(lambda x: lambda: look(x), x, warm=0)
    assert seen == {
        **{"item": 15.0, "list": [1.0, 2.0], "above": 2, "host": [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]},
        **{"written": 9.0, "device": ("cuda", True)},
    }
    assert x.tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_is_pinned_in_name():
    with Meter().installed():
        assert torch.empty(4, pin_memory=True)[1:].is_pinned()
        assert torch.ones(4).pin_memory().is_pinned()
        assert not torch.ones(4).is_pinned()


def test_a_call_that_cannot_go_on_says_so_and_keeps_its_counts():
    cost = measure(lambda x: lambda: (x + 1).bincount(), torch.zeros(3))
    assert counts(cost) == (2, 0, 1)
    assert cost.stopped.startswith("bincount (NotImplementedError")
    masked = measure(lambda x: lambda: x.__setitem__(x > 2, torch.zeros(5, device=x.device)), torch.zeros(3))
    assert (masked.syncs, masked.stopped.split()[0]) == (1, "index_put_")
    row = rows.Row("peers", "theirs", NEW, 1, "float32", 12, cost)
    assert report.launches(row) == "≥ 2"
    assert "stopped at bincount" in report.peers_table([(row, row)])


PEERS = {
    # At a batch of 4: launches, copies, waits.
    "torchvision v2.RandomErasing, image by image": (9, 4, 4),
    "torchvision v2.CutMix": (10, 0, 0),
    'timm RandomErasing(mode="const")': (8, 0, 0),
    'timm Mixup(mixup, mode="elem")': (24, 1, 1),
    "kornia RandomErasing": (12, 2, 0),
    "kornia RandomCutMixV2": (10, 6, 0),
    'paraug random_erasing(fill_mode="constant")': (3, 3, 4),
    "torch where(boxes, 0, x)": (11, 1, 0),
    "torch lerp(x, x.roll(1, 0), weight)": (2, 1, 0),
}


@pytest.mark.parametrize("name", PEERS)
def test_peers(name):
    library, _, call = name.partition(" ")
    if library != "torch":
        pytest.importorskip(library)
    chosen = [p for p in rows.THEIRS if p.library == library and p.call == call]
    ((theirs, own),) = rows.peers(4, chosen=chosen)
    assert theirs.cost.stopped is None
    assert counts(theirs.cost) == PEERS[name]
    assert own.cost.syncs == 0
    assert own.traffic < theirs.traffic


def test_readme_says_what_the_meter_says(ours):
    text = README.read_text()
    part = text.split("<!-- gpu-cost: ours -->")[1].split("<!-- end of gpu-cost: ours -->")[0].strip()
    assert part == report.readme_ours(ours), "run python -m benchmarks.gpu_cost"


def test_report_has_every_row(ours, tmp_path):
    pairs = list(rows.peers(4, "torch"))
    report.write(tmp_path, ours, pairs)
    text = (tmp_path / "GPU_COST.md").read_text()
    assert all(row.name in text for row in (*ours, *(p for p, _ in pairs)))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3 * 2 + len(report.grouped(ours)) + len(pairs)
    assert "**not met**" not in text
    assert IN_PLACE in text
