"""Writing: the same bytes each time, whole or not at all."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from augdrop.cli.images import IMAGE_SUFFIXES, LoadedImage, load, save
from augdrop.errors import AugDropError
from tests.cli.helpers import SRGB, noise, opened


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_equal_images_give_equal_bytes_and_leave_nothing_else(tmp_path, suffix):
    image = LoadedImage(noise(40, 30, 3), icc_profile=SRGB)
    save(image, tmp_path / "new" / "deep" / f"a{suffix}")
    save(image, tmp_path / "new" / "deep" / f"b{suffix}")
    one, two = sorted((tmp_path / "new" / "deep").iterdir())
    assert one.read_bytes() == two.read_bytes()
    assert one.name == f"a{suffix}"


def test_jpeg_quality_and_full_colour_resolution(tmp_path):
    image = LoadedImage(noise(64, 64, 3))
    sizes = []
    for quality in (50, 95, 100):
        save(image, tmp_path / "a.jpg", quality=quality)
        sizes.append((tmp_path / "a.jpg").stat().st_size)
    assert sizes == sorted(sizes)
    sampling = opened(tmp_path / "a.jpg", lambda image: [layer[1:3] for layer in image.layer])
    assert sampling == [(1, 1)] * 3
    save(image, tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").stat().st_size == sizes[1]


def test_file_has_the_usual_permissions_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    (tmp_path / "plain").touch()
    save(LoadedImage(noise(4, 4, 3)), path)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert load(path).pixels.shape == (4, 4, 3)


def test_longest_name_that_a_folder_takes(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    save(LoadedImage(noise(4, 4, 3)), path)
    assert load(path).pixels.shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("name", "image", "words"),
    [
        ("a.gif", LoadedImage(noise(4, 4, 3)), ["suffix '.gif'", ".png"]),
        ("a.jpg", LoadedImage(noise(4, 4, 3), noise(4, 4)), ["transparency", "JPEG", ".png"]),
        ("a.bmp", LoadedImage(noise(4, 4, 3), noise(4, 4)), ["transparency", "BMP"]),
        ("a.webp", LoadedImage(noise(4, 4, 1, dtype=np.int32), bits=16), ["16-bit", "WEBP", ".tif"]),
        ("a.png", LoadedImage(np.full((4, 4, 1), 65536), bits=16), ["65536", "0 to 65535"]),
        ("a.webp", LoadedImage(np.zeros((1, 16384, 3), np.uint8)), ["16384×1", "WEBP"]),
        ("a.jpg", LoadedImage(np.zeros((1, 65536, 1), np.uint8)), ["65536×1", "JPEG"]),
        ("a.jpg", LoadedImage(noise(4, 4, 3), exif=b"Exif\0\0" + bytes(70_000)), ["JPEG", "EXIF"]),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(tmp_path, name, image, words):
    with pytest.raises(AugDropError) as caught:
        save(image, tmp_path / "out" / name)
    for word in (name, *words):
        assert word in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(AugDropError, match=r"a\.png.*expected a place that can be written to"):
        save(LoadedImage(noise(4, 4, 3)), tmp_path / "out" / "a.png")
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_output_folder_without_permission(public_folder, unprivileged):
    public_folder.chmod(0o555)
    with unprivileged(), pytest.raises(AugDropError, match=r"a\.png.*Permission denied"):
        save(LoadedImage(noise(4, 4, 3)), public_folder / "a.png")
    assert list(public_folder.iterdir()) == []


def test_target_that_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(AugDropError, match=r"a\.png.*directory"):
        save(LoadedImage(noise(4, 4, 3)), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_limit_on_file_size_leaves_the_older_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(AugDropError, match=r"File too large; expected room for \d+ bytes"):
            save(LoadedImage(noise(64, 64, 3)), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"older"


def test_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot mount a small disk")
    try:
        save(LoadedImage(noise(8, 8, 3)), disk / "a.png")
        before = (disk / "a.png").read_bytes()
        with pytest.raises(AugDropError, match=r"No space left on device; expected room for .* Free some"):
            save(LoadedImage(noise(256, 256, 3)), disk / "a.png")
        assert [path.name for path in disk.iterdir()] == ["a.png"]
        assert (disk / "a.png").read_bytes() == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_interrupt_while_writing_leaves_nothing(tmp_path):
    """A timer raises KeyboardInterrupt at thirty moments, so that some fall in the middle of the write."""
    script = """
import signal, sys
import numpy as np
from augdrop.cli.images import LoadedImage, save
image = LoadedImage(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3)).astype(np.uint8))
saving = False
def interrupt(*_):
    if saving:  # a late alarm finds nothing to interrupt
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
for delay in np.linspace(0.001, 0.03, 30):
    try:
        saving = True
        signal.setitimer(signal.ITIMER_REAL, delay)
        save(image, sys.argv[1] + "/a.bmp")
        saving = False
    except KeyboardInterrupt:
        saving = False
    signal.setitimer(signal.ITIMER_REAL, 0)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert {path.name for path in tmp_path.iterdir()} <= {"a.bmp"}
    for path in tmp_path.iterdir():
        assert load(path).pixels.shape == (1500, 1500, 3)


def test_pillow_reads_what_save_writes(tmp_path):
    array = noise(12, 13, 3)
    save(LoadedImage(array), tmp_path / "a.png")
    assert np.array_equal(opened(tmp_path / "a.png", np.asarray), array)
