import json
import shutil

import pytest
from PIL import Image

from augdrop.cli import replay
from augdrop.transforms.base import Transform
from tests.cli.photos import FLOWER, apply, augdrop, class_folders, contents, crop, records

RECIPE = """
compose:
  - oneof: [CutMix, AttentiveCutMix, {Mixup: {alpha: 1.0}}, {PixelDropout: {fill: normal}}]
  - oneof: [{GridMask: {preset: small, fill: blur}}, {DropBlock: {fill: mean}}, {HideAndSeek: {grid_sizes: [8]}}]
"""


@pytest.fixture
def made(tmp_path):
    """Photographs, and what a recipe made of them, as JPEG."""
    photos = class_folders(tmp_path / "photos", suffix="jpg")
    Image.fromarray(crop(FLOWER, 48, 48)[..., 0]).save(photos / "flower" / "grey.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = ("--recipe", tmp_path / "recipe.yaml", "--size", 40, 48, "--copies", 6, "--quality", 80)
    assert apply(photos, tmp_path / "out", *run) == 0
    return tmp_path


def test_equal_bit_for_bit_without_a_draw(made, monkeypatch):
    def no_draws(*_):
        raise AssertionError("a replay draws nothing")

    monkeypatch.setattr(Transform, "draws", no_draws)
    assert augdrop("replay", made / "out", made / "again", "--workers", 1) == 0
    assert contents(made / "again") == contents(made / "out", less=["settings.json"])
    assert len(records(made / "again")) == 42


def test_a_part_by_pattern_and_by_lines(made):
    assert (
        augdrop("replay", made / "out" / "manifest.jsonl", made / "part", "--only", "temple/1-*", "--workers", 1) == 0
    )
    part, whole = contents(made / "part"), contents(made / "out")
    images = [name for name in part if name.endswith(".jpg")]
    assert images == sorted(images, key=images.index)
    assert len(images) == 6
    assert all(part[name] == whole[name] for name in images)
    lines = (made / "out" / "manifest.jsonl").read_text().splitlines(keepends=True)
    (made / "some.jsonl").write_text("".join(lines[3:5]))
    assert augdrop("replay", made / "some.jsonl", made / "some", "--source", made / "photos", "--workers", 1) == 0
    assert (made / "some" / "manifest.jsonl").read_text() == "".join(lines[3:5])
    for line in lines[3:5]:
        name = json.loads(line)["output"]
        assert contents(made / "some")[name] == whole[name]


def test_sources_that_moved_are_found_with_source(made, capsys):
    (made / "photos").rename(made / "moved")
    assert augdrop("replay", made / "out", made / "again", "--workers", 1) == 1
    assert "42 skipped" in capsys.readouterr().out
    assert augdrop("replay", made / "out", made / "there", "--source", made / "moved", "--workers", 1) == 0
    assert contents(made / "there") == contents(made / "out", less=["settings.json"])


def test_a_changed_source_or_partner_is_skipped_and_said(made, capsys):
    Image.fromarray(crop(FLOWER, 48, 64, at=20)).save(made / "photos" / "flower" / "0.jpg")
    touched = [n for n, r in records(made / "out").items() if "flower/0.jpg" in (r["source"], r["partner"])]
    assert 6 < len(touched) < 42
    assert augdrop("replay", made / "out", made / "again", "--workers", 1) == 1
    err = capsys.readouterr().err
    assert "another file than in the manifest" in err
    assert err.count("skipped") == len(touched)
    assert set(records(made / "again")) == set(records(made / "out")) - set(touched)


@pytest.mark.parametrize(
    ("manifest", "out", "more", "said"),
    [
        ("nowhere", "again", (), "expected a manifest"),
        ("out", "out", (), "empty or new folder"),
        ("out", "photos/x", (), "another place"),
        ("out", "again", ("--only", "dogs/*"), "no line for dogs/*"),
        ("alone/manifest.jsonl", "again", (), "--source"),
    ],
)
def test_errors(made, capsys, manifest, out, more, said):
    (made / "alone").mkdir()
    (made / "alone" / "manifest.jsonl").write_bytes((made / "out" / "manifest.jsonl").read_bytes())
    assert augdrop("replay", made / manifest, made / out, *more) == 2
    assert said in capsys.readouterr().err
    assert not (made / "again").exists()


def test_lines_that_are_not_whole_are_said_and_never_a_traceback(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos")
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--size", 40) == 0
    line = next(r for r in records(tmp_path / "out").values() if r["partner"])
    plan = line["plan"]
    for change, said in (
        ({"plan": 3}, "plan = '3'; expected whole lines"),
        ({"quality": None}, "quality = 'None'"),
        ({"source_sha256": 5}, "source_sha256 = '5'"),
        ({"plan": plan | {"noise": "zz"}}, "TypeError: noise is 'zz'; expected a whole plan"),
        ({"plan": plan | {"fill": "zz"}}, "TypeError: fill is 'zz'"),
        ({"plan": plan | {"fill": {"type": "Constant", "value": "a"}}}, "Constant: got 'a'; expected a number"),
        ({"plan": plan | {"opacity": {"dtype": "f8", "shape": [7], "data": [1]}}}, "saved file: array"),
        ({"partner": None}, "no partner, but a plan that pastes one"),
    ):
        (tmp_path / "bad.jsonl").write_text(json.dumps(line | change) + "\n")
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        assert augdrop("replay", tmp_path / "bad.jsonl", tmp_path / "again", "--source", photos) in (1, 2)
        assert said in capsys.readouterr().err


def test_a_manifest_leads_nowhere_else(made, capsys):
    line = json.loads((made / "out" / "manifest.jsonl").read_text().splitlines()[0])
    for change in (
        {"output": "../x.jpg"},
        {"source": str(made / "photos" / "flower" / "0.jpg")},
        {"partner": "a/../../b.png"},
    ):
        (made / "bad.jsonl").write_text(json.dumps(line | change) + "\n")
        assert augdrop("replay", made / "bad.jsonl", made / "again", "--source", made / "photos") == 2
        assert "a way out of the folder" in capsys.readouterr().err
    assert replay._stays_below("a/b..c/d.png")
