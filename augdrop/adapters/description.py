"""Descriptions: a transform as plain data (that JSON holds, if its arguments allow), and made again from it."""

from __future__ import annotations

import json
from typing import Any

from augdrop import regions
from augdrop.annotations import Policy
from augdrop.errors import AugDropError, fail, nearest
from augdrop.plan import KINDS
from augdrop.schedules import Ramp
from augdrop.serialize import decode, encode
from augdrop.transforms.base import Transform
from augdrop.transforms.composition import Compose, OneOf


def describe(transform: Transform) -> dict[str, Any]:
    """``{class: arguments}``, the seed and the members of a composition among them; `rebuild` reads it.

    Functions, networks and a user's own samplers and fills stay as they are: `rebuild` takes them, JSON does not.

    Example:
        >>> import augdrop as ad
        >>> describe(ad.OneOf([ad.Cutout(8), ad.Identity()], weights=[2, 1], seed=3))
        {'OneOf': {'weights': [2, 1], 'seed': 3, 'transforms': [{'Cutout': {'length': 8}}, {'Identity': {}}]}}
    """
    return {_name(type(transform)): _arguments(transform) | {"seed": transform.seed} | _members(transform)}


def rebuild(description: Any) -> Transform:
    """The transform that was described: the same drops for the same keys.

    Only transforms are built that the running program has: AugDrop's, and the user's own once they are imported.
    """
    if not isinstance(description, dict) or len(description) != 1:
        got = str(description)[:60]
        raise fail("transform", got=got, expected="a description {class: arguments}", fix="See describe.")
    [(name, arguments)] = description.items()
    known = {_name(cls): cls for cls in _subclasses(Transform)}
    if name not in known or not isinstance(arguments, dict):
        fix = f"Import your own before you load them. {nearest(str(name), known)}"
        raise fail("transform", got=repr(name), expected="a transform", fix=fix)
    given = {key: decode(value, _kinds()) for key, value in arguments.items() if key != "transforms"}
    if "transforms" in arguments:
        given["transforms"] = [rebuild(member) for member in arguments["transforms"]]
    return known[name](**given)


def _members(transform: Transform) -> dict[str, Any]:
    if not isinstance(transform, (Compose, OneOf)):
        return {}
    parts = []
    for member in transform.members:
        # A member follows the composition's seed, unless it was given one.
        seed = {"seed": member.seed} if member._seed_given else {}
        parts.append({_name(type(member)): _arguments(member) | seed | _members(member)})
    return {"transforms": parts}


def _arguments(transform: Transform) -> dict[str, Any]:
    return {name: _plain(v) for name, v in transform.arguments.items() if name not in ("seed", "transforms")}


def _plain(value: Any) -> Any:
    try:
        plain = encode(value)
        json.dumps(plain)
        decode(plain, _kinds())
    except (TypeError, AugDropError):
        return value
    return plain


def _kinds() -> dict[str, type]:
    """The dataclasses that a description may name."""
    samplers = [getattr(regions, name) for name in regions.__all__]
    return {cls.__name__: cls for cls in (*samplers, Policy, Ramp)} | KINDS


def _name(cls: type) -> str:
    """AugDrop's own by their name alone, a user's with the module that they are in."""
    ours = cls.__module__.startswith("augdrop.")
    return cls.__name__ if ours else f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type) -> list[type]:
    return [cls, *(below for sub in cls.__subclasses__() for below in _subclasses(sub))]
