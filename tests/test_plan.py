"""A plan as a value: it saves, loads, moves, compares and shows itself; a file that is no plan is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest
import torch

from augdrop import Plan, fills
from augdrop.errors import AugDropError
from augdrop.plan import KINDS, move
from augdrop.plans import Plans
from tests.helpers import plan_of
from tests.regions.cases import regions_of

REGIONS = regions_of((20, 31))
FILLS = [
    fills.Constant(0.25),
    fills.PerChannel((0.5, 0.25, 0.125)),
    fills.Noise("normal", "channel", mean=1.0, std=0.5),
    fills.Noise(low=0.1),
    fills.ImageMean(),
    fills.Blur(7),
    fills.Partner(),
]


def whole(region, fill=None):
    """A plan with every field filled."""
    n = len(region)
    plan = plan_of(
        region,
        hit=torch.arange(n) % 3 != 1,
        partner=torch.arange(n).roll(1),
        opacity=torch.linspace(0, 1, n, dtype=torch.float64) / 3,
    )
    numbers = {name: torch.arange(n) * 10**17 - 5 for name in ("keys", "epochs", "noise")}
    return Plan(**(vars(plan) | numbers | ({} if fill is None else {"fill": fill})))


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_every_region_comes_back_from_json(name, tmp_path):
    plan = whole(REGIONS[name])
    plan.save(tmp_path / "plan.json")
    back = Plan.load(tmp_path / "plan.json")
    assert back == plan
    assert repr(back) == repr(plan)
    assert torch.equal(back.mask(), plan.mask())
    assert all(a.dtype == b.dtype for a, b in zip(back._tensors().values(), plan._tensors().values(), strict=True))


@pytest.mark.parametrize("fill", FILLS, ids=lambda f: type(f).__name__)
def test_every_fill_comes_back_from_json(fill):
    plan = whole(REGIONS["area"], fill)
    back = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert back == plan
    assert back.fill == fill
    assert type(back.fill) is type(fill)


def test_all_kinds_are_tried_here():
    tried = {type(r) for r in REGIONS.values()} | {type(f) for f in FILLS}
    assert tried == set(KINDS.values())


def test_fields_that_are_none_stay_none():
    plan = plan_of(REGIONS["cells"])
    back = Plan.from_dict(plan.to_dict())
    assert back.partner is None
    assert back.opacity is None
    assert back == plan


def test_a_plan_of_no_samples_comes_back():
    plan = whole(REGIONS["area"]).take(torch.zeros(0, dtype=torch.int64))
    assert len(plan) == 0
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert plan.lam.shape == (0,)
    assert "0 of" in repr(plan)


def test_plans_pickle_and_copy():
    plan = whole(REGIONS["turned grid"])
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert copy.deepcopy(plan) == plan


def saved(**changes):
    return plan_of(REGIONS["area"]).to_dict() | changes


def without(name):
    return {k: v for k, v in saved().items() if k != name}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a saved plan"),
        ([], "a saved plan"),
        ({}, "a saved plan"),
        ({"format": "something"}, "a saved plan"),
        (saved(version=99), "Upgrade augdrop"),
        (without("version"), "version"),
        (without("region"), "a whole plan"),
        (without("hit"), "a whole plan"),
        (saved(region=None), "a whole plan"),
        (saved(region=3), "a whole plan"),
        (saved(hit=None), "a whole plan"),
        (saved(region={"type": "Popen", "args": "ls"}), "a known class"),
        (saved(region={"type": "Boxes"}), "a whole plan"),
        (saved(region={"type": "Boxes", "size": [8, 8], "walls": 3}), "a whole plan"),
        (saved(fill={"type": "Constatn"}), "Did you mean 'Constant'"),
    ],
)
def test_what_is_no_plan_is_refused(data, message):
    with pytest.raises(AugDropError, match=message):
        Plan.from_dict(data)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("area", "boxes", {"dtype": "i8", "shape": [12, 4], "data": [0] * 48}),
        ("area", "boxes", {"dtype": "f8", "shape": [12, 1, 4], "data": [0.0] * 48}),
        ("area", "boxes", {"dtype": "i8", "shape": [3, 1, 4], "data": [0] * 12}),
        ("cells", "span", {"dtype": "i8", "shape": [12, 2], "data": [0] * 24}),
        ("turned grid", "period", {"dtype": "i8", "shape": [12], "data": [0] * 12}),
        ("few pixels", "bits", {"dtype": "u1", "shape": [12, 2], "data": [1] * 24}),
    ],
)
def test_a_region_that_compiled_code_would_read_past_is_refused(name, field, value):
    data = plan_of(REGIONS[name]).to_dict()
    data["region"][field] = value
    with pytest.raises(AugDropError):
        Plan.from_dict(data)


def test_a_file_that_is_not_json(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("half a pl")
    with pytest.raises(AugDropError, match="not JSON"):
        Plan.load(path)


def test_equality_sees_every_field():
    plan = whole(REGIONS["area"])
    for name, value in vars(plan).items():
        if isinstance(value, torch.Tensor):
            other = ~value if value.dtype == torch.bool else value + 1
            assert plan != Plan(**(vars(plan) | {name: other})), name
    assert plan != Plan(**(vars(plan) | {"partner": None}))
    assert plan != Plan(**(vars(plan) | {"method": "Other"}))
    assert plan != Plan(**(vars(plan) | {"fill": fills.Constant(1)}))
    assert plan != whole(REGIONS["beta"])
    assert plan != "a plan"
    assert plan == whole(REGIONS["area"])


@pytest.mark.parametrize("name", ["area", "turned grid", "cells", "blocks", "few pixels"])
def test_taking_samples(name):
    plan = whole(REGIONS[name])
    index = torch.tensor([7, 0, 0, 11])
    some = plan.take(index)
    assert len(some) == 4
    assert torch.equal(some.mask(), plan.mask()[index])
    assert torch.equal(some.partner, plan.partner[index])
    assert torch.equal(some.lam, plan.lam[index])


def test_samples_that_are_not_hit_lose_nothing():
    plan = whole(REGIONS["cells"])
    assert plan.area()[~plan.hit].tolist() == [0] * int((~plan.hit).sum())
    assert not plan.mask()[~plan.hit].any()
    assert not plan.tokens((4, 31))[~plan.hit].any()
    assert plan.lam[~plan.hit].tolist() == [1.0] * int((~plan.hit).sum())


def test_lam_is_the_share_that_stays_weighted_by_opacity():
    plan = whole(REGIONS["beta"])
    dropped = plan.mask().double().mean((1, 2))
    assert torch.allclose(plan.lam, 1 - dropped * plan.opacity, atol=1e-15)
    assert torch.allclose(Plan(**(vars(plan) | {"opacity": None})).lam, 1 - dropped, atol=1e-15)
    assert plan.lam.dtype == torch.float64


def test_rescaling_keeps_everything_but_the_canvas():
    plan = whole(REGIONS["turned grid"])
    small = plan.rescale(5, 7)
    assert small.size == (5, 7)
    assert torch.equal(small.partner, plan.partner)
    assert torch.equal(small.mask(), plan.region.rescale(5, 7).mask() & plan.hit[:, None, None])


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_a_plan_moves_as_one_packed_copy(name):
    plan = whole(REGIONS[name])
    tensors = [*plan._tensors().values(), *plan.region.tensors().values()]
    packed, moved = move(tensors, torch.device("cpu"), non_blocking=True)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(tensors, moved, strict=True))
    assert {t.untyped_storage().data_ptr() for t in moved if t.numel()} == {packed.data_ptr()}
    assert not any(t.data_ptr() % 16 for t in moved)
    assert plan.to("cpu") is plan
    ghost = plan.to("meta")
    assert ghost.device.type == ghost.region.device.type == "meta"
    assert [t.shape for t in ghost._tensors().values()] == [t.shape for t in plan._tensors().values()]
    there, here = ghost.region.packed()[1:], plan.region.packed()[1:]
    assert [(t.device.type, t.shape, t.dtype) for t in there] == [("meta", t.shape, t.dtype) for t in here]
    assert ghost.order.shape == (len(plan), 3)
    # A meta tensor has no values to wait for: whatever asked the host for some would fail.
    assert ghost.mask().shape == plan.mask().shape
    assert ghost.area().shape == ghost.lam.shape == (len(plan),)
    assert ghost.take(torch.zeros(2, dtype=torch.int64, device="meta")).region.packed()[1].shape[0] == 2


def test_a_plan_shows_what_it_does():
    text = repr(whole(REGIONS["area"]))
    assert text.startswith("Plan(Test: 12 of 20×31, 8 hit, Boxes × Partner()")
    assert "with partners" in text
    assert "% dropped" in text
    assert len(text) < 200


class There(torch.Tensor):
    """A tensor that says it is on a GPU, and counts how often it is read."""

    is_cpu, is_cuda, read = False, True, 0

    def cpu(self):
        There.read += 1
        return super().cpu()


def test_partners_of_a_part_are_looked_at_wherever_they_are():
    # A kernel would read behind the images: partners of a plan from the host are known, those of a part are not.
    plan, there = whole(REGIONS["area"]), torch.arange(len(REGIONS["area"])).roll(1).as_subclass(There)
    part = dataclasses.replace(plan, partner=there)
    assert part.reach == part.reach == plan.reach
    assert There.read == 1
    assert plan.to("meta").reach == plan.reach and plan.to("meta").take(torch.arange(2, device="meta")).reach is None


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"3", b"\xff\xfe", b'{"format": "augdrop-plans", "version": 1, "kind": "chain", "plans": []}']
)
@pytest.mark.parametrize("kind", [Plan, Plans])
def test_a_file_that_holds_no_plan(tmp_path, kind, text):
    (tmp_path / "plan.json").write_bytes(text)
    with pytest.raises(AugDropError, match=r"Save .* with plans?\.save\(path\)"):
        kind.load(tmp_path / "plan.json")
