"""``augdrop replay``: the images of a manifest again, bit for bit, from their sources."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from augdrop.cli.apply import check_place, check_sources_safe, whole, write_all
from augdrop.cli.images import LoadedImage, save
from augdrop.cli.listing import ImageFile
from augdrop.cli.manifest import MANIFEST, Record, read_lines, read_settings
from augdrop.cli.match import fit
from augdrop.cli.outputs import Output
from augdrop.cli.worker import Skipped, matched, own_share, paint, read, skipped
from augdrop.errors import AugDropError, fail
from augdrop.plans import plan_from_dict

_KINDS = {
    **{"output": str, "source": str, "source_sha256": str, "copy": int, "key": int, "epoch": int, "plan": dict},
    **{"partner": (str, NoneType), "partner_sha256": (str, NoneType), "quality": int},
}
"""What a line of a manifest has to say, and in what kind; it may come from elsewhere."""

_EPILOG = """
The plans in the manifest are all it takes: no random number is drawn, so a later version, with other defaults, replays
it too. A manifest may be cut down to some of its lines. A source that has changed since is skipped and reported.
"""


def add_to(commands: Any) -> None:
    """Add the command's part to the parser."""
    sub = commands.add_parser(
        "replay",
        help="make the images of a manifest again",
        description=(__doc__ or "").partition(": ")[2],
        epilog=_EPILOG,
    )
    sub.add_argument("manifest", metavar="MANIFEST", type=Path, help="a manifest, or the folder that it lies in")
    sub.add_argument("out", metavar="OUT", type=Path, help="the folder to write, new or empty")
    sub.add_argument("--source", metavar="FOLDER", type=Path, help="where the sources are; by default where they were")
    sub.add_argument("--only", metavar="PATTERN", action="append", help="outputs to make, 'cats/*' say; repeat")
    sub.add_argument(
        "--workers", metavar="N", type=whole(1), help="processes; by default one a core if there is much to do"
    )
    sub.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Do as asked; 0 if every image is there, 1 if some were skipped."""
    manifest: Path = given.manifest / MANIFEST if given.manifest.is_dir() else given.manifest
    if not manifest.exists():
        fix = "Give the folder that augdrop apply wrote."
        raise fail(f"manifest '{manifest}'", got="nothing there", expected="a manifest", fix=fix)
    records = [r for r in read_lines(manifest).values() if not given.only or _wanted(r["output"], given.only)]
    if not records:
        got = f"no line for {', '.join(given.only)}" if given.only else "no line"
        raise fail(
            f"manifest '{manifest}'",
            got=got,
            expected="one or more",
            fix="Patterns are matched with whole output names.",
        )
    root = given.source or _source_of(manifest)
    check_place(given.out, root)
    if given.out.is_dir() and any(given.out.iterdir()):
        raise fail(
            f"output folder '{given.out}'", got="files in it", expected="an empty or new folder", fix="Choose another."
        )
    outputs = [_output(record, root, manifest) for record in records]
    check_sources_safe(outputs, given.out)
    return write_all(Replayer(given.out), outputs, given.out, given.workers)


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _source_of(manifest: Path) -> Path:
    settings = read_settings(manifest.parent)
    if settings is None:
        got = f"no settings.json beside '{manifest}'"
        raise fail("--source", got=got, expected="the folder of the sources", fix="Pass --source FOLDER.")
    return Path(settings["source"])


def _output(record: Record, root: Path, manifest: Path) -> Output:
    for key, kind in _KINDS.items():
        if not isinstance(record.get(key), kind):
            got = f"{key} = {str(record.get(key))[:40]!r}" if key in record else f"a line without {key!r}"
            fix = "Give a manifest that augdrop apply wrote."
            raise fail(f"'{manifest}'", got=got, expected="whole lines", fix=fix)
    name, source, partner = record["output"], record["source"], record.get("partner")
    if not all(_stays_below(n) for n in (name, source, partner or source)):
        raise fail(f"'{manifest}'", got=f"a way out of the folder, for '{name}'", expected="names below it", fix="")
    theirs = ImageFile(root / partner, partner) if partner else None
    return Output(
        name, ImageFile(root / source, source), record["copy"], record["key"], record["epoch"], theirs, record
    )


def _stays_below(name: str) -> bool:
    """A manifest may come from elsewhere: its names must not lead to other places of this machine."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts


@dataclasses.dataclass(frozen=True)
class Replayer:
    """Makes the outputs of one source again; see `augdrop.cli.worker.Writer`."""

    out: Path

    def __call__(self, outputs: Sequence[Output]) -> list[Record | Skipped]:
        return [self._one(output, output.record or {}) for output in outputs]

    def _one(self, output: Output, record: Record) -> Record | Skipped:
        try:
            plan = plan_from_dict(record["plan"])
            image, partner = _unchanged(output.source, record["source_sha256"], plan.size), None
            if output.partner is not None:
                other = _unchanged(output.partner, record["partner_sha256"], plan.size)
                partner = matched(other, image, output)
            elif own_share(plan) < 1:
                got, fix = "no partner, but a plan that pastes one", "Give a manifest that augdrop apply wrote."
                raise fail(f"'{output.name}'", got=got, expected="whole lines", fix=fix)
            save(paint(image, plan, partner), self.out / output.name, quality=record["quality"])
        except AugDropError as error:
            return skipped(output.name, error)
        return record


def _unchanged(file: ImageFile, digest: str, size: tuple[int, int]) -> LoadedImage:
    image, found = read(file, None)
    if found != digest:
        got = f"another file than in the manifest (SHA-256 {found[:12]}…)"
        raise fail(f"source '{file.path}'", got=got, expected=f"{digest[:12]}…", fix="Restore it, or pass --source.")
    return fit(image, size)
