"""Reading: what is refused, with an error that names the file and says what to do."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from augdrop.cli.images import IMAGE_SUFFIXES, LoadedImage, load, save
from augdrop.errors import AugDropError
from tests.cli.helpers import noise, written


def png(width, height, colour_type, bits, rows):
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refused(path, *words):
    with pytest.raises(AugDropError) as caught:
        load(path)
    for word in (str(path), "got", "expected", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files(tmp_path, suffix, share):
    save(LoadedImage(noise(64, 64, 3)), tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_damaged_files_raise_nothing_else(tmp_path, suffix):
    save(LoadedImage(noise(24, 24, 3)), tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    rng = np.random.default_rng(5)
    path = tmp_path / f"b{suffix}"
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 200), 4):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            assert load(path).pixels.ndim == 3
        except AugDropError as error:
            assert str(path) in str(error)  # noqa: PT017 - either outcome is right, any other error is not


def test_no_image(tmp_path):
    (tmp_path / "a.png").write_text("<!DOCTYPE html><html>")
    refused(tmp_path / "a.png", "<!DOCTYPE ht", "PNG")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png", "GIF")
    refused(tmp_path / "b.png", "GIF89a" if b"GIF89a" in (tmp_path / "b.png").read_bytes() else "GIF87a")


def test_no_file(tmp_path):
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "an empty file")
    refused(tmp_path / "gone.png", "No such file")
    refused(tmp_path, "a folder or device")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "a folder or device")


def test_no_permission(public_folder, unprivileged):
    path = written(public_folder, noise(4, 4), "a.png")
    path.chmod(0)
    with unprivileged():
        refused(path, "Permission denied")


def test_size_zero_and_decompression_bomb(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(0, 5, 0, 8, b""))
    refused(path)
    path.write_bytes(png(60_000, 60_000, 0, 8, b""))
    refused(path, "absurd size", "3600000000 pixels", "tiles")


def test_sixteen_bit_colour_and_alpha_are_not_cut_down_silently(tmp_path):
    path = tmp_path / "a.png"
    for colour_type, channels in ((2, 3), (6, 4), (4, 2)):
        path.write_bytes(png(2, 2, colour_type, 16, (b"\0" + bytes(2 * 2 * channels)) * 2))
        refused(path, "more than 8 bits", "Convert")
    Image.fromarray(noise(4, 4, dtype=np.uint16)).save(path, transparency=5)
    refused(path, "more than 8 bits")
    refused(written(tmp_path, np.zeros((4, 4), np.float32), "f.tif"), "more than 8 bits")


def test_five_bit_bitmaps_are_read(tmp_path):
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + header + struct.pack("<HH", 0x7C00, 0x001F)
    (tmp_path / "a.bmp").write_bytes(data)
    assert load(tmp_path / "a.bmp").pixels.tolist() == [[[255, 0, 0], [0, 0, 255]]]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_further_frames_are_not_lost_silently(tmp_path, suffix):
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    refused(path, "3 frames", "Split")
