"""Extras: an ecosystem is imported when its adapter is first used, and a missing one says how to install it."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from types import ModuleType

from packaging.version import Version

from augdrop.errors import fail


def require(module: str, *, extra: str, least: str | None = None, package: str | None = None) -> ModuleType:
    """Import an optional ecosystem.

    Args:
        module: what to import.
        extra: the extra of augdrop that installs it.
        least: the oldest version that the adapter works with.
        package: the distribution's name where it is not the module's.

    Raises:
        ImportError: it is not installed; the message names ``pip install augdrop[extra]``.
        AugDropError: it is too old.

    Example:
        >>> require("torch", extra="torch", least="2.8").__name__
        'torch'
        >>> require("no_such_library", extra="imaginary")
        Traceback (most recent call last):
        ...
        ImportError: no_such_library is not installed; run: pip install 'augdrop[imaginary]'
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A library that is there, but lacks one of its own parts, is another trouble.
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise ImportError(f"{module} is not installed; run: pip install 'augdrop[{extra}]'", name=module) from None
    if least is not None:
        installed = version(package or module.partition(".")[0])
        if Version(installed) < Version(least):
            raise fail(
                f"augdrop.adapters: {module}",
                got=f"version {installed}",
                expected=f"{least} or newer",
                fix=f"Run: pip install --upgrade 'augdrop[{extra}]'.",
            )
    return found
