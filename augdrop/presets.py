"""Presets: named sets of a method's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from augdrop.errors import fail, nearest


class Presets:
    """A method that has named sets of parameters: what the paper says, what the reference does."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """The method with a named set of parameters (see ``presets``), some of them overridden."""
        if name not in cls.presets:
            raise fail(f"{cls.__name__}.preset", got=repr(name), expected="a preset", fix=nearest(name, cls.presets))
        return cls(**{**cls.presets[name], **overrides})
