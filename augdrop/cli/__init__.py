"""The command ``augdrop``: regional dropout for folders of images."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import augdrop
from augdrop.cli import apply, doctor, list_methods, preview, replay
from augdrop.errors import AugDropError

_COMMANDS = (apply, preview, list_methods, replay, doctor)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each keeps its own part."""
    top = argparse.ArgumentParser(
        prog="augdrop",
        description="Drop regions from images, with plans that can be replayed.",
        epilog="To begin: augdrop preview photo.jpg; then: augdrop apply photos/ out/ --method GridMask",
    )
    top.add_argument("--version", action="version", version=f"augdrop {augdrop.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 if some files failed, 2 on an error, 130 on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(arguments)
    try:
        return given.run(given)
    except AugDropError as error:
        print(f"augdrop: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("augdrop: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
