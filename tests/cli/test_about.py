"""``list`` and ``doctor``: what they say is so."""

import json
import subprocess
import sys

import torch

import augdrop as ad
from augdrop.cli import doctor
from augdrop.kernels.dispatch import backends
from augdrop.tokens import registry as tokens
from tests.cli.photos import augdrop


def test_list_names_every_method_its_options_and_its_paper(capsys):
    assert augdrop("list") == 0
    said = capsys.readouterr().out
    flat = " ".join(said.split())
    for name, cls in ad.METHODS.items():
        assert f"\n{name}\n" in f"\n{said}"
        assert cls.citation.title in flat
        for preset in cls.presets:
            assert preset in flat
    assert "length=16" in flat
    before, after = said.split("augdrop.tokens\n")
    for name, cls in tokens.METHODS.items():
        assert f"\n{name}\n" in after and f"\n{name}\n" not in before
        assert all(preset in after for preset in getattr(cls, "presets", ()))
        source = tokens.citation_of(name)
        assert source is None or " ".join(str(source).split()) in flat.replace("self- supervised", "self-supervised")
    assert "Options: layers=[3, 6, 9], grid=(needed), keep=0.7" in flat


def test_list_for_programs_is_a_recipes_language(capsys):
    assert augdrop("list", "--json") == 0
    facts = {method["name"]: method for method in json.loads(capsys.readouterr().out)}
    assert list(facts) == [*ad.METHODS, *tokens.METHODS]
    assert {name for name in facts if facts[name]["drops"] == "regions"} == set(ad.METHODS)
    assert facts["Cutout"]["parameters"]["length"] == 16
    assert (facts["Cutout"]["parameters"]["p"], facts["RandomErasing"]["parameters"]["p"]) == (1, 0.5)
    assert facts["Cutout"]["presets"]["imagenet"] == {"length": 56}
    assert facts["Cutout"]["citation"]["arxiv"] == "1708.04552"
    assert facts["RandomErasing"]["presets"]["timm-rand"]["fill"] == {
        "noise": {"distribution": "normal", "per": "channel"}
    }
    assert facts["PatchDropout"]["presets"]["timm"] == {"keep_rate": None, "prob": 0.5, "ordered": False}
    assert facts["random_ltd"]["parameters"] == {"depth": "(needed)", "keep": 0.5, "seed": 0}
    assert facts["random_ltd"]["citation"]["arxiv"] == "2211.11586" and facts["RandomKeep"]["citation"] is None
    assert facts["GridMask"]["presets"]["imagenet"]["p"] == {"ramp": {"stop": 0.8, "epochs": 240, "start": 0.0}}


def test_list_one(capsys):
    assert augdrop("list", "GridMask") == 0
    said = capsys.readouterr().out
    assert "ratio: stripe width / period" in said
    assert ">>>" not in said
    assert "paper: p=0.8" in said
    assert augdrop("list", "EViT") == 0
    said = capsys.readouterr().out
    assert "keep: 0.7" in said and "2202.07800" in said and "Presets" not in said and ">>>" not in said
    assert augdrop("list", "GridMsak", "--json") == 2
    assert "Did you mean 'GridMask'" in capsys.readouterr().err


def test_doctor_tells_versions_and_tries_backends(capsys):
    assert augdrop("doctor") == 0
    said = capsys.readouterr().out
    for line in (ad.__version__, torch.__version__.split("+")[0], "reference", "cpu", "numba cache", "All is well."):
        assert line in said
    assert said.count("works: ") == len(backends())


def test_doctor_finds_a_backend_that_errs(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(doctor, "apply", lambda x, plan: seen.append(1) or x + len(seen))
    assert augdrop("doctor") == 1
    said = capsys.readouterr().out
    assert "differs from the definition in 12288 values" in said
    assert "Something is amiss" in said


def test_the_module_is_the_command_and_a_reader_may_stop_early():
    command = f"{sys.executable} -m augdrop list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Cutout\n", "")
