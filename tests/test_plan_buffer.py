"""A plan buffer: fills change what is painted and nothing of where it lies; what does not fit is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import augdrop as ad
from augdrop import plan as plan_file
from augdrop import plan_buffer
from augdrop.regions import spans
from augdrop.regions.base import NO_BITS
from tests.transforms.cases import METHODS, images, make, same

SHAPE = (6, 3, 48, 64)
FIRST, THEN = range(6), [31, 7, 5, 90, 2, 44]
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))


def planned(name, keys, **options):
    """A transform and its plan for as many images as there are keys."""
    x, t = images(len(list(keys))), make(name, **options)
    return t, t.with_plan(x, keys=keys)[1]


def addresses(plan):
    return [t.data_ptr() for t in (*plan._tensors().values(), *plan.region.tensors().values())]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("name", METHODS)
def test_a_fill_is_another_plan_at_the_same_place(name, device):
    t, first = planned(name, FIRST, p=0.7)
    _, then = planned(name, THEN, p=0.7)
    x, before = images().to(device), first.to_dict()
    buffer = ad.PlanBuffer(first, device)
    assert buffer.plan == first and len(buffer) == 6
    assert same(t.apply(x, buffer.plan).cpu(), t.apply(images(), first))
    there, out = addresses(buffer.plan), torch.empty_like(x)
    for plan in (then, first, then):
        buffer.fill(plan)
        assert buffer.plan == plan and addresses(buffer.plan) == there
        assert same(t.apply(x, buffer.plan, out=out).cpu(), t.apply(images(), plan))
        assert same(t.apply(x.clone(), buffer.plan, inplace=True).cpu(), t.apply(images(), plan))
    assert first.to_dict() == before, "the plan that the buffer was made with has changed"


@pytest.mark.parametrize("n", [4, 1, 0])
@pytest.mark.parametrize("name", METHODS)
def test_a_smaller_batch_leaves_the_others_alone(name, n):
    t, first = planned(name, FIRST)
    _, fewer = planned(name, THEN[:n])
    buffer = ad.PlanBuffer(first, "cpu")
    buffer.fill(fewer)
    x = images()
    y = t.apply(x, buffer.plan)
    assert same(y[:n], t.apply(x[:n], fewer))
    assert same(y[n:], x[n:])
    buffer.fill(first)
    assert buffer.plan == first


@pytest.mark.parametrize("name", METHODS)
def test_what_only_the_host_can_make_is_filled_in_too(name, monkeypatch):
    # The layout of a device ("meta" stands for one), its bytes in memory that can be looked at.
    def here(tensors, device, non_blocking, own=plan_file.move):
        return own(tensors, torch.device("cpu"), non_blocking)

    monkeypatch.setattr(plan_file, "move", here)
    (_, first), (_, then) = planned(name, FIRST, p=0.7), planned(name, THEN, p=0.7)
    buffer = ad.PlanBuffer(first, "meta")
    for filled in (first, then, then.take(torch.arange(0))):
        if filled is not first:
            buffer.fill(filled)
        whole = buffer._padded(filled)
        held, order = buffer.plan.region.held(), buffer.plan.order
        assert (held is None) == (not whole.region.packing()) and (order is None) == (first.partner is None)
        if held is not None:
            counted = spans.count(whole.region.kind, held.numpy(), NO_BITS.numpy(), *whole.size)
            assert counted.tolist() == whole.region.area().tolist()
        if order is not None:
            assert torch.equal(order, whole._order_for_writing())


def test_noise_changes_with_the_fill():
    # Keys of the noise are in the plan: a replay without a fill repeats it, one with a fill does not.
    t = ad.RandomErasing(p=1.0, seed=0)
    first = t.plan(SHAPE, keys=FIRST)
    other = dataclasses.replace(first, noise=first.noise + 1)
    buffer, x = ad.PlanBuffer(first, "cpu"), images()
    once, twice = t.apply(x, buffer.plan), t.apply(x, buffer.plan)
    buffer.fill(other)
    assert same(once, twice) and not same(once, t.apply(x, buffer.plan))


@pytest.mark.parametrize(
    ("name", "plan", "message"),
    [
        ("Cutout", lambda: planned("Cutout", range(7))[1], "7 samples; expected at most 6"),
        ("Cutout", lambda: planned("RandomErasing", FIRST)[1], "method: got RandomErasing; expected Cutout"),
        ("Cutout", lambda: planned("Cutout", FIRST, fill=1)[1], "fill: got Constant.*capture again"),
        ("Cutout", lambda: make("Cutout").plan((6, 3, 48, 65), keys=FIRST), r"canvas: got \(48, 65\)"),
        ("Cutout", lambda: dataclasses.replace(planned("GridMask", FIRST)[1], method="Cutout"), "kind of region"),
        ("GridMask", lambda: planned("GridMask", FIRST, drop="stripes")[1], "kind of region: got Grid stripes=True"),
        ("CutMix", lambda: dataclasses.replace(planned("CutMix", FIRST)[1], opacity=torch.ones(6).double()), "holds"),
        ("CutMix", lambda: dataclasses.replace(planned("CutMix", FIRST)[1], partner=torch.arange(6) + 1), "partner"),
        ("Cutout", lambda: planned("Cutout", FIRST)[1].to("meta"), "on the host"),
        ("Cutout", lambda: make("Compose").plan(SHAPE, keys=FIRST), "Plans; expected the plan of one method"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(name, plan, message):
    _, first = planned(name, FIRST)
    buffer = ad.PlanBuffer(first, "cpu")
    with pytest.raises(ad.AugDropError, match=message):
        buffer.fill(plan())
    assert buffer.plan == first


def test_a_buffer_of_what_is_no_plan_of_this_batch_is_refused():
    _, plan = planned("CutMix", FIRST)
    with pytest.raises(ad.AugDropError, match="another batch"):
        ad.PlanBuffer(dataclasses.replace(plan, partner=plan.partner + 1), "cpu")
    with pytest.raises(ad.AugDropError, match="the plan of one method"):
        ad.PlanBuffer(make("OneOf").plan(SHAPE, keys=FIRST), "cpu")
    with pytest.raises(ad.AugDropError, match="on the host"):
        ad.PlanBuffer(plan.to("meta"), "cpu")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ad.AugDropError, match="a GPU in this machine"):
        ad.PlanBuffer(planned("Cutout", FIRST)[1])


def test_on_a_device_a_source_must_have_every_partner_that_a_fill_may_name():
    # There `apply` looks at no partner, and asks the plan how far they reach.
    _, plan = planned("CutMix", FIRST)
    plan = dataclasses.replace(plan, partner=torch.zeros(6, dtype=torch.int64))
    assert plan.to("meta").reach == (0, 0)
    assert ad.PlanBuffer(plan, "meta").plan.reach == (0, 5)


def test_staging_memory_is_written_only_after_its_copy(monkeypatch):
    # The order of events, without a GPU: two stages in turn, each waiting for its own last copy.
    log = []

    class Event:
        def __init__(self):
            self.name = f"stage {sum(line.startswith('made') for line in log)}"
            log.append(f"made {self.name}")

        def synchronize(self):
            log.append(f"wait {self.name}")

        def record(self):
            log.append(f"sent {self.name}")

    class There:
        is_cuda, shape, device = True, (16,), "cuda:0"

        def copy_(self, host, non_blocking):
            assert non_blocking
            log.append(f"copy {host.tolist()[0]}")

    class Nothing:
        def __init__(self, device): ...
        def __enter__(self): ...
        def __exit__(self, *error): ...

    empty = torch.empty
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", Nothing)
    monkeypatch.setattr(
        torch, "empty", lambda *a, pin_memory, **k: log.append(f"pinned {pin_memory}") or empty(*a, **k)
    )
    there = There()
    buffer = ad.PlanBuffer.__new__(ad.PlanBuffer)
    buffer._stages = [plan_buffer._Stage(there) for _ in range(2)]
    for value in (1, 2, 3):
        buffer._stages[0].send([torch.full((16,), value, dtype=torch.uint8)], there)
        buffer._stages.reverse()
    assert log == [
        *("pinned True", "made stage 0", "pinned True", "made stage 1"),
        *("wait stage 0", "copy 1", "sent stage 0"),
        *("wait stage 1", "copy 2", "sent stage 1"),
        *("wait stage 0", "copy 3", "sent stage 0"),
    ]


def test_capture_without_a_buffer_is_refused(monkeypatch):
    from torch._subclasses.fake_tensor import FakeTensorMode

    t, plan = planned("CutMix", FIRST)
    monkeypatch.setattr(plan_file, "capturing", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, y = torch.empty(SHAPE, device="cuda"), torch.empty(len(FIRST), 3, device="cuda")
    for call in (lambda: t.apply(x, plan), lambda: t(x, y, plan=plan), lambda: plan.to("cuda")):
        with pytest.raises(ad.AugDropError, match=r"while a CUDA graph is captured.*PlanBuffer"):
            call()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", METHODS)
def test_a_captured_graph_paints_what_was_filled_in(name):
    t, first = planned(name, FIRST)
    x = images().cuda()
    y, buffer = torch.empty_like(x), ad.PlanBuffer(first)
    t.apply(x, buffer.plan, out=y)  # compiles; a capture must not
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        t.apply(x, buffer.plan, out=y)
    for keys in (THEN, FIRST, range(100, 106)):
        _, plan = planned(name, keys)
        buffer.fill(plan)
        graph.replay()
        assert same(y.cpu(), t.apply(images(), plan))
    with pytest.raises(ad.AugDropError, match="PlanBuffer"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        t.apply(x, first, out=y)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("form", ["soft", "pairs"])
def test_a_captured_graph_mixes_labels_too(form):
    t, y = ad.CutMix(num_classes=5, targets=form, seed=0), torch.arange(6) % 5
    there, decided = y.cuda(), [t.plan(SHAPE, keys=keys) for keys in (FIRST, THEN)]
    buffer = ad.PlanBuffer(decided[0])
    t.mix_labels(there, buffer.plan, images().cuda())
    graph, x = torch.cuda.CUDAGraph(), images().cuda()
    with torch.cuda.graph(graph):
        mixed = t.mix_labels(there, buffer.plan, x)
    for plan in (*decided, decided[0]):
        buffer.fill(plan)
        graph.replay()
        for got, want in zip(mixed, t.mix_labels(y, plan, images()), strict=True):
            assert torch.equal(got.cpu(), want)
