"""Log: what a method that is attached to a model did in its last forward pass."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor

from augdrop.errors import AugDropError, fail
from augdrop.keys import Ids
from augdrop.tokens.base import Selector
from augdrop.tokens.models.family import Family
from augdrop.tokens.reducer import Reduced, compose
from augdrop.tokens.rows import take
from augdrop.tokens.selection import Selection


class Log:
    """What happened in the last forward pass, and what brings its features back to the grid.

    Attributes:
        keys, epoch: of the forward passes to come.
        selections: by the block that first saw the selected tokens alone.
        counts: tokens behind each block that a reducer shortened, prefix included.
        sizes: ``[B, T']``, how many tokens each stands for behind the last block; None if none have merged.
    """

    def __init__(self, family: Family, method: Any, keys: Ids | None, epoch: Ids | None, given: dict[str, Any]) -> None:
        self.family, self.method, self.keys, self.epoch, self.given = family, method, keys, epoch, given
        self.grid: tuple[int, ...] | None = None
        self.selections: dict[int, Selection] = {}
        self.counts: dict[int, int] = {}
        self.sizes: Tensor | None = None
        self._sources: dict[int, Tensor] = {}
        self._shortened: dict[int, range] = {}
        self._compiled: dict[tuple[int, int], int] = {}
        # A method that draws on the host is no part of a graph. Not a decorator: that would import the compiler.
        why = "augdrop.tokens.attach draws what a model keeps on the host: compile it without fullgraph=True"
        self._select_outside = cast(Any, torch.compiler.disable(self._select, reason=why))

    @property
    def selection(self) -> Selection | None:
        """What was selected, of several spans by the first; None if nothing was, as in eval mode."""
        return self.selections[min(self.selections)] if self.selections else None

    def begin(self, grid: tuple[int, ...] | None) -> None:
        """A forward pass begins, of images that make a ``grid`` of patches."""
        self.grid, self.sizes, self.counts, self._sources = grid, None, {}, {}

    def select(
        self, method: Selector, x: Tensor, blocks: range, grid: tuple[int, ...] | None = None
    ) -> Selection | None:
        """What the method selects of the tokens ``x [B, prefix + N, D]``, for outputs of ``blocks`` to hold alone."""
        # True while the compiler reads this line, and so for good in what it makes of it.
        return self._select_outside(method, x, blocks, grid, torch.compiler.is_compiling())

    def _select(
        self, method: Selector, x: Tensor, blocks: range, grid: tuple[int, ...] | None, compiled: bool
    ) -> Selection | None:
        first = blocks.start
        self.selections.pop(first, None)
        if method.training_only and not self.family.model.training:
            return None
        self.family.check_first("a selection")
        if torch.compiler.is_exporting() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            raise self.family.cannot(
                "an export or a trace, which would keep this batch's tokens of every other batch too",
                "Export model.eval(), or after handle.detach().",
            )
        own = grid or self.grid
        if own and method.grid and tuple(method.grid) != own:
            raise self.family.unlike("grid", method.grid, own)
        fitted = dataclasses.replace(method, prefix=self.family.prefix, grid=own or method.grid)
        given = {name: value for name, value in self.given.items() if name in method.takes()}
        try:
            selection = fitted(x, keys=self.keys, epoch=self.epoch, **given)
        except AugDropError as error:
            raise self.family.naming(error, x.shape[1] - fitted.prefix) from error
        if selection.padded:
            self.family.check_padded()
            self.family.check_once("samples that keep different numbers of tokens")
        if compiled:
            self._hold(first, selection)
        self.selections[first], self._shortened[first] = selection, blocks
        return selection

    def _hold(self, first: int, selection: Selection) -> None:
        # A second count would be compiled for anew; on a GPU, with graphs of its own.
        count, total = selection.keep.shape[1], selection.total
        held = self._compiled.setdefault((first, total), count)
        if count != held:
            raise fail(
                "attach: torch.compile",
                got=f"{count} of {total} tokens, in a {self.family.name} that was compiled for {held}",
                expected="one number, for as long as a method is attached to a compiled model",
                fix=f"Keep a fixed number, RandomKeep(Count({held})) say; pad samples of different counts to the "
                f"most that one may keep, transform.tokens(patch, width={total}) say; or detach, and attach anew.",
            )

    def record(self, layer: int, reduced: Reduced) -> None:
        """A reducer has shortened the sequence in block ``layer``."""
        self._sources[layer], self.counts[layer], self.sizes = reduced.source, reduced.x.shape[1], reduced.sizes

    def source(self, layer: int | None = None) -> Tensor | None:
        """Where each token was by the end of block ``layer`` (None: the last): int64 ``[B, prefix + N]``.

        Its place in that block's output, or -1 if it is gone; None if no token has moved.
        """
        out = None
        for step in self._steps(layer):
            source = _source(step) if isinstance(step, Selection) else step
            out = source if out is None else compose(out, source)
        return out

    def _steps(self, layer: int | None) -> list[Selection | Tensor]:
        depth = len(self.family.blocks)
        layer = depth - 1 if layer is None else range(depth)[layer]
        selections = [s for first, s in sorted(self.selections.items()) if layer in self._shortened[first]]
        return selections + [source for i, source in sorted(self._sources.items()) if i <= layer]

    def restore(self, features: Tensor, fill: float = 0.0, layer: int | None = None) -> Tensor:
        """Put features of the last forward pass back on the grid; what was merged is copied to all its places.

        Args:
            features: ``[B, prefix + T', D]``, or ``[B, T', D]`` without the prefix, of what block ``layer`` left.
            fill: what goes to the places of tokens that are gone.
            layer: the block, counted from 0; None is the last.

        Returns:
            ``[B, prefix + N, D]`` or ``[B, N, D]``; ``features`` themselves if no token has moved.
        """
        steps, prefix = self._steps(layer), self.family.prefix
        source = self.source(layer)
        if source is None:
            return features
        last = steps[-1]
        if isinstance(last, Selection):
            length = prefix + last.keep.shape[1]
        else:
            length = next(self.counts[i] for i, s in self._sources.items() if s is last)
        if features.ndim != 3 or len(features) != len(source) or features.shape[1] not in (length, length - prefix):
            raise fail(
                f"attach: {self.family.name}: restore",
                got=f"features {tuple(features.shape)}",
                expected=f"[{len(source)}, {length}, D], or {length - prefix} tokens without the prefix",
                fix="Restore what the last forward pass gave, and say of which layer it is.",
            )
        if features.shape[1] != length:
            source = source[:, prefix:] - prefix
        source = source.to(features.device)
        return take(features, source).masked_fill((source < 0)[..., None], fill)


def _source(selection: Selection) -> Tensor:
    prefix = torch.arange(selection.prefix, device=selection.device).expand(len(selection), -1)
    patches = (selection.restore + selection.prefix).masked_fill(selection.mask("removed"), -1)
    return torch.cat([prefix, patches], 1)
