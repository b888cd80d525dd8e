"""An output folder's records: ``settings.json``, a journal while a run lasts, and ``manifest.jsonl`` at its end."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from augdrop.cli.images import put
from augdrop.errors import fail

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

MANIFEST, SETTINGS, LABELS = "manifest.jsonl", "settings.json", "labels.csv"
JOURNAL = "manifest.partial.jsonl"
"""A line for each output as it gets done, in that order. Only what is in it, whole, counts as done after a crash."""

Record = dict[str, Any]
"""A line of the manifest: what was made from what, and its plan."""


def read_lines(path: Path) -> dict[str, Record]:
    """The records of a manifest or journal by their outputs; a last line that was cut off does not count."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")  # a file's name may be no UTF-8
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, error) from error
    records = {}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            record = json.loads(line)
            records[record["output"]] = record
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            fix = "Restore the file, or start anew with --overwrite."
            raise fail(
                f"'{path}', line {number}", got=repr(line[:60]), expected="a manifest's line", fix=fix
            ) from error
    return records


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What a folder was made with, or None where nothing was made."""
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(settings, dict) or settings.get("format") != "augdrop-apply":
        raise fail(
            f"'{path}'", got="something else", expected="the settings of a run", fix="Choose another output folder."
        )
    return settings


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Make a folder that of a run."""
    write_whole(folder / SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def _unreadable(path: Path, error: Exception) -> Exception:
    got = getattr(error, "strerror", None) or "no valid JSON"
    return fail(f"reading '{path}'", got=got, expected="a readable file", fix="Check its permissions, or restore it.")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusals into errors that name the path."""
    try:
        yield
    except OSError as error:
        fix = "Free some room, or choose another folder."
        got = error.strerror or str(error)
        raise fail(
            f"writing '{path}'", got=got, expected="a place with room that can be written to", fix=fix
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with writing(path):
        put(text.encode("utf-8", "surrogateescape"), path)


class Journal:
    """The outputs that are done, kept on disk from the first to the last; `finish` turns it into the manifest.

    Args:
        folder: the output folder; one run at a time may hold it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / JOURNAL
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = open(self.path, "ab")  # noqa: SIM115 (held as long as the run)
        _lock(self._file, folder)
        self.records = read_lines(folder / MANIFEST) | read_lines(self.path)
        with writing(self.path):
            whole = self.path.read_bytes().rfind(b"\n") + 1
            self._file.truncate(whole)  # a line that a crash cut off
            for leftover in folder.rglob(".augdrop-*.tmp"):
                leftover.unlink()

    def is_done(self, output: str) -> bool:
        """Was it made, and is it still there?"""
        return output in self.records and (self.folder / output).is_file()

    def add(self, record: Record) -> None:
        """Note an output that has been written."""
        with writing(self.path):
            self._file.write(_line(record).encode("utf-8", "surrogateescape"))
            self._file.flush()
        self.records[record["output"]] = record

    def close(self) -> None:
        """Let go of the folder; the run can be taken up again."""
        self._file.close()

    def finish(self) -> None:
        """Write the manifest and the labels, sorted by output, and take the journal away."""
        ordered = [self.records[name] for name in sorted(self.records)]
        write_whole(self.folder / MANIFEST, "".join(map(_line, ordered)))
        if any("label" in record for record in ordered):
            write_whole(self.folder / LABELS, _labels(ordered))
        self.close()
        self.path.unlink()


def done(folder: Path) -> set[str]:
    """The outputs that were made there, and still are."""
    records = read_lines(folder / MANIFEST) | read_lines(folder / JOURNAL)
    return {name for name in records if (folder / name).is_file()}


def forget(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    names = [*read_lines(folder / MANIFEST), *read_lines(folder / JOURNAL)]
    with writing(folder):
        for name in [*names, MANIFEST, JOURNAL, LABELS, SETTINGS]:
            if (folder / name).resolve().is_relative_to(folder.resolve()):
                (folder / name).unlink(missing_ok=True)


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _labels(records: list[Record]) -> str:
    """A row for each output and each of its classes; the weights of an output sum to 1."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["output", "class", "weight"])
    for record in records:
        for name, weight in record.get("soft_label", {record.get("label"): 1.0}).items():
            rows.writerow([record["output"], name, weight])
    return text.getvalue()


def _lock(file: IO[bytes], folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise fail(
            f"'{folder}'", got="another run at work there", expected="one at a time", fix="Wait for it."
        ) from None
    except OSError:  # some network file systems know no locks
        pass
