"""``augdrop list``: the methods, their options, presets and papers."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from augdrop.citation import Citation
from augdrop.errors import fail, nearest
from augdrop.fills import Fill
from augdrop.registry import METHODS
from augdrop.schedules import Ramp
from augdrop.tokens import registry as tokens
from augdrop.transforms.base import Transform
from augdrop.transforms.options import valid_options

Method = Callable[..., Any]
"""A class of either registry; of those for tokens one is a function."""

NEEDED = "(needed)"
"""Stands where an option has no default."""

SHARED = ("options", "seed")
"""Options that all methods have; those of all selectors are ``prefix``, ``grid`` and ``width`` besides."""


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
    everything = METHODS | tokens.METHODS
    if given.name and given.name not in everything:
        raise fail("method", got=repr(given.name), expected="a method", fix=nearest(given.name, everything))
    if given.json:
        facts = [_facts(everything[name]) for name in ([given.name] if given.name else everything)]
        print(json.dumps(facts[0] if given.name else facts, indent=2, ensure_ascii=False))
    elif given.name:
        print(_details(everything[given.name]))
    else:
        print("\n\n".join(_brief(cls) for cls in METHODS.values()))
        print("\nUse: augdrop apply SOURCE OUT --method NAME --set KEY=VALUE")
        print("\nFor the tokens of vision transformers, in Python: augdrop.tokens\n")
        print("\n\n".join(_brief(cls) for cls in tokens.METHODS.values()))
        print("\nMore on one: augdrop list NAME. See what they keep: augdrop preview PICTURE --tokens")
    return 0


def summary_of(cls: Method) -> str:
    """The first line of a method's documentation."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")


def _facts(cls: Method) -> dict[str, Any]:
    citation = _citation(cls)
    return {
        "name": cls.__name__,
        "drops": "tokens" if cls.__name__ in tokens.METHODS else "regions",
        "summary": summary_of(cls),
        "parameters": {name: _plain(value) for name, value in _defaults(cls).items()},
        "presets": {name: {k: _plain(v) for k, v in values.items()} for name, values in _presets(cls).items()},
        "citation": None if citation is None else citation._asdict(),
    }


def _defaults(cls: Method) -> dict[str, Any]:
    """All options; p is asked of a transform, for a method may have a default of its own."""
    if isinstance(cls, type) and issubclass(cls, Transform):
        return valid_options(cls) | {"p": getattr(cls(), "p", 1.0)}
    return {
        name: NEEDED if p.default is p.empty else p.default for name, p in inspect.signature(cls).parameters.items()
    }


def _presets(cls: Method) -> Mapping[str, Mapping[str, Any]]:
    return getattr(cls, "presets", {})


def _citation(cls: Method) -> Citation | None:
    return tokens.citation_of(cls.__name__) if cls.__name__ in tokens.METHODS else METHODS[cls.__name__].citation


def _plain(value: Any) -> Any:
    """A value as a recipe has it."""
    if isinstance(value, Ramp):
        return {"ramp": dataclasses.asdict(value)}
    if isinstance(value, Fill):
        fields = {f.name: v for f in dataclasses.fields(value) if (v := getattr(value, f.name)) != f.default}
        name = type(value).__name__.lower()
        return {name: fields} if fields else name
    if dataclasses.is_dataclass(value):
        return repr(value)  # a budget, of which there is no other word
    return list(value) if isinstance(value, tuple) else value


def _brief(cls: Method) -> str:
    lines, defaults = [cls.__name__, *_wrapped(summary_of(cls))], _defaults(cls)
    shared = (*SHARED, "prefix", "grid", "width") if cls.__name__ in tokens.SELECTORS else SHARED
    own = [name for name in inspect.signature(cls).parameters if name not in shared]
    lines += _wrapped("Options: " + ", ".join(f"{name}={_shown(defaults[name])}" for name in own))
    if presets := _presets(cls):
        lines += _wrapped("Presets: " + ", ".join(presets))
    source = _citation(cls)
    return "\n".join([*lines, *(_wrapped(f"Source: {source}") if source else ())])


def _details(cls: Method) -> str:
    text = (inspect.getdoc(cls) or "").split("\n\nExample:")[0].replace("``", "")
    lines = [f"{cls.__name__}: {text}", "", "Options and their defaults:"]
    lines += [f"    {name}: {_shown(value)}" for name, value in _defaults(cls).items()]
    if _presets(cls):
        lines += ["", "Presets:", *(f"    {name}: {_preset(values)}" for name, values in _presets(cls).items())]
    return "\n".join([*lines, "", "Source:", f"    {_citation(cls) or 'this package'}"])


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
