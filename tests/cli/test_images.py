"""Reading: every kind of file that is accepted, and that saving gives back what was read."""

import dataclasses
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from augdrop.cli.images import load, save
from augdrop.errors import AugDropError
from tests.cli.helpers import SRGB, noise, opened, written

ORIENTATION, MODEL = 0x0112, 0x0110
EXIF_IFD, EXPOSURE, GPS_IFD, LATITUDE_REF = 0x8769, 0x829A, 0x8825, 1
LOSSLESS = [".png", ".bmp", ".tif", ".tiff", ".webp"]


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_rgb_comes_back_bit_for_bit(tmp_path, suffix):
    array = noise(7, 5, 3)
    image = load(written(tmp_path, array, f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {})))
    assert image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, array)
    assert (image.alpha, image.bits) == (None, 8)
    assert image.pixels.flags.writeable
    assert image.pixels.flags.c_contiguous
    save(image, tmp_path / f"b{suffix.upper()}")
    assert np.array_equal(load(tmp_path / f"b{suffix.upper()}").pixels, array)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_grey_stays_grey(tmp_path, suffix):
    array = noise(6, 9)
    image = load(written(tmp_path, array, f"a{suffix}"))
    assert image.pixels.shape == (6, 9, 1)
    save(image, tmp_path / f"b{suffix}")
    assert opened(tmp_path / f"b{suffix}", lambda image: image.mode) == "L"
    if suffix != ".jpg":
        assert np.array_equal(load(tmp_path / f"b{suffix}").pixels[..., 0], array)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_is_kept_apart_and_restored(tmp_path, suffix, colours):
    array = noise(6, 9, colours + 1)
    array[2:4, 2:4, -1] = 0
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array, "RGBA" if colours == 3 else "LA").save(path, **options)
    image = load(path)
    shown = array[..., :-1] if suffix != ".webp" else np.broadcast_to(array[..., :-1], (6, 9, 3))
    assert np.array_equal(image.pixels, shown)
    assert np.array_equal(image.alpha, array[..., -1])

    dropped = image.pixels.copy()
    dropped[1:5, 1:5] = 7
    save(dataclasses.replace(image, pixels=dropped), path)
    again = load(path)
    assert np.array_equal(again.pixels, dropped)
    assert np.array_equal(again.alpha, array[..., -1])


def test_palette_becomes_rgb(tmp_path):
    array = noise(8, 8, 3, high=2) * 255
    Image.fromarray(array).quantize(8, dither=Image.Dither.NONE).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png", lambda image: image.mode) == "P"
    image = load(tmp_path / "a.png")
    assert np.array_equal(image.pixels, array)
    assert image.alpha is None


def test_transparent_palette_entry_becomes_alpha(tmp_path):
    indices = noise(8, 8, high=2)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([10, 20, 30, 200, 210, 220])
    palette.save(tmp_path / "a.png", transparency=1)
    image = load(tmp_path / "a.png")
    assert np.array_equal(image.alpha, np.where(indices == 1, 0, 255))
    assert np.array_equal(image.pixels[..., 0], np.where(indices == 1, 200, 10))


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 5)])
def test_transparent_colour_becomes_alpha(tmp_path, mode, key):
    picture = Image.new(mode, (4, 3), 100 if mode == "L" else (100, 100, 100))
    picture.putpixel((1, 2), key)
    picture.save(tmp_path / "a.png", transparency=key)
    image = load(tmp_path / "a.png")
    assert image.pixels.shape == (3, 4, len(mode))
    assert image.alpha[2, 1] == 0
    assert image.alpha.sum() == 11 * 255


def test_bilevel_becomes_grey(tmp_path):
    array = noise(5, 11, high=2).astype(bool)
    for suffix in (".png", ".tif", ".bmp"):
        image = load(written(tmp_path, array, f"a{suffix}"))
        assert np.array_equal(image.pixels[..., 0], array * np.uint8(255))


def test_cmyk_becomes_rgb_and_drops_its_profile(tmp_path):
    for name in ("a.jpg", "a.tif"):
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / name, icc_profile=SRGB)
        image = load(tmp_path / name)
        assert image.pixels.shape == (8, 8, 3)
        assert np.abs(image.pixels.astype(int) - [255, 0, 0]).max() <= 2
        assert image.icc_profile is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_keeps_every_bit(tmp_path, suffix):
    array = noise(9, 7, high=65536, dtype=np.uint16)
    array[0, :2] = 0, 65535
    image = load(written(tmp_path, array, f"a{suffix}"))
    assert (image.pixels.dtype, image.bits, image.pixels.shape) == (np.int32, 16, (9, 7, 1))
    assert np.array_equal(image.pixels[..., 0], array)
    assert torch.from_numpy(image.pixels).max() == 65535
    save(image, tmp_path / f"b{suffix}")
    assert opened(tmp_path / f"b{suffix}", lambda image: image.mode) == "I;16"
    assert np.array_equal(load(tmp_path / f"b{suffix}").pixels, image.pixels)


def test_sixteen_bit_tiff_of_either_byte_order(tmp_path):
    array = noise(4, 6, high=65536, dtype=np.uint16)
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        tags = [(256, 6), (257, 4), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 48)]
        data = mark + struct.pack(order + "I", 8 + 48) + array.astype(order + "u2").tobytes()
        data += struct.pack(order + "H", len(tags))
        data += b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
        (tmp_path / "a.tif").write_bytes(data + bytes(4))
        assert np.array_equal(load(tmp_path / "a.tif").pixels[..., 0], array)


def test_thirty_two_bit_file_of_sixteen_bit_values(tmp_path):
    array = noise(4, 6, high=65536, dtype=np.int32)
    image = load(written(tmp_path, array, "a.tif"))
    assert opened(tmp_path / "a.tif", lambda image: image.mode) == "I"
    assert image.bits == 16
    assert np.array_equal(image.pixels[..., 0], array)
    with pytest.raises(AugDropError, match="values from -1 to"):
        load(written(tmp_path, array - array.min() - 1, "b.tif"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    array = np.zeros((16, 32, 3), np.uint8)
    array[:8, :16] = 255  # one bright quarter tells all eight positions apart by shape and corner
    exif = Image.Exif()
    exif[ORIENTATION], exif[MODEL] = orientation, "Box"
    path = written(tmp_path, array, f"a{suffix}", exif=exif)
    image = load(path)
    assert image.pixels.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    tall, wide = image.pixels.shape[0] // 2, image.pixels.shape[1] // 2
    right, bottom = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    quarter = image.pixels[tall * bottom : tall * (bottom + 1), wide * right : wide * (right + 1)]
    assert quarter.min() > 200
    assert image.pixels.mean() < 80

    save(image, tmp_path / f"b{suffix}")
    assert load(tmp_path / f"b{suffix}").pixels.shape == image.pixels.shape
    kept = opened(tmp_path / f"b{suffix}", lambda image: dict(image.getexif()))
    assert ORIENTATION not in kept
    assert kept[MODEL] == "Box"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_profile_and_exif_are_kept(tmp_path, suffix):
    exif = Image.Exif()
    exif[EXIF_IFD], exif[GPS_IFD] = {EXPOSURE: 0.25}, {LATITUDE_REF: "N"}
    path = written(tmp_path, noise(8, 8, 3), f"a{suffix}", exif=exif.tobytes(), icc_profile=SRGB)
    save(load(path), tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as again:
        assert again.info["icc_profile"] == SRGB
        assert float(again.getexif().get_ifd(EXIF_IFD)[EXPOSURE]) == 0.25
        assert again.getexif().get_ifd(GPS_IFD)[LATITUDE_REF] == "N"


def test_tiff_layout_does_not_leak_into_other_files(tmp_path):
    private = {33550: (2.0, 2.0, 0.0), 270: "field 7"}
    source = written(tmp_path, noise(300, 200, 3), "a.tif", compression="tiff_lzw", tiffinfo=private)
    image = load(source)
    for name in ("b.tif", "b.png", "b.jpg", "b.webp"):
        save(image, tmp_path / name)
        again = load(tmp_path / name)
        assert again.pixels.shape == image.pixels.shape
        exif = opened(tmp_path / name, lambda image: dict(image.getexif()))
        assert exif[270] == "field 7"
        assert tuple(exif[33550]) == (2.0, 2.0, 0.0)
    assert np.array_equal(load(tmp_path / "b.tif").pixels, image.pixels)
    assert 273 not in opened(tmp_path / "b.jpg", lambda image: dict(image.getexif()))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_unparsable_exif_does_not_stop_sound_pixels(tmp_path):
    array = noise(8, 8, 3)
    image = load(written(tmp_path, array, "a.png", exif=b"Exif\0\0not exif at all"))
    assert np.array_equal(image.pixels, array)
    assert image.exif is None


def test_content_counts_and_not_the_suffix(tmp_path):
    array = noise(8, 8, 3)
    path = tmp_path / "a.jpg"
    Image.fromarray(array).save(path, "PNG")
    assert np.array_equal(load(path).pixels, array)


def test_preview_beside_a_photograph_is_no_second_frame(tmp_path):
    photo, preview = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (4, 4))
    photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])
    assert opened(tmp_path / "a.jpg", lambda image: image.n_frames) == 2
    assert load(tmp_path / "a.jpg").pixels.shape == (8, 8, 3)
