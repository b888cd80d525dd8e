"""Grey, transparent, 16-bit and turned files, through the whole command."""

import numpy as np
import pytest
from PIL import Image

from augdrop.plans import plan_from_dict
from tests.cli.helpers import noise
from tests.cli.photos import FLOWER, TEMPLE, apply, class_folders, crop, pixels, records


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def one(folder, name, *arguments):
    """The output of the only image, its mask, and its record."""
    out = folder.parent / "out"
    assert apply(folder, out, *arguments) == 0
    [record] = records(out).values()
    return pixels(out / name), plan_from_dict(record["plan"]).mask()[0].numpy(), record


CUT = ("--method", "Cutout", "--set", "length=24", "--set")


def test_grey_stays_grey_and_a_colour_becomes_its_luma(folder):
    grey = crop(FLOWER, 40, 60)[..., 1]
    Image.fromarray(grey).save(folder / "a.png")
    image, mask, _ = one(folder, "a.png", *CUT, "fill=[255, 0, 0]")
    assert image.shape == (40, 60)
    assert 0 < mask.sum() < mask.size
    assert (image[mask] == 76).all()
    assert np.array_equal(image[~mask], grey[~mask])


def test_alpha_is_kept(folder):
    rgba = np.dstack([crop(FLOWER, 40, 60), noise(40, 60)])
    Image.fromarray(rgba).save(folder / "a.png")
    image, mask, _ = one(folder, "a.png", *CUT, "fill=9")
    assert np.array_equal(image[..., 3], rgba[..., 3])
    assert (image[mask][:, :3] == 9).all()
    assert np.array_equal(image[~mask], rgba[~mask])


def test_alpha_is_scaled_with_its_image(folder):
    rgba = np.dstack([crop(FLOWER, 40, 80), np.full((40, 80), 255, np.uint8)])
    rgba[:, :40, 3] = 0
    Image.fromarray(rgba).save(folder / "a.png")
    image, _, _ = one(folder, "a.png", *CUT, "p=0", "--size", "20")
    assert image.shape == (20, 20, 4)
    assert (image[:, :9, 3] == 0).all()
    assert (image[:, 11:, 3] == 255).all()


@pytest.mark.parametrize(("fill", "value"), [("128", 128 * 257), ("0.5", 32768), ("[255, 255, 255]", 65535)])
def test_sixteen_bits_are_kept_and_levels_mean_what_they_do_in_eight(folder, fill, value):
    deep = noise(40, 60, high=65536, dtype=np.uint16)
    Image.fromarray(deep).save(folder / "a.png")
    image, mask, _ = one(folder, "a.png", *CUT, f"fill={fill}")
    assert image.dtype == np.uint16
    assert (image[mask] == value).all()
    assert np.array_equal(image[~mask], deep[~mask])


@pytest.mark.parametrize("law", ["noise", "normal"])
def test_noise_in_sixteen_bits_fills_their_range(folder, law):
    Image.fromarray(np.full((100, 100), 5, np.uint16)).save(folder / "a.png")
    arguments = ("--method", "Cutout", "--set", "length=400", "--set", f"fill={law}")
    image, mask, record = one(folder, "a.png", *arguments)
    values = image[mask].astype(float)
    assert mask.sum() > 5000
    # Uniform: mean 32767.5, deviation 18918; normal: 32767.5 and 16384, cut off at both ends (a twentieth).
    assert abs(values.mean() - 32767.5) < 5 * 18918 / mask.sum() ** 0.5
    assert abs(values.std() - (18918 if law == "noise" else 15600)) < 800
    assert record["methods"] == ["Cutout"]


def test_shares_are_of_the_range_in_eight_bits_too(folder):
    Image.fromarray(crop(FLOWER, 40, 60)).save(folder / "a.png")
    image, mask, _ = one(folder, "a.png", "--method", "RandomErasing", "--preset", "authors", "--set", "p=1")
    assert mask.any()
    assert (image[mask] == np.rint(np.array([0.4914, 0.4822, 0.4465]) * 255)).all()


def test_turned_files_come_out_upright(folder):
    upright = crop(TEMPLE, 40, 60)
    lying = Image.fromarray(np.rot90(upright).copy())
    exif = lying.getexif()
    exif[274] = 6
    exif[271] = "A maker"
    lying.save(folder / "a.png", exif=exif)
    image, mask, record = one(folder, "a.png", *CUT, "fill=0")
    assert record["size"] == [40, 60]
    assert np.array_equal(image[~mask], upright[~mask])
    with Image.open(folder.parent / "out" / "a.png") as written:
        assert written.getexif().get(274, 1) == 1
        assert written.getexif()[271] == "A maker"


def test_jpeg_keeps_what_is_outside_but_for_its_own_loss(folder):
    Image.fromarray(crop(TEMPLE, 64, 64)).save(folder / "a.jpg", quality=95)
    image, mask, _ = one(folder, "a.jpg", *CUT, "fill=0", "--quality", "98")
    before = pixels(folder / "a.jpg").astype(int)
    inner = np.zeros_like(mask)
    inner[8:-8, 8:-8] = True
    assert np.abs(image[~mask & inner] - before[~mask & inner]).mean() < 4
    assert image[mask].mean() < 8


def test_what_a_format_cannot_hold_is_skipped_with_advice(folder, capsys):
    Image.fromarray(np.dstack([crop(FLOWER, 20, 20), noise(20, 20)])).save(folder / "a.png")
    Image.fromarray(crop(FLOWER, 20, 20)).save(folder / "b.png")
    assert apply(folder, folder.parent / "out", "--method", "Cutout", "--format", "jpg") == 1
    assert "skipped a.jpg" in capsys.readouterr().err
    assert list(records(folder.parent / "out")) == ["b.jpg"]


def test_a_fill_that_is_no_number_is_one_line(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos", each=1)
    assert apply(photos, tmp_path / "out", "--method", "Cutout", "--set", "fill=.nan") == 2
    assert "fill: got (nan,); expected levels" in capsys.readouterr().err


def test_names_that_are_no_utf8(folder, capsys):
    name = b"\xe9t\xe9.png".decode("utf-8", "surrogateescape")
    Image.fromarray(crop(FLOWER, 20, 20)).save(folder / name)
    assert apply(folder, folder.parent / "out", "--method", "Cutout") == 0
    assert (folder.parent / "out" / name).is_file()
    assert apply(folder, folder.parent / "out", "--method", "Cutout") == 0
    assert "0 written; 1 were there" in capsys.readouterr().out
