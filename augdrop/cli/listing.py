"""Which image files a command works on: those of a folder, of a text list, or one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from augdrop.cli.images import IMAGE_SUFFIXES
from augdrop.errors import fail


class ImageFile(NamedTuple):
    """One listed file: where it lies, and its name relative to the listing's root, with forward slashes."""

    path: Path
    name: str


def list_images(source: str | os.PathLike[str]) -> list[ImageFile]:
    """List the image files of a folder, of a text list, or the one file given, sorted by name.

    A folder is searched recursively, through links too; hidden entries are skipped, and so is a link to a
    folder that it lies in. A file without an image suffix is read as a UTF-8 list, one path a line, relative
    to the list's folder; empty lines, lines that begin with ``#`` and repeats are skipped. Names are relative
    to the list's folder, or, if some files lie elsewhere, to the nearest folder that holds them all.

    Raises:
        AugDropError: the source or a listed file is missing, unreadable or no image by its suffix, or no
            image file is found.
    """
    source = Path(source)
    try:
        if source.is_dir():
            found = [ImageFile(p, p.relative_to(source).as_posix()) for p in _walk(source, ()) if _is_image(p.name)]
        elif _is_image(source.name) and source.exists():
            found = [ImageFile(source, source.name)]
        else:
            found = _read_list(source)
    except OSError as error:
        at = error.filename or source
        fix = "Check the path and its permissions."
        raise fail(f"listing '{at}'", got=error.strerror, expected="a readable file or folder", fix=fix) from error
    except UnicodeDecodeError as error:
        expected = f"UTF-8 text, one path a line, or a file that ends in {', '.join(IMAGE_SUFFIXES)}"
        fix = "Pass a folder, an image or a text list."
        raise fail(f"listing '{source}'", got="a binary file", expected=expected, fix=fix) from error
    if not found:
        expected = f"files that end in {', '.join(IMAGE_SUFFIXES)}"
        fix = "Check the path; hidden files and folders are skipped."
        raise fail(f"listing '{source}'", got="no image file", expected=expected, fix=fix)
    return sorted(found, key=lambda file: file.name)


def left_out(source: Path) -> str:
    """The kinds of files in a folder that `list_images` does not list, such as ``2 .heic, 1 .txt``; else nothing."""
    if not source.is_dir():
        return ""
    kinds = Counter(path.suffix.lower() or path.name for path in _walk(source, ()) if not _is_image(path.name))
    shown = [f"{n} {kind}" for kind, n in kinds.most_common(5)]
    return ", ".join(shown + ["…"] * (len(kinds) > 5))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, (*above, identity))
            else:  # a dangling link, too: reading it tells what is wrong, skipping it would hide it
                yield folder / entry.name


def _read_list(source: Path) -> list[ImageFile]:
    root = Path(os.path.abspath(source.parent))
    paths: dict[Path, None] = {}  # a dict and not a list: a file named twice would be written twice
    for number, line in enumerate(source.read_text(encoding="utf-8-sig").split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        path = Path(os.path.abspath(root / line))
        if not _is_image(path.name) or not path.is_file():
            raise fail(
                f"listing '{source}', line {number}",
                got=repr(line[:200]),
                expected=f"an existing file that ends in {', '.join(IMAGE_SUFFIXES)}",
                fix=f"Give its path relative to '{root}' or in full, or take the line out.",
            )
        paths[path] = None
    if any(not path.is_relative_to(root) for path in paths):
        root = Path(os.path.commonpath([path.parent for path in paths]))
    return [ImageFile(path, path.relative_to(root).as_posix()) for path in paths]
