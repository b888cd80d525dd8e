import numpy as np
import pytest
from PIL import Image

from augdrop.cli.contact_sheet import Row, contact_sheet
from augdrop.registry import METHODS
from tests.cli.helpers import noise
from tests.cli.photos import FLOWER, TEMPLE, augdrop, class_folders, crop, pixels


@pytest.fixture
def flower(tmp_path):
    Image.fromarray(crop(FLOWER, 128, 128)).save(tmp_path / "flower.png")
    return tmp_path / "flower.png"


def columns(sheet, picture):
    """Where the picture is on the sheet, as (top, left) corners."""
    height, width = picture.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 1], (4, 4))
    hits = np.argwhere((windows == picture[:4, :4, 1]).all((2, 3)))
    return [(y, x) for y, x in hits.tolist() if np.array_equal(sheet[y : y + height, x : x + width], picture)]


def test_rows_are_methods_and_columns_draws_with_the_original_first(flower, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    methods = "Cutout:imagenet,CutMix,PixelDropout"
    assert augdrop("preview", flower, "--methods", methods, "--draws", 3, "--size", 128, "--out", out) == 0
    assert "3 methods, 3 draws of 1 images" in capsys.readouterr().out
    sheet, original = pixels(out), pixels(flower)
    corners = columns(sheet, original)
    tops = [y for y, _ in corners]
    assert len(corners) == 3
    assert tops[1] - tops[0] == tops[2] - tops[1] == 128 + 4
    left = corners[0][1]
    assert {x for _, x in corners} == {left}
    right = sheet.shape[1] - 16
    for y in tops:  # three draws to the right of each original, none of them the original, none cut off
        row = sheet[y : y + 128, left + 128 : right]
        assert row.shape[1] == 3 * 128 + 4 * (2 + 1 + 1)
    assert (sheet[:8] == 255).all()
    assert (sheet[:, :8] == 255).all()
    assert (sheet[-8:] == 255).all()
    assert (sheet[:, -8:] == 255).all()
    labels = sheet[tops[0] : tops[0] + 128, :left]
    assert 50 < (labels.min(-1) < 128).sum() < 3000
    assert (sheet[tops[0] : tops[0] + 128, left - 8 : left] == 255).all()


def test_seed_decides_and_all_methods_are_there_by_default(flower, tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert augdrop("preview", flower, "--size", 64, "--seed", seed, "--out", tmp_path / f"{name}.png") == 0
    assert f"{len(METHODS)} methods, 4 draws" in capsys.readouterr().out
    a, b, c = (pixels(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_no_draw_is_shown_that_drops_nothing(flower, tmp_path):
    out = tmp_path / "sheet.png"
    assert augdrop("preview", flower, "--methods", "HideAndSeek", "--size", 128, "--draws", 16, "--out", out) == 0
    assert len(columns(pixels(out), pixels(flower))) == 1


def test_several_images_are_each_others_partners(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, value in (("a", 40), ("b", 200)):
        Image.fromarray(np.full((64, 64, 3), value, np.uint8)).save(photos / f"{name}.png")
    out = tmp_path / "sheet.png"
    assert augdrop("preview", photos, "--methods", "Mixup", "--size", 64, "--draws", 1, "--out", out) == 0
    sheet = pixels(out)
    greys = sheet[(sheet == sheet[..., :1]).all(-1)][:, 0]
    assert len({int(v) for v in np.unique(greys) if (greys == v).sum() >= 64 * 64}) >= 4  # paper, a, b, and blends


def test_any_kind_of_file_and_a_folder_of_many(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos", each=6)
    Image.fromarray(noise(40, 40, high=65536, dtype=np.uint16)).save(photos / "flower" / "0.png")
    Image.fromarray(np.dstack([crop(TEMPLE, 40, 40), noise(40, 40)])).save(photos / "flower" / "3.png")
    assert augdrop("preview", photos, "--methods", "CutMix,Cutout", "--size", 48, 64, "--out", tmp_path / "s.png") == 0
    assert "1 draws of 4 images" in capsys.readouterr().out


def test_errors(flower, tmp_path, capsys):
    for arguments, said in (
        (["--methods", "Cutot"], "Did you mean 'Cutout'"),
        (["--methods", "Cutout:imagnet"], "Did you mean 'imagenet'"),
        (["--methods", ","], "Valid:"),
        (["--out", tmp_path / "x.gif"], "suffix '.gif'"),
    ):
        assert augdrop("preview", flower, *arguments) == 2
        assert said in capsys.readouterr().err


def test_no_label_is_clipped_whatever_its_length():
    picture = Image.new("RGB", (64, 64), "navy")
    for title, note in (("W" * 60, ""), ("A", "a rather long note that has to go over several lines"), ("A", "W" * 60)):
        sheet = np.asarray(contact_sheet([Row(title, note, [picture] * 2)], ["original", "draw 1"], group=2))
        ink = np.argwhere((sheet < 200).any(-1))
        assert ink.min() >= 4
        assert sheet.shape[0] - ink[:, 0].max() > 4
        navy = np.argwhere((sheet == (0, 0, 128)).all(-1))
        assert len(navy) == 2 * 64 * 64  # nothing is written over a picture
        left = navy[:, 1].min()
        assert (sheet[:, left - 4 : left] == 255).all(axis=(1, 2)).sum() >= 64
