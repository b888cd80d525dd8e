"""Recipes: what to do to images, written in YAML or JSON, and the transform that it stands for.

A recipe is a method's name, a mapping of one method to its options, ``compose`` with a list of recipes (one after the
other), or ``oneof`` with a list of recipes (one of them for each output)::

    compose:
      - RandomErasing: {preset: torchvision, p: 0.5, fill: {noise: {distribution: normal}}}
      - oneof:
          weights: [2, 1]
          of: [GridMask, {HideAndSeek: {drop_ratio: 0.3}}]
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from augdrop.errors import AugDropError, fail, nearest
from augdrop.fills import NAMED, Fill, as_fill
from augdrop.registry import METHODS
from augdrop.schedules import Ramp
from augdrop.transforms.base import Transform
from augdrop.transforms.composition import Compose, OneOf
from augdrop.transforms.identity import Identity
from augdrop.transforms.options import valid_options

_NAMES = {**METHODS, "Identity": Identity}
_FOR_TRAINING = (
    *("annotations", "extractor", "labels_getter", "multi_label"),
    *("num_classes", "objects", "per", "per_frame", "targets"),
)
"""Options without a meaning for files: each output is a batch of its own, and classes are folders."""

Recipe = dict[str, Any] | str


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file: ``.json``, or YAML without tags that would run code."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or "a binary file"
        raise fail(f"recipe '{path}'", got=got, expected="a readable text file", fix="Check the path.") from error
    return parse(text, f"recipe '{path}'", as_json=path.suffix.lower() == ".json")


def parse(text: str, where: str, as_json: bool = False) -> Any:
    """A value from YAML or JSON text; YAML's tags build nothing but plain values."""
    try:
        return json.loads(text) if as_json else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        kind = "JSON" if as_json else "YAML"
        got = " ".join(str(error).split())
        raise fail(
            where, got=got, expected=f"plain {kind}", fix="Tags, anchors to nothing and tabs are refused."
        ) from None


def from_options(method: str, preset: str | None, settings: Iterable[str]) -> Recipe:
    """The recipe of ``--method NAME --preset NAME --set key=value ...``."""
    options: dict[str, Any] = {} if preset is None else {"preset": preset}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise fail("--set", got=repr(setting), expected="key=value", fix="For example: --set p=0.5")
        options[key.strip()] = parse(value, f"--set {key}")
    return {method: options}


def build(recipe: Any, seed: int | None = None, where: str = "recipe") -> Transform:
    """The transform that a recipe stands for.

    Raises:
        AugDropError: an unknown method, preset or option (the nearest valid one is named), or a value out of range.
    """
    if isinstance(recipe, str):
        recipe = {recipe: {}}
    if not isinstance(recipe, dict) or len(recipe) != 1:
        got = f"{len(recipe)} entries ({', '.join(map(str, recipe))})" if isinstance(recipe, dict) else repr(recipe)
        fix = "Several methods go into a list: compose: [A, B], or oneof: [A, B]."
        raise fail(where, got=got, expected="one method, compose or oneof", fix=fix)
    [(name, body)] = recipe.items()
    if name == "compose":
        return Compose(_members(body, f"{where}: compose"), seed=seed)
    if name == "oneof":
        return _one_of(body, seed, f"{where}: oneof")
    if name not in _NAMES:
        fix = nearest(str(name), [*_NAMES, "compose", "oneof"])
        raise fail(where, got=repr(name), expected="a method, compose or oneof", fix=fix)
    return _method(_NAMES[name], {} if body is None else body, seed)


def _members(body: Any, where: str) -> list[Transform]:
    if not isinstance(body, list) or not body:
        raise fail(
            where, got=repr(body), expected="a list of recipes", fix="Write [RandomErasing, {GridMask: {p: 0.5}}]."
        )
    return [build(member, None, f"{where}[{i}]") for i, member in enumerate(body)]


def _one_of(body: Any, seed: int | None, where: str) -> OneOf:
    if isinstance(body, list):
        body = {"of": body}
    if not isinstance(body, dict) or "of" not in body:
        raise fail(where, got=repr(body), expected="a list of recipes", fix="Write {weights: [2, 1], of: [A, B]}.")
    for key in body.keys() - {"of", "weights"}:
        raise fail(where, got=repr(key), expected="weights and of", fix=nearest(str(key), ["weights", "of"]))
    return OneOf(_members(body["of"], where), body.get("weights"), seed=seed)


def _method(cls: type[Transform], body: Any, seed: int | None) -> Transform:
    name = cls.__name__
    if not isinstance(body, dict):
        raise fail(name, got=repr(body), expected="its options", fix=f"Write {name}: {{p: 0.5}}, or {name} alone.")
    options, preset = dict(body), body.get("preset")
    options.pop("preset", None)
    valid = [key for key in valid_options(cls) if key not in _FOR_TRAINING]
    for key, value in options.items():
        if key in _FOR_TRAINING:
            fix = "It is for training loops; here each output is a batch of its own, and classes are folders."
            raise fail(
                f"{name}: {key}", got="an option without a meaning for files", expected=", ".join(valid), fix=fix
            )
        if key not in valid:
            fix = nearest(str(key), [*valid, "preset"])
            raise fail(f"{name}: {key}", got="an unknown option", expected="a known one", fix=fix)
        if key == "fill":
            options[key] = _fill(value, f"{name}: fill")
        elif key == "p" and isinstance(value, dict):
            options[key] = _ramp(value, f"{name}: p")
    if seed is not None:
        options.setdefault("seed", seed)
    try:
        return cls(**options) if preset is None else cls.preset(preset, **options)
    except AugDropError:
        raise
    except (TypeError, ValueError) as error:  # a list where a number is meant, and the like
        raise fail(
            name, got=f"{body} ({error})", expected="values of the right kind", fix=f"See: augdrop list {name}"
        ) from None


def _fill(value: Any, where: str) -> Fill:
    """A fill by name, number, list, or ``{name: {field: value}}`` of a named fill with some fields changed."""
    if isinstance(value, str) and value not in NAMED:
        raise fail(where, got=repr(value), expected="a level, [r, g, b], or a name", fix=nearest(value, NAMED))
    if not isinstance(value, dict):
        return as_fill(value)
    if len(value) != 1:
        raise fail(where, got=repr(value), expected="one fill", fix="Write {noise: {distribution: normal}}.")
    [(name, fields)] = value.items()
    if name not in NAMED:
        raise fail(where, got=repr(name), expected="a fill", fix=nearest(str(name), NAMED))
    start = {f.name: getattr(NAMED[name], f.name) for f in dataclasses.fields(NAMED[name])}
    return _dataclass(type(NAMED[name]), fields, f"{where}: {name}", start)


def _ramp(value: dict[str, Any], where: str) -> Ramp:
    """A schedule of p, ``{ramp: {stop: 0.8, epochs: 240}}`` or without the word."""
    if len(value) == 1 and isinstance(next(iter(value.values())), dict) and "ramp" not in value:
        raise fail(
            where,
            got=repr(next(iter(value))),
            expected="a number or a ramp",
            fix="Write {ramp: {stop: 0.8, epochs: 240}}.",
        )
    return _dataclass(Ramp, value.get("ramp", value), where)


def _dataclass(cls: type, fields: Any, where: str, start: dict[str, Any] | None = None) -> Any:
    names = [f.name for f in dataclasses.fields(cls)]
    if not isinstance(fields, dict):
        raise fail(where, got=repr(fields), expected=f"a mapping of {', '.join(names)}", fix="Write {name: value}.")
    for key in fields.keys() - set(names):
        raise fail(where, got=repr(key), expected="a known key", fix=nearest(str(key), names))
    try:
        return cls(**(start or {}) | fields)
    except TypeError as error:
        raise fail(where, got=f"{fields} ({error})", expected=f"values for {', '.join(names)}", fix="") from None
