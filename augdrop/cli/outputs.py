"""What a run will write: each output's name, key, label and partner, settled before any pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from augdrop.cli.images import IMAGE_SUFFIXES
from augdrop.cli.listing import ImageFile
from augdrop.errors import fail
from augdrop.keys import key_of
from augdrop.pairing import dataset_partners
from augdrop.transforms.base import Transform

_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""


class Output(NamedTuple):
    """One file to write.

    ``key`` names it to the transform, whatever else is in the run. A replay has its ``record``.
    """

    name: str
    source: ImageFile
    copy: int
    key: int
    epoch: int
    partner: ImageFile | None = None
    record: dict[str, Any] | None = None


def key_for(name: str, copy: int) -> int:
    """The key of a copy of an image; the first copy's is that of the name, as in a training loop."""
    return key_of(name if copy == 0 else f"{name}#{copy}")


def outputs_of(
    files: Sequence[ImageFile], transform: Transform, copies: int = 1, epoch: int = 0, suffix: str | None = None
) -> list[Output]:
    """All outputs of a run, sorted as their sources are, copies in turn.

    A mix takes its partner from the whole list, by the output's key: neither the number of workers nor what is already
    done plays a part.
    """
    names = [_name(file.name, copy, copies, suffix) for file in files for copy in range(copies)]
    keys = [key_for(file.name, copy) for file in files for copy in range(copies)]
    sources = [file for file in files for _ in range(copies)]
    _check_distinct(names, sources)
    partners: list[ImageFile | None] = [None] * len(names)
    if transform.mixes and len(files) > 1:
        # Drawn among one less; those from the image itself on move up by one, so that it is never drawn.
        drawn = dataset_partners(transform.draws(len(keys), keys, epoch), len(files) - 1)
        own = np.arange(len(files)).repeat(copies)
        partners = [files[i] for i in drawn + (drawn >= own)]
    columns = zip(names, sources, keys, partners, strict=True)
    return [Output(n, s, i % copies, k, epoch, p) for i, (n, s, k, p) in enumerate(columns)]


def _name(name: str, copy: int, copies: int, suffix: str | None) -> str:
    stem, dot, own = name.rpartition(".")
    number = f"-{copy:0{len(str(copies - 1))}d}" if copies > 1 else ""
    return f"{stem}{number}.{suffix or own}"


def _check_distinct(names: list[str], sources: list[ImageFile]) -> None:
    first: dict[str, ImageFile] = {}
    for name, source in zip(names, sources, strict=True):
        # Folded: on some systems names that differ in case are one file.
        other = first.setdefault(name.casefold(), source)
        if other is not source:
            got = f"both from '{other.name}' and from '{source.name}'"
            fix = "Rename one, or drop --format if it makes their names equal."
            raise fail(f"output '{name}'", got=got, expected="one source for each output", fix=fix)


def classes_of(files: Sequence[ImageFile]) -> list[str]:
    """The class folders, sorted: the first folder of each name; none if any image lies outside of all folders."""
    folders = {file.name.split("/")[0] if "/" in file.name else "" for file in files}
    return [] if "" in folders else sorted(folders)


def label_of(name: str) -> str:
    """The class of an image that lies in a class folder."""
    return name.split("/")[0]


def check_one_size(files: Sequence[ImageFile]) -> None:
    """Images that are mixed must have one size; only their heads are read. What cannot be read is told later."""
    first: tuple[ImageFile, tuple[int, int]] | None = None
    for file in files:
        size = _upright_size(file)
        if size is None:
            continue
        first = first or (file, size)
        if size != first[1]:
            (h, w), (h0, w0) = size, first[1]
            got = f"{h0}×{w0} ('{first[0].name}') and {h}×{w} ('{file.name}')"
            raise fail("mixing", got=got, expected="images of one size", fix="Pass --size 224, say.")


def _upright_size(file: ImageFile) -> tuple[int, int] | None:
    try:
        with Image.open(file.path) as image:
            width, height = image.size
            return (width, height) if image.getexif().get(274) in _SIDEWAYS else (height, width)
    except Exception:  # damaged files raise almost anything
        return None


FORMATS = tuple(suffix[1:] for suffix in IMAGE_SUFFIXES)
"""What ``--format`` takes."""
