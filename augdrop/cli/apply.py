"""``augdrop apply``: images in, images with dropped regions out."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import augdrop
from augdrop.cli.images import IMAGE_SUFFIXES, LoadedImage
from augdrop.cli.listing import ImageFile, left_out, list_images
from augdrop.cli.manifest import MANIFEST, Journal, done, forget, read_settings, write_settings
from augdrop.cli.outputs import FORMATS, Output, check_one_size, classes_of, outputs_of
from augdrop.cli.pool import default_workers, each
from augdrop.cli.recipe import Recipe, build, from_options, read_recipe
from augdrop.cli.worker import Skipped, Writer, batch, decide, leaves, paint
from augdrop.errors import AugDropError, fail, nearest
from augdrop.keys import EPOCHS
from augdrop.registry import METHODS
from augdrop.transforms.base import Transform

_EPILOG = """
Each output is keyed by its source's path below SOURCE and its copy's number, so the same command writes the same bytes
with any number of workers, and continues after an interruption. OUT gets the images in SOURCE's folders, manifest.jsonl
(a line for each image, with its plan), settings.json, and, if all images lie in class folders, labels.csv.
Numbers in fills are levels from 0 to 255, or shares of the range if they have a fraction, whatever a file's depth.
Methods that mix take a partner from anywhere in SOURCE. A recipe is a method, or a list of them, nested as you like:
compose: [{RandomErasing: {p: 0.5, fill: mean}}, {oneof: {weights: [2, 1], of: [GridMask, {CutMix: {preset: kornia}}]}}]
"""


def add_to(commands: Any) -> None:
    """Add the command's part to the parser."""
    sub = commands.add_parser(
        "apply",
        help="drop regions from a folder of images",
        description=(__doc__ or "").partition(": ")[2],
        epilog=_EPILOG,
    )
    sub.add_argument(
        "source", metavar="SOURCE", type=Path, help="a folder, an image, or a text file with a path a line"
    )
    sub.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--method", metavar="NAME", help="one method; see: augdrop list")
    what.add_argument("--recipe", metavar="FILE", type=Path, help="several, in YAML or JSON")
    sub.add_argument("--preset", metavar="NAME", help="a named set of the method's options")
    sub.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="an option of the method, in YAML; repeat"
    )
    sub.add_argument("--copies", metavar="N", type=whole(1), default=1, help="outputs for each image (1)")
    sub.add_argument(
        "--size", metavar=("H", "W"), type=whole(1), nargs="+", action=Size, help="scale and crop to H W, or N N"
    )
    sub.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    sub.add_argument(
        "--epoch", type=whole(0, EPOCHS - 1), default=0, help="other draws for the same files; ramps follow it (0)"
    )
    sub.add_argument("--format", choices=FORMATS, help="of the outputs; by default each source's own")
    sub.add_argument("--quality", type=whole(1, 100), metavar="1..100", default=95, help="of JPEG files (95)")
    sub.add_argument(
        "--workers", metavar="N", type=whole(1), help="processes; by default one a core if there is much to do"
    )
    sub.add_argument("--overwrite", action="store_true", help="start anew where OUT was made with other settings")
    sub.add_argument("--dry-run", action="store_true", help="print what would be written, and write nothing")
    sub.set_defaults(run=run)


class Size(argparse.Action):
    """``--size N`` or ``--size H W``."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if len(values) > 2:
            parser.error(f"{option_string}: one or two numbers, not {len(values)}")
        setattr(namespace, self.dest, (values[0], values[-1]))


def whole(least: int, most: int | None = None) -> Any:
    """The type of an argument that is a whole number."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is above {most}")
        return value

    return number


def run(given: argparse.Namespace) -> int:
    """Do as asked; 0 if every output is there, 1 if some sources were skipped."""
    recipe = _recipe(given)
    transform = build(recipe, given.seed)
    _try_out(transform)
    files = list_images(given.source)
    if others := left_out(given.source):
        print(f"augdrop: left out: {others}. Images are {', '.join(IMAGE_SUFFIXES)}.", file=sys.stderr)
    check_place(given.out, given.source)
    if transform.mixes and given.size is None:
        check_one_size(files)
    outputs = outputs_of(files, transform, given.copies, given.epoch, given.format)
    check_sources_safe(outputs, given.out)
    classes = classes_of(files)
    settings = _settings(given, recipe, files)
    if given.dry_run:
        if not given.overwrite:
            _check_free(given.out, settings)
        _describe(outputs, classes, transform, set() if given.overwrite else done(given.out))
        return 0
    _take_place(given.out, settings, given.overwrite)
    make = functools.partial(build, recipe, given.seed)
    writer = Writer(make, given.out, given.size, tuple(classes), given.quality)
    try:
        return write_all(writer, outputs, given.out, given.workers)
    except (AugDropError, KeyboardInterrupt):
        print("\naugdrop: stopped; what is written is whole, and the same command continues.", file=sys.stderr)
        raise


def write_all(writer: Any, outputs: Sequence[Output], out: Path, workers: int | None) -> int:
    """Make all outputs that are not there yet, and finish the manifest; the exit status."""
    journal = Journal(out)
    try:
        todo = [o for o in outputs if not journal.is_done(o.name)]
        jobs = [part for _, copies in itertools.groupby(todo, key=lambda o: o.source) for part in _parts(list(copies))]
        start, skipped = time.perf_counter(), 0
        workers = default_workers(len(todo)) if workers is None else min(workers, max(1, len(jobs)))
        with tqdm(total=len(outputs), initial=len(outputs) - len(todo), unit="img", disable=None) as bar:
            for results in each(writer, jobs, workers):
                for result in results:
                    if isinstance(result, Skipped):
                        if result.fatal:
                            raise AugDropError(result.why)
                        skipped += 1
                        tqdm.write(f"augdrop: skipped {result.name}: {result.why}", file=sys.stderr)
                    else:
                        journal.add(result)
                    bar.update()
        seconds = time.perf_counter() - start
        journal.finish()
    finally:
        journal.close()
    made, before = len(todo) - skipped, len(outputs) - len(todo)
    speed = (
        f" in {seconds:.1f} s, {made / seconds:.0f} images/s with {workers} worker{'s' * (workers > 1)}" if made else ""
    )
    print(f"{made} written{speed}; {before} were there; {skipped} skipped. See {out / MANIFEST}")
    return 1 if skipped else 0


def _parts(copies: list[Output]) -> Iterator[list[Output]]:
    """A source's copies share its reading, but not so many of them that an interruption loses much."""
    for start in range(0, len(copies), 16):
        yield copies[start : start + 16]


def _recipe(given: argparse.Namespace) -> Recipe:
    if given.recipe is not None:
        if given.set or given.preset:
            raise fail(
                "--recipe", got="--set or --preset as well", expected="one of them", fix="Put them into the recipe."
            )
        return read_recipe(given.recipe)
    if given.method not in METHODS:
        raise fail("--method", got=repr(given.method), expected="a method", fix=nearest(given.method, METHODS))
    return from_options(given.method, given.preset, given.set)


def _try_out(transform: Transform) -> None:
    """Paint a small image with every member: what fails there, four colours say, would fail for every file.

    It compiles the kernels, too, before workers would do so all at once.
    """
    image = LoadedImage(np.zeros((32, 32, 3), np.uint8))
    partner = batch(image.pixels)
    for plan in leaves(decide(transform, image, partner, 0, 0)):
        paint(image, dataclasses.replace(plan, hit=torch.ones(1, dtype=torch.bool)), partner)


def check_place(out: Path, source: Path) -> None:
    """An output folder within the source would be its own input the next time."""
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        got = "the source itself" if out.resolve() == source.resolve() else f"a folder inside the source '{source}'"
        raise fail(f"output folder '{out}'", got=got, expected="another place", fix="Choose a folder beside it.")
    if out.exists() and not out.is_dir():
        raise fail(f"output folder '{out}'", got="a file", expected="a folder", fix="Choose another name.")


def check_sources_safe(outputs: Sequence[Output], out: Path) -> None:
    """No output may take the place of a source."""
    sources, folder = {os.path.realpath(o.source.path) for o in outputs}, os.path.realpath(out)
    for output in outputs:
        if os.path.join(folder, output.name) in sources:
            fix = "Choose another output folder."
            raise fail(f"output '{output.name}'", got="the place of a source", expected="a new place", fix=fix)


def _settings(given: argparse.Namespace, recipe: Recipe, files: Sequence[ImageFile]) -> dict[str, Any]:
    """All that decides what is written. Names and sizes stand for the sources: partners depend on the whole list."""
    digest = hashlib.sha256()
    for file in files:
        size = file.path.stat().st_size if file.path.exists() else -1
        digest.update(f"{file.name}\0{size}\0".encode("utf-8", "surrogateescape"))
    return {
        "format": "augdrop-apply",
        "augdrop": augdrop.__version__,
        # The root that names are relative to; where it lies is no setting, so that folders can be moved.
        "source": os.path.abspath(files[0].path)[: -len(files[0].name)],
        "sources": {"count": len(files), "sha256": digest.hexdigest()},
        "recipe": recipe,
        "seed": given.seed,
        "epoch": given.epoch,
        "copies": given.copies,
        "size": None if given.size is None else list(given.size),
        "image_format": given.format,
        "quality": given.quality,
    }


def _take_place(out: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Make the output folder this run's, or find that it is already."""
    if overwrite:
        forget(out)
    else:
        _check_free(out, settings)
    if read_settings(out) != settings:
        write_settings(out, settings)


def _check_free(out: Path, settings: dict[str, Any]) -> None:
    """Raise unless a folder is new or empty, or a run with these settings has begun there."""
    earlier = read_settings(out)
    if earlier is None:
        if out.is_dir() and any(out.iterdir()):
            fix = "Choose an empty folder, or pass --overwrite."
            raise fail(
                f"output folder '{out}'", got="files of another origin", expected="an empty or new folder", fix=fix
            )
    else:
        changed = [k for k in settings if k != "source" and earlier.get(k) != settings[k]]
        if changed:
            got = "a run with other " + ", ".join({"sources": "source files"}.get(k, k) for k in changed)
            fix = "Choose another folder, or pass --overwrite to start anew."
            raise fail(f"output folder '{out}'", got=got, expected="the same settings to continue", fix=fix)


def _describe(outputs: Sequence[Output], classes: Sequence[str], transform: Transform, there: set[str]) -> None:
    todo = [output for output in outputs if output.name not in there]
    for output in todo:
        print(f"{output.source.name} -> {output.name}" + (f" with {output.partner.name}" if output.partner else ""))
    labels = f"{len(classes)} classes by folder" if classes else "no class folders"
    name = type(transform).__name__
    before = f"; {len(outputs) - len(todo)} are there" if there else ""
    print(f"{len(todo)} images would be written by {name}{before}; {labels}. Nothing was written.")
