"""Image files for the command line: read as arrays, and written back whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from augdrop.errors import AugDropError, fail

_JPEG: tuple[str, dict[str, Any]] = ("JPEG", {"subsampling": 0})
# Uncompressed: libtiff, which compresses, fails on EXIF's nested tables; Pillow's own writer does not.
_TIFF: tuple[str, dict[str, Any]] = ("TIFF", {})
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".bmp": ("BMP", {}),
    ".jpeg": _JPEG,
    ".jpg": _JPEG,
    ".png": ("PNG", {}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    # exact: else WebP forgets the colours under full transparency, and is not lossless.
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
}
_READABLE = sorted({kind for kind, _ in _FORMATS.values()})
_SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N", "I")

# EXIF shares its tags with TIFF. What tells how the source file laid out its pixels must not reach another,
# nor may what was true of the source alone: its orientation, its thumbnail, XMP's copy of both, the profile.
_LAYOUT_TAGS = (*range(254, 269), *range(273, 282), 284, 317, *range(320, 348), *range(512, 533), 700, 34675)

IMAGE_SUFFIXES = tuple(_FORMATS)
"""Suffixes of the files that are listed and written: lower case here, any case in a file's name."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """One image in memory; put changed pixels in with ``dataclasses.replace(image, pixels=...)``.

    Attributes:
        pixels: ``[H, W, C]`` with C = 1 (grey) or 3 (RGB), contiguous and writable; uint8, or int32 for
            16-bit values (torch computes little in uint16).
        alpha: uint8 ``[H, W]`` or None; apart, so that what changes colours leaves transparency as it was.
        bits: 8 or 16; values lie in ``[0, 2**bits - 1]`` whatever the dtype.
        icc_profile: the embedded colour profile.
        exif: the EXIF block, less the orientation (already applied to the pixels) and the thumbnail.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    icc_profile: bytes | None = None
    exif: bytes | None = None


def load(path: str | os.PathLike[str]) -> LoadedImage:
    """Read a PNG, JPEG, TIFF, BMP or WebP file, whatever its suffix, upright.

    Bilevel becomes grey; palette, CMYK and YCbCr become RGB; a transparent colour becomes alpha. A CMYK
    file's colour profile does not describe RGB and is dropped, as is EXIF that cannot be parsed (the image is
    then taken as it lies).

    Raises:
        AugDropError: the file is missing, empty, no image, damaged, larger than twice Pillow's
            ``MAX_IMAGE_PIXELS``, holds several frames, or has more depth than can be kept (16-bit
            colour, floats).
    """
    where = f"reading '{path}'"
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise fail(where, got="a folder or device", expected="a file", fix="Leave it out.")
        if status.st_size == 0:
            raise fail(where, got="an empty file", expected="an image", fix="Replace it or leave it out.")
        with open(path, "rb") as stream, Image.open(stream, formats=_READABLE) as image:
            return _to_arrays(image, where)
    except AugDropError:
        raise
    except UnidentifiedImageError as error:
        with open(path, "rb") as stream:
            got = f"a file that begins with {stream.read(12)!r}"
        fix = "Convert it to one of these, or leave it out."
        raise fail(where, got=got, expected=f"one of {', '.join(_READABLE)}", fix=fix) from error
    except Image.DecompressionBombError as error:
        got = f"a claim of absurd size ({error})"
        fix = "Cut a large image into tiles; leave out one that is none."
        raise fail(where, got=got, expected="an image that fits in memory", fix=fix) from error
    except Exception as error:  # damaged files raise almost anything from inside Pillow's parsers
        if isinstance(error, OSError) and error.errno:  # the system's own errors; Pillow sets no errno
            fix = "Check the path and its permissions."
            raise fail(where, got=error.strerror, expected="a readable file", fix=fix) from error
        got = f"a truncated or damaged file ({type(error).__name__}: {error})"
        fix = "Fetch or export it again, or leave it out."
        raise fail(where, got=got, expected="a complete image", fix=fix) from error


def _to_arrays(image: Image.Image, where: str) -> LoadedImage:
    # A photograph's MPO holds a preview beside the image; elsewhere further frames would be lost unsaid.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        fix = "Split it into single images first."
        raise fail(where, got=f"{frames} frames or pages", expected="one", fix=fix)
    too_deep = {
        "expected": "8-bit grey or colour, or 16-bit grey without transparency",
        "fix": "Convert it first; here its lower bits would be lost unsaid.",
    }
    sixteen = image.mode in _SIXTEEN
    # Pillow cuts 16-bit colour down to 8 bits without a word: only the raw mode and TIFF's tag still tell.
    depth = np.max(getattr(image, "tag_v2", {}).get(Base.BitsPerSample, 8))
    deep = depth > 8 or re.search(r";16[BLN]", str(getattr(image, "tile", ""))) is not None
    if (deep and not sixteen) or (sixteen and image.has_transparency_data):
        raise fail(where, got=f"{image.mode} pixels of more than 8 bits a channel", **too_deep)

    image.load()
    exif = _make_upright(image)
    profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
    if sixteen:
        values = np.asarray(image).astype(np.int32)[..., None]
        if values.min() < 0 or values.max() > 0xFFFF:
            raise fail(where, got=f"values from {values.min()} to {values.max()}", **too_deep)
        return LoadedImage(values, None, 16, profile, exif)
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")
    values = np.atleast_3d(np.array(image if image.mode == mode else image.convert(mode)))
    if mode.endswith("A"):
        return LoadedImage(values[..., :-1].copy(), values[..., -1].copy(), 8, profile, exif)
    return LoadedImage(values, None, 8, profile, exif)


def _make_upright(image: Image.Image) -> bytes | None:
    """Turn the image as its EXIF says, in place, and return the EXIF that still holds."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        exif = image.getexif()
        for tag in _LAYOUT_TAGS:
            exif.pop(tag, None)
        return exif.tobytes() if len(exif) else None
    except Exception:  # a camera's malformed EXIF is no reason to refuse sound pixels
        return None


def save(image: LoadedImage, path: str | os.PathLike[str], *, quality: int = 95) -> None:
    """Write an image in the format of the path's suffix, making its folder; equal images give equal bytes.

    PNG, TIFF, BMP and WebP are lossless (WebP stores grey as RGB); JPEG takes ``quality`` (1 to 100) and
    keeps full colour resolution. BMP has no room for profile and EXIF. The file appears whole or not at all:
    it is written beside its place under a hidden name and then moved there, over an older file too.

    Raises:
        AugDropError: the suffix names no format, the format cannot hold alpha, 16 bits or these values, or
            the file cannot be written (disk full, no permission).
    """
    path, where = Path(path), f"writing '{path}'"
    data = _encode(image, path.suffix.lower(), quality, where)
    try:
        put(data, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            expected, fix = f"room for {len(data)} bytes", "Free some, or choose another output folder."
        else:
            expected, fix = "a place that can be written to", "Check it, or choose another output folder."
        raise fail(where, got=error.strerror, expected=expected, fix=fix) from error


def put(data: bytes, path: Path) -> None:
    """Write a file whole or not at all, making its folder."""
    # A short name of its own: one made from the target's could pass the limit on a name's length.
    temporary = path.parent / f".augdrop-{uuid.uuid4().hex}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _encode(image: LoadedImage, suffix: str, quality: int, where: str) -> bytes:
    if suffix not in _FORMATS:
        expected = f"one of {', '.join(IMAGE_SUFFIXES)}"
        raise fail(where, got=f"suffix {suffix!r}", expected=expected, fix="Choose another file name.")
    kind, options = _FORMATS[suffix]
    pixels, sixteen, lossless = image.pixels, image.bits == 16, "Write it as .png or .tif."
    if (sixteen and kind not in ("PNG", "TIFF")) or (image.alpha is not None and kind in ("JPEG", "BMP")):
        got = "16-bit pixels" if sixteen else "transparency"
        raise fail(where, got=got, expected=f"what {kind} can hold", fix=lossless)
    if sixteen:
        if pixels.min() < 0 or pixels.max() > 0xFFFF:
            got = f"values from {pixels.min()} to {pixels.max()}"
            raise fail(where, got=got, expected="0 to 65535 (16 bits)", fix="Choose a fill in that range.")
        pixels = pixels.astype(np.uint16)
    if image.alpha is not None:
        pixels = np.concatenate([pixels, image.alpha[..., None]], axis=-1)
    metadata = {"icc_profile": image.icc_profile, "exif": image.exif}
    options = options | {name: block for name, block in metadata.items() if block}
    if kind == "JPEG":
        options["quality"] = quality
    # Into memory first, so that what a format refuses and what a disk refuses cannot be taken for each other.
    stream = io.BytesIO()
    try:
        single = np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        Image.fromarray(single).save(stream, kind, **options)
    except (OSError, ValueError) as error:
        got = f"{pixels.shape[1]}×{pixels.shape[0]} pixels that {kind} refused ({error})"
        raise fail(where, got=got, expected="an image within the format's limits", fix=lossless) from error
    return stream.getvalue()
