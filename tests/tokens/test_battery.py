"""What every selector of the registry owes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.tokens.base import Selector
from augdrop.tokens.perturb import Perturbation
from augdrop.tokens.reducer import Reducer
from augdrop.tokens.registry import METHODS, SELECTORS, citation_of, selector

TOTAL, PREFIX = 576, 2
OPTIONS = {
    "RegionKeep": {"transform": ad.HideAndSeek(seed=0)},
    "Tube": {"grid": (4, 12, 12)},
    "VJEPA": {"grid": (4, 12, 12)},
}
"""What a selector needs; the others work as they are."""
WRONG = {
    "RandomKeep": [{"keep": 0.0}, {"keep": 1.5}, {"keep": -0.1}],
    "RegionKeep": [{"min_share": 1.5}, {"min_share": -0.1}],
    "PatchDropout": [{"keep_rate": 0.0}, {"keep_rate": 1.5}, {"keep_rate": -0.1}],
    "IJEPA": [{"target_scale": (0.5, 1.5)}, {"context_scale": (-0.1, 0.5)}],
    "VJEPA": [{"scale": (0.5, 1.5)}, {"blocks": 0}],
    "DINOv2Mask": [{"ratios": (0.5, 1.5)}, {"share": -0.1}],
    "TokenDropping": [{"keep": 0}, {"keep": TOTAL + 1}],
}
"""Shares outside [0, 1], and what would keep nothing; the others have a ``ratio``."""
UNDRAWN = ("TokenDropping",)
"""Those that go by the scores alone."""
SCORED = ("HPM", "TokenDropping")
EACH = pytest.mark.parametrize("name", SELECTORS)


def make(name, **options):
    return SELECTORS[name](**{"seed": 3, "prefix": PREFIX} | OPTIONS.get(name, {}) | options)


def given(name, keys):
    """What a selector is given with each sample, by key."""
    if name not in SCORED:
        return {}
    rows = [torch.rand(TOTAL, generator=torch.Generator().manual_seed(int(k))) for k in keys]
    return {"scores": torch.stack(rows) if rows else torch.zeros(0, TOTAL)}


def call(method, keys, epoch=120):
    x = torch.zeros(len(keys), method.prefix + TOTAL, 1)
    return method(x, keys=keys, epoch=epoch, **given(type(method).__name__, keys))


@EACH
def test_shape_and_order(name):
    s = call(make(name), range(16))
    assert s.total == TOTAL and s.prefix == PREFIX and torch.Size(s.grid).numel() == TOTAL
    assert s.keep.dtype == torch.int64 and len(s) == 16 and s.keep.device.type == "cpu"
    assert s.padded == (len(set(s.counts.tolist())) > 1)
    for row, count in zip(s.keep, s.counts.tolist(), strict=True):
        kept = row[:count]
        assert count >= 1 and bool((kept.diff() > 0).all()) and int(kept[0]) >= 0 and int(kept[-1]) < TOTAL
        assert bool((row[count:] == -1).all())
    assert torch.equal(s.mask("kept").sum(1), s.counts) and torch.equal(s.mask("kept"), ~s.mask("removed"))


@EACH
def test_prefix_tokens_stay(name):
    s = call(make(name), range(4))
    x = torch.randn(4, PREFIX + TOTAL, 3)
    assert torch.equal(s.gather(x)[:, :PREFIX], x[:, :PREFIX])
    assert torch.equal(s.scatter(s.gather(x), fill=x), x)
    alone = call(make(name, prefix=0), range(4))
    assert torch.equal(alone.keep, s.keep)


@EACH
def test_keys_decide_whatever_the_batch(name):
    method, keys = make(name), [5, 99, -7, 2**62, 0, 6]
    kept = call(method, keys).mask("kept")
    for i, key in enumerate(keys):
        assert torch.equal(call(method, [key]).mask("kept")[0], kept[i])
    assert torch.equal(call(method, keys[::-1]).mask("kept").flip(0), kept)
    assert len({tuple(row.tolist()) for row in kept}) > 1


@pytest.mark.parametrize("name", [name for name in SELECTORS if name not in UNDRAWN])
def test_epoch_and_seed_change_the_draw(name):
    once = call(make(name), range(8)).mask("kept")
    assert torch.equal(call(make(name), range(8)).mask("kept"), once)
    assert not torch.equal(call(make(name), range(8), epoch=121).mask("kept"), once)
    options = {"transform": ad.HideAndSeek(seed=1)} if name == "RegionKeep" else {"seed": 4}
    assert not torch.equal(call(make(name, **options), range(8)).mask("kept"), once)
    each = call(make(name), range(8), epoch=[120, 121] * 4).mask("kept")
    assert torch.equal(each[::2], once[::2]) and not torch.equal(each[1::2], once[1::2])


@pytest.mark.parametrize("name", [name for name in SELECTORS if name not in UNDRAWN])
def test_without_keys_torch_decides(name):
    method, x = make(name), torch.zeros(3, PREFIX + TOTAL, 1)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(method(x, epoch=120, **given(name, range(3))).mask("kept"))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    with ad.keys(range(3), epoch=120):
        inside = method(x, **given(name, range(3)))
    assert inside == call(method, range(3))


@EACH
def test_copies_and_files(name, tmp_path):
    method = make(name)
    s = call(method, range(4))
    assert call(pickle.loads(pickle.dumps(method)), range(4)) == s == call(copy.deepcopy(method), range(4))
    s.save(tmp_path / "s.json")
    assert tokens.Selection.load(tmp_path / "s.json") == s


@EACH
def test_empty_batch(name):
    s = call(make(name), [])
    assert len(s) == 0 and s.gather(torch.zeros(0, PREFIX + TOTAL, 5)).shape[0] == 0
    assert "0 samples" in repr(s)


@EACH
def test_only_shape_and_device_count(name):
    method = make(name)
    s = call(method, range(4))
    for x in (torch.full((4, PREFIX + TOTAL), torch.nan), torch.ones(4, PREFIX + TOTAL, 2, 2, dtype=torch.int8)):
        assert method(x, keys=range(4), epoch=120, **given(name, range(4))) == s
    assert s.to("meta").keep.device.type == "meta"


@EACH
@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(name):
    scores = {k: v.cuda() for k, v in given(name, range(4)).items()}
    s = make(name)(torch.zeros(4, PREFIX + TOTAL, 1, device="cuda"), keys=range(4), epoch=120, **scores)
    assert s.device.type == "cuda" and s == call(make(name), range(4))


@EACH
def test_presets(name):
    cls = SELECTORS[name]
    for preset in cls.presets:
        method = cls.preset(preset, **{"seed": 3, "prefix": PREFIX} | OPTIONS.get(name, {}))
        for option, value in cls.presets[preset].items():
            assert getattr(method, option) == value
        assert len(call(method, range(4))) == 4
    with pytest.raises(ad.AugDropError, match="a preset"):
        cls.preset("no such")


@EACH
def test_is_cited(name):
    cls = SELECTORS[name]
    if name in ("RandomKeep", "RegionKeep"):
        assert cls.citation is None  # their own idea, or a transform's
    else:
        assert cls.citation and cls.citation.arxiv in (cls.__doc__ or "")


@EACH
def test_bad_grid_prefix_and_share(name):
    method = make(
        name, **({"grid": (4, 12, 13)} if len(OPTIONS.get(name, {}).get("grid", ())) == 3 else {"grid": (24, 25)})
    )
    with pytest.raises(ad.AugDropError, match="multiply to 576"):
        call(method, range(2))
    with pytest.raises(ad.AugDropError, match="more than 2 prefix"):
        make(name)(torch.zeros(2, 2, 1), keys=range(2))
    with pytest.raises(ad.AugDropError, match=">= 0"):
        call(make(name, prefix=-1), range(2))
    with pytest.raises(ad.AugDropError, match="one for each of 2"):
        make(name)(torch.zeros(2, PREFIX + TOTAL, 1), keys=range(3), epoch=0)
    for options in WRONG.get(name, [{"ratio": 1.0}, {"ratio": 1.5}, {"ratio": -0.1}]):
        with pytest.raises(ad.AugDropError):
            call(make(name, **options), range(2))


@pytest.mark.parametrize("name", ["MAE", "PatchDropout", "DropPos", *SCORED])
def test_bad_numbers(name):
    what = "scores" if name in SCORED else "noise"
    x = torch.zeros(2, PREFIX + TOTAL, 1)
    for bad, message in ((torch.zeros(2, TOTAL + PREFIX), "each token"), (torch.full((2, TOTAL), torch.nan), "NaN")):
        with pytest.raises(ad.AugDropError, match=message):
            make(name)(x, keys=range(2), epoch=0, **{what: bad})


def test_the_registry_has_all():
    def below(cls):
        return {c for s in cls.__subclasses__() for c in (s, *below(s)) if c.__module__.startswith("augdrop.tokens.")}

    assert {c.__name__ for c in below(Selector) if not c.__name__.startswith("_")} == set(SELECTORS)
    others = {c.__name__ for base in (Reducer, Perturbation) for c in below(base)} | {"random_ltd", "MICDrop"}
    assert set(METHODS) == {*SELECTORS, *others}
    for name, made in METHODS.items():
        assert getattr(tokens, name) is made
        cited = citation_of(name)
        assert cited is None or cited.arxiv in made.__doc__
    with pytest.raises(ad.AugDropError, match="Did you mean 'Tube'"):
        selector("tube")
