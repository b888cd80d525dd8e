"""Trees: nested samples, read by path and rebuilt with other leaves."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, MutableMapping
from typing import Any

Path = tuple[Hashable, ...]
"""The keys and indices that lead from a nested sample to one of its leaves."""


def is_sequence(node: Any) -> bool:
    """Lists, tuples and named tuples are nodes; every other sequence is a leaf."""
    return isinstance(node, list) or type(node) is tuple or (isinstance(node, tuple) and hasattr(node, "_make"))


def leaves(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The leaves of a tree with their paths, in order."""
    if isinstance(node, MutableMapping):
        for key, child in node.items():
            yield from leaves(child, (*path, key))
    elif is_sequence(node):
        for i, child in enumerate(node):
            yield from leaves(child, (*path, i))
    else:
        yield path, node


def at(node: Any, path: Path) -> Any:
    """The node at a path."""
    for step in path:
        node = node[step]
    return node


def rebuild(node: Any, edits: dict[Path, Any], path: Path = ()) -> Any:
    """A copy of a tree with other leaves at some paths; a path whose last key a mapping lacks is added to it.

    Example:
        >>> tree = {"b": [1, 2], "a": (3,)}
        >>> rebuild(tree, {("b", 1): 5, ("c",): 6}), tree
        ({'b': [1, 5], 'a': (3,), 'c': 6}, {'b': [1, 2], 'a': (3,)})
    """
    if path in edits:
        return edits[path]
    if isinstance(node, MutableMapping):
        new = copy.copy(node)
        for key in node:
            new[key] = rebuild(node[key], edits, (*path, key))
        for added, value in edits.items():
            if added[:-1] == path and added[-1] not in node:
                new[added[-1]] = value
        return new
    if is_sequence(node):
        items = [rebuild(child, edits, (*path, i)) for i, child in enumerate(node)]
        return node._make(items) if hasattr(node, "_make") else type(node)(items)
    return node
