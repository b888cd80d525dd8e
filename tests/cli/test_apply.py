import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import augdrop as ad
from augdrop.plans import plan_from_dict
from tests.cli.photos import FLOWER, apply, augdrop, class_folders, contents, crop, pixels, records


@pytest.fixture
def photos(tmp_path):
    return class_folders(tmp_path / "photos")


def test_writes_every_image_at_its_own_size_with_the_transform_of_its_key(photos, tmp_path):
    assert apply(photos, tmp_path / "out", "--method", "Cutout", "--set", "length=20", "--seed", 3, "--epoch", 2) == 0
    made = records(tmp_path / "out")
    assert len(made) == 6
    cut = ad.Cutout(20, seed=3)
    for name, record in made.items():
        x = torch.from_numpy(pixels(photos / name)).permute(2, 0, 1)
        assert record["key"] == ad.key_of(name)
        expected = cut(x, keys=ad.key_of(name), epoch=2).permute(1, 2, 0).numpy()
        assert np.array_equal(pixels(tmp_path / "out" / name), expected)
        assert not np.array_equal(expected, pixels(photos / name))
        plan = plan_from_dict(record["plan"])
        assert torch.equal(cut.apply(x[None], plan)[0], torch.from_numpy(expected).permute(2, 0, 1))
        assert record["size"] == list(x.shape[1:])
        assert record["methods"] == ["Cutout"]
        assert record["label"] == name.split("/")[0]


def test_copies_differ_and_a_rerun_and_another_seed_and_epoch_do_what_they_say(photos, tmp_path):
    run = ("--method", "Cutout", "--copies", 3)
    for out, more in (("a", ()), ("b", ()), ("seed", ("--seed", 1)), ("epoch", ("--epoch", 1))):
        assert apply(photos, tmp_path / out, *run, *more) == 0
    a, b, seed, epoch = (contents(tmp_path / out) for out in ("a", "b", "seed", "epoch"))
    assert a == b
    images = [name for name in a if name.endswith(".png")]
    assert sorted(images)[:3] == ["flower/0-0.png", "flower/0-1.png", "flower/0-2.png"]
    assert len(images) == 18
    assert len({a[f"flower/0-{i}.png"] for i in range(3)}) == 3
    assert sum(a[name] != seed[name] for name in images) > 12
    assert sum(a[name] != epoch[name] for name in images) > 12


def test_a_new_image_leaves_the_others_as_they_were(photos, tmp_path):
    apply(photos, tmp_path / "before", "--method", "RandomErasing")
    Image.fromarray(crop(FLOWER, 30, 30)).save(photos / "flower" / "00.png")
    apply(photos, tmp_path / "after", "--method", "RandomErasing")
    before, after = (
        contents(tmp_path / n, less=("manifest.jsonl", "settings.json", "labels.csv")) for n in ("before", "after")
    )
    assert after.items() > before.items()


def test_running_again_does_nothing_and_other_settings_are_refused(photos, tmp_path, capsys):
    out, run = tmp_path / "out", ("--method", "Cutout", "--set", "length=8")
    apply(photos, out, *run)
    first = contents(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert apply(photos, out, *run) == 0
    assert "0 written; 6 were there" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "flower" / "1.png").unlink()
    assert apply(photos, out, *run) == 0
    assert "1 written" in capsys.readouterr().out
    assert contents(out) == first
    assert apply(photos, out, "--method", "Cutout", "--set", "length=9", "--copies", 2) == 2
    assert "a run with other recipe, copies" in capsys.readouterr().err
    Image.fromarray(crop(FLOWER, 30, 30)).save(photos / "flower" / "9.png")
    assert apply(photos, out, *run) == 2
    assert "source files" in capsys.readouterr().err
    assert contents(out) == first


def test_overwrite_removes_what_the_earlier_run_wrote_and_nothing_else(photos, tmp_path):
    out = tmp_path / "out"
    apply(photos, out, "--method", "Cutout", "--copies", 2)
    (out / "notes.txt").write_text("mine")
    assert apply(photos, out, "--method", "Cutout", "--overwrite") == 0
    apply(photos, tmp_path / "fresh", "--method", "Cutout")
    assert contents(out, less=["notes.txt"]) == contents(tmp_path / "fresh")
    assert (out / "notes.txt").read_text() == "mine"


def test_dry_run_writes_nothing(photos, tmp_path, capsys):
    before = contents(tmp_path)
    assert apply(photos, tmp_path / "out", "--method", "CutMix", "--size", 32, "--copies", 2, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "flower/0.png -> flower/0-1.png with " in said
    assert "12 images would be written" in said
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_one_bad_file_among_many_is_skipped_reported_and_retried(photos, tmp_path, capsys):
    good = (photos / "flower" / "1.png").read_bytes()
    (photos / "flower" / "1.png").write_bytes(good[:-20] + b"x" * 20)
    (photos / "temple" / "9.jpg").write_bytes(b"no image at all")
    run = (photos, tmp_path / "out", "--method", "Cutout", "--copies", 2)
    assert apply(*run) == 1
    err = capsys.readouterr().err
    assert "skipped flower/1-0.png: reading" in err
    assert "skipped temple/9-1.jpg: reading" in err
    assert "no image" in err
    assert len(records(tmp_path / "out")) == 10
    (photos / "flower" / "1.png").write_bytes(good)  # of the same size: the source is mended, not another
    assert apply(*run) == 1
    assert "2 written" in capsys.readouterr().out
    assert len(records(tmp_path / "out")) == 12
    assert not list((tmp_path / "out").rglob(".augdrop*"))


@pytest.mark.parametrize("inside", [".", "out", "temple/out"])
def test_output_inside_the_source_is_refused(photos, inside, capsys):
    before = contents(photos)
    assert apply(photos, photos / inside, "--method", "Cutout") == 2
    assert "expected another place" in capsys.readouterr().err
    assert contents(photos) == before


def test_no_source_is_ever_written_over(photos, tmp_path, capsys):
    (photos / "list.txt").write_text("flower/0.png\nflower/1.png\n")
    before = contents(photos)
    assert apply(photos / "list.txt", photos, "--method", "Cutout", "--overwrite") == 2
    assert "the place of a source" in capsys.readouterr().err
    assert contents(photos) == before
    assert apply(photos / "list.txt", tmp_path / "out", "--method", "Cutout") == 0
    assert sorted(records(tmp_path / "out")) == ["flower/0.png", "flower/1.png"]


def test_a_folder_of_other_files_is_left_alone(photos, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("all of it")
    assert apply(photos, tmp_path / "out", "--method", "Cutout") == 2
    assert "files of another origin" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "thesis.txt"]


def test_two_sources_of_one_output_are_refused(photos, tmp_path, capsys):
    Image.fromarray(crop(FLOWER, 30, 30)).save(photos / "flower" / "0.jpg")
    assert apply(photos, tmp_path / "out", "--method", "Cutout", "--format", "png") == 2
    err = capsys.readouterr().err
    assert "flower/0.jpg" in err
    assert "flower/0.png" in err
    assert not (tmp_path / "out").exists()


def test_format_and_quality(photos, tmp_path):
    for quality in (30, 95):
        apply(photos, tmp_path / str(quality), "--method", "Cutout", "--format", "jpg", "--quality", quality)
    low, high = ((tmp_path / q / "flower" / "0.jpg") for q in ("30", "95"))
    assert low.stat().st_size < high.stat().st_size
    with Image.open(low) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "Cutot"], "Did you mean 'Cutout'?"),
        (["--method", "cutmix"], "Did you mean 'CutMix'?"),
        (["--method", "Cutout", "--set", "lenght=4"], "Did you mean 'length'?"),
        (["--method", "Cutout", "--set", "fill=nose"], "Did you mean 'noise'?"),
        (["--method", "Cutout", "--preset", "cifar1"], "Did you mean 'cifar10'?"),
        (["--method", "Cutout", "--set", "length"], "expected key=value"),
        (["--method", "Cutout", "--set", "p=1.5"], "expected a probability in [0, 1]"),
        (["--method", "GridMask", "--set", "period=5"], "GridMask"),
        (["--method", "Cutout", "--set", "fill=[1, 2, 3, 4]"], "4 values"),
        (["--method", "Cutout", "--set", "fill=300"], "0 to 255"),
        (["--method", "CutMix", "--set", "num_classes=10"], "It is for training loops"),
        (["--method", "CutMix"], "--size"),
    ],
)
def test_what_cannot_work_is_one_line_on_stderr(photos, tmp_path, capsys, arguments, said):
    assert apply(photos, tmp_path / "out", *arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("augdrop: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unreadable_and_missing_sources(photos, tmp_path, capsys):
    assert apply(tmp_path / "nowhere", tmp_path / "out", "--method", "Cutout") == 2
    assert "nowhere" in capsys.readouterr().err
    assert apply(photos, photos / "flower" / "0.png", "--method", "Cutout") == 2


def test_a_place_without_permission_is_a_clear_error(public_folder, unprivileged, capsys):
    photos = class_folders(public_folder / "photos")
    with unprivileged():
        assert apply(photos, public_folder / "out", "--method", "Cutout") == 2
    assert "Permission denied" in capsys.readouterr().err


def test_no_room_stops_the_run_with_nothing_half_written_and_the_run_can_be_taken_up(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for i in range(4):
        photos.mkdir(exist_ok=True)
        Image.fromarray(crop(FLOWER, *((24, 24) if i < 2 else (200, 200)))).save(photos / f"{i}.png")
    command = [sys.executable, "-m", "augdrop", "apply", photos, out, "--method", "Cutout", "--workers", "1"]

    def little_room():  # as a full disk answers, but for this process alone
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))

    apply(photos, tmp_path / "whole", "--method", "Cutout")  # compiles, so that the cache is not what is too large
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=little_room)
    assert done.returncode == 2, done.stderr
    assert "expected room for" in done.stderr
    assert "the same command continues" in done.stderr
    assert sorted(path.name for path in out.glob("*.png")) == ["0.png", "1.png"]
    assert not list(out.rglob("*.tmp"))
    assert apply(photos, out, "--method", "Cutout") == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_an_output_folder_belongs_to_one_run_at_a_time(photos, tmp_path, capsys):
    from augdrop.cli.manifest import Journal

    apply(photos, tmp_path / "out", "--method", "Cutout")
    journal = Journal(tmp_path / "out")
    assert apply(photos, tmp_path / "out", "--method", "Cutout") == 2
    assert "another run at work" in capsys.readouterr().err
    journal.close()
    assert apply(photos, tmp_path / "out", "--method", "Cutout") == 0


def test_labels_are_there_for_class_folders_only(photos, tmp_path):
    apply(photos, tmp_path / "labelled", "--method", "Cutout")
    rows = (tmp_path / "labelled" / "labels.csv").read_text().splitlines()
    assert rows[:2] == ["output,class,weight", "flower/0.png,flower,1.0"]
    assert len(rows) == 7
    Image.fromarray(crop(FLOWER, 30, 30)).save(photos / "loose.png")
    apply(photos, tmp_path / "loose", "--method", "Cutout")
    assert not (tmp_path / "loose" / "labels.csv").exists()
    assert "label" not in records(tmp_path / "loose")["flower/0.png"]


def test_settings_tell_what_the_folder_was_made_with(photos, tmp_path):
    apply(photos, tmp_path / "out", "--method", "RandomErasing", "--preset", "timm", "--set", "p=0.3", "--seed", 9)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["recipe"] == {"RandomErasing": {"preset": "timm", "p": 0.3}}
    assert (settings["seed"], settings["augdrop"]) == (9, ad.__version__)


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        augdrop("--version")
    assert ad.__version__ in capsys.readouterr().out


def test_an_epoch_beyond_the_largest_is_told_before_anything_is_written(photos, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        apply(photos, tmp_path / "out", "--method", "Cutout", "--epoch", 2**32)
    assert "4294967296 is above 4294967295" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_dry_run_tells_what_the_run_would_do(photos, tmp_path, capsys):
    run = (photos, tmp_path / "out", "--method", "Cutout")
    assert apply(*run) == 0
    (tmp_path / "out" / "flower" / "0.png").unlink()
    before = contents(tmp_path / "out")
    capsys.readouterr()
    assert apply(*run, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "1 images would be written by Cutout; 5 are there" in said and said.count("->") == 1
    assert apply(*run, "--copies", 2, "--dry-run") == apply(*run, "--copies", 2) == 2
    assert capsys.readouterr().err.count("got a run with other copies") == 2
    assert apply(*run, "--copies", 2, "--dry-run", "--overwrite") == 0
    assert "12 images would be written" in capsys.readouterr().out
    assert contents(tmp_path / "out") == before
