"""Tensors made when they are first asked for: nobody can tell that they were not there from the start."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import Plan
from augdrop.regions import Boxes


def decided(cls: type = ad.CutMix) -> Plan:
    """A plan whose tensors nobody has asked for."""
    return cls(p=0.7, seed=1).plan((6, 3, 32, 40), keys=range(6), epoch=2)


def eager(plan: Plan) -> Plan:
    return Plan(**{f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)})


def test_a_tensor_is_made_once_and_shares_its_array():
    boxes = np.array([[[0, 0, 2, 3]]])
    region = Boxes.drawn({"boxes": boxes}, size=(4, 4))
    assert region.boxes is region.boxes
    boxes[0, 0, 2] = 4
    assert region.area().tolist() == [12]


def test_an_array_that_is_yet_to_be_drawn_is_drawn_once():
    calls = []
    region = Boxes.drawn({"boxes": lambda: calls.append(1) or np.array([[[0, 0, 2, 3]]])}, size=(4, 4))
    assert not calls
    assert region.arrays("boxes")[0].tolist() == region.boxes.tolist() == [[[0, 0, 2, 3]]]
    assert len(calls) == 1


@pytest.mark.parametrize("cls", [ad.CutMix, ad.Mixup, ad.GridMask, ad.HideAndSeek, ad.DropBlock, ad.PixelDropout])
def test_drawn_plans_are_plans(cls):
    whole = eager(decided(cls))
    assert decided(cls) == whole
    assert pickle.loads(pickle.dumps(decided(cls))) == copy.deepcopy(decided(cls)) == copy.copy(decided(cls)) == whole
    assert Plan.from_dict(decided(cls).to_dict()) == whole
    assert repr(decided(cls)) == repr(whole)
    assert (decided(cls).partner is None) == (not cls().mixes)
    index = torch.tensor([4, 1])
    assert decided(cls).take(index) == whole.take(index)
    assert dataclasses.replace(decided(cls), method="Other") == dataclasses.replace(whole, method="Other")


def test_a_pickle_holds_each_number_once():
    plan = decided()
    before = len(pickle.dumps(plan))
    assert torch.equal(plan.hit, plan.hit) and plan.region.boxes is not None
    assert len(pickle.dumps(plan)) == before


def test_what_is_not_there():
    plan = decided()
    with pytest.raises(AttributeError, match="Plan has no 'boxes'"):
        plan.boxes  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(plan.region, "cells")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.hit = torch.ones(6, dtype=torch.bool)  # type: ignore[misc]
