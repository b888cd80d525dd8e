"""``augdrop list``: the methods, their options, presets and papers."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import shutil
import textwrap
from typing import Any

from augdrop.fills import Fill
from augdrop.registry import METHODS, method
from augdrop.schedules import Ramp
from augdrop.transforms.base import Transform
from augdrop.transforms.options import valid_options


def add_to(commands: Any) -> None:
    """Add the command's part to the parser."""
    sub = commands.add_parser(
        "list", help="the methods, their options, presets and papers", description=(__doc__ or "").partition(": ")[2]
    )
    sub.add_argument("name", metavar="NAME", nargs="?", help="all about one method")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print them; always 0, for an unknown name is an error."""
    chosen = [method(given.name)] if given.name else list(METHODS.values())
    if given.json:
        facts = [_facts(cls) for cls in chosen]
        print(json.dumps(facts[0] if given.name else facts, indent=2, ensure_ascii=False))
    elif given.name:
        print(_details(chosen[0]))
    else:
        print("\n\n".join(_brief(cls) for cls in chosen))
        print("\nMore on one: augdrop list NAME. Use: augdrop apply SOURCE OUT --method NAME --set KEY=VALUE")
    return 0


def summary_of(cls: type[Transform]) -> str:
    """The first line of a method's documentation."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ").replace("``", "")


def _facts(cls: type[Transform]) -> dict[str, Any]:
    citation = cls.citation
    return {
        "name": cls.__name__,
        "summary": summary_of(cls),
        "parameters": {name: _plain(value) for name, value in _defaults(cls).items()},
        "presets": {name: {k: _plain(v) for k, v in values.items()} for name, values in cls.presets.items()},
        "citation": None if citation is None else citation._asdict(),
    }


def _defaults(cls: type[Transform]) -> dict[str, Any]:
    """All options; p is asked of a transform, for a method may have a default of its own."""
    return valid_options(cls) | {"p": getattr(cls(), "p", 1.0)}


def _plain(value: Any) -> Any:
    """A value as a recipe has it."""
    if isinstance(value, Ramp):
        return {"ramp": dataclasses.asdict(value)}
    if isinstance(value, Fill):
        fields = {f.name: v for f in dataclasses.fields(value) if (v := getattr(value, f.name)) != f.default}
        name = type(value).__name__.lower()
        return {name: fields} if fields else name
    return list(value) if isinstance(value, tuple) else value


def _brief(cls: type[Transform]) -> str:
    lines = [cls.__name__, *_wrapped(summary_of(cls))]
    own = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "options")]
    defaults = _defaults(cls)
    lines += _wrapped("Options: " + ", ".join(f"{name}={_shown(defaults[name])}" for name in own))
    if cls.presets:
        lines += _wrapped("Presets: " + ", ".join(cls.presets))
    return "\n".join([*lines, *_wrapped(f"Source: {cls.citation}")])


def _details(cls: type[Transform]) -> str:
    text = (inspect.getdoc(cls) or "").split("\n\nExample:")[0].replace("``", "")
    lines = [f"{cls.__name__}: {text}", "", "Options and their defaults:"]
    lines += [f"    {name}: {_shown(value)}" for name, value in _defaults(cls).items()]
    lines += ["", "Presets:", *(f"    {name}: {_preset(values)}" for name, values in cls.presets.items())]
    return "\n".join([*lines, "", "Source:", f"    {cls.citation}"])


def _preset(values: Any) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items()) or "the defaults"


def _shown(value: Any) -> str:
    """A value as ``--set`` takes it, but short."""
    plain = _plain(value)
    if isinstance(plain, list):
        return "[" + ", ".join(_shown(v) for v in plain) + "]"
    if isinstance(plain, float):
        return f"{plain:.4g}"
    return plain if isinstance(plain, str) else json.dumps(plain)


def _wrapped(text: str) -> list[str]:
    width = min(120, shutil.get_terminal_size().columns)
    return textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="        ")
