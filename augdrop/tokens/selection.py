"""Selection: which tokens of each sample stay, and how to put the result back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from augdrop.errors import AugDropError, fail
from augdrop.kernels.allocate import room
from augdrop.plan import move
from augdrop.serialize import decode, encode
from augdrop.tokens.rows import check_order, check_rows, from_mask, masked, on_host, restored, take

VERSION = 1
Polarity = Literal["kept", "removed"]
Positions = Literal["original", "compact"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """The tokens that stay, of B samples of ``total`` tokens each.

    Prefix tokens (class, distillation, registers) come first in a sequence, always stay, and are counted nowhere else.

    Args:
        keep: int64 ``[B, K]``, positions among the ``total`` tokens, ascending.
        total: N, tokens of a sample without the prefix.
        grid: how they lie, ``(h, w)`` or ``(t, h, w)``, row-major; None if they are no grid.
        prefix: how many prefix tokens there are.
        order: int64 ``[B, K]``, in which order the kept tokens go, as positions in ``keep``; None is ascending.
        scores: ``[B, N]``, what they were chosen by.
        sizes: ``[B, K]``, how many tokens each stands for, after a merge.
        numbering: positions of kept tokens: ``"original"``, or ``"compact"``, counted anew.
        padded: samples keep different numbers of tokens; rows of ``keep`` with fewer than K end in -1.

    Example:
        >>> selection = Selection(torch.tensor([[0, 3], [1, 2]]), 4, grid=(2, 2), prefix=1)
        >>> x = torch.arange(10.0).view(2, 5, 1)
        >>> selection.gather(x)[..., 0].tolist()
        [[0.0, 1.0, 4.0], [5.0, 7.0, 8.0]]
        >>> selection.scatter(selection.gather(x), fill=-1)[..., 0].tolist()
        [[0.0, 1.0, -1.0, -1.0, 4.0], [5.0, -1.0, 7.0, 8.0, -1.0]]
        >>> selection
        Selection(2 of 4 tokens a sample, 2 samples, grid 2×2, prefix 1)
    """

    keep: Tensor
    total: int
    grid: tuple[int, ...] | None = None
    prefix: int = 0
    order: Tensor | None = None
    scores: Tensor | None = None
    sizes: Tensor | None = None
    numbering: Positions = "original"
    padded: bool = False

    def __post_init__(self) -> None:
        check_rows(self.keep, self.total, self.padded)
        if self.grid is not None and torch.Size(self.grid).numel() != self.total:
            raise fail(
                "Selection: grid",
                got=self.grid,
                expected=f"sides that multiply to {self.total} tokens",
                fix="Leave prefix tokens out of the count.",
            )
        shapes = {"order": self.keep.shape, "sizes": self.keep.shape, "scores": (len(self.keep), self.total)}
        for name, shape in shapes.items():
            if (given := getattr(self, name)) is not None and given.shape != shape:
                raise fail(
                    f"Selection: {name}", got=tuple(given.shape), expected=f"{tuple(shape)}", fix="Leave prefixes out."
                )
        if self.order is not None:
            check_order(self.order)
        if self.numbering not in ("original", "compact"):
            raise fail("Selection: numbering", got=self.numbering, expected="original or compact", fix="Choose one.")
        if self.prefix < 0:
            raise fail("Selection: prefix", got=self.prefix, expected="0 or more", fix="A class token is 1.")

    def __len__(self) -> int:
        return len(self.keep)

    @property
    def device(self) -> torch.device:
        return self.keep.device

    @property
    def counts(self) -> Tensor:
        """Kept tokens of each sample, int64 ``[B]``."""
        return (self.keep >= 0).sum(1)

    @property
    def ids(self) -> Tensor:
        """``keep`` in the order in which the tokens go, int64 ``[B, K]``."""
        return self.keep if self.order is None else self.keep.gather(1, self.order)

    @property
    def restore(self) -> Tensor:
        """int64 ``[B, N]``: each token's place in the sequence of kept tokens followed by the others, ascending."""
        if (keep := on_host(self.keep)) is not None:
            order = keep[:0] if self.order is None else self.order.contiguous().numpy()
            return torch.from_numpy(restored(keep, order, self.total))
        kept, k = self.mask("kept"), self.keep.shape[1]
        places = torch.where(kept, kept.cumsum(1) - 1, k + (~kept).cumsum(1) - 1)
        if self.order is None:
            return places
        slots = torch.empty_like(self.order).scatter_(
            1, self.order, torch.arange(k, device=self.device).expand_as(self.order)
        )
        return torch.where(kept, slots.gather(1, places.clamp(max=k - 1)), places)

    def mask(self, polarity: Polarity) -> Tensor:
        """bool ``[B, N]``, True for the tokens that are ``"kept"``, or that are ``"removed"``."""
        if polarity not in ("kept", "removed"):
            raise fail("Selection.mask", got=repr(polarity), expected="'kept' or 'removed'", fix="Say which is True.")
        if (keep := on_host(self.keep)) is not None:
            return torch.from_numpy(masked(keep, self.total, polarity == "kept"))
        mask = torch.full((len(self), self.total + 1), polarity == "removed", device=self.device)
        # What pads a row goes to a column that is cut off.
        mask.scatter_(1, torch.where(self.keep < 0, self.total, self.keep), polarity == "kept")
        return mask[:, :-1]

    def gather(self, x: Tensor) -> Tensor:
        """The kept tokens of ``x``, prefix first.

        Args:
            x: ``[B, prefix + N, ...]``, or ``[B, N, ...]`` of things that prefix tokens have none of.

        Returns:
            ``[B, prefix + K, ...]`` or ``[B, K, ...]``; zeros where a sample keeps fewer than K.
        """
        from augdrop.kernels import token_ops

        prefix = self._prefix_of(x, self.total)
        if token_ops.takes(x):
            return token_ops.gather(x, self.keep, self.order, prefix)
        ids = self.ids.to(x.device)
        out = take(x, ids, prefix)
        if self.padded:
            out[:, prefix:].masked_fill_((ids < 0).view(*ids.shape, *[1] * (x.ndim - 2)), 0)
        return out

    def scatter(self, y: Tensor, fill: Tensor | float = 0) -> Tensor:
        """Put tokens back where they came from.

        Args:
            y: ``[B, prefix + K, ...]`` or ``[B, K, ...]``, as `gather` gives them.
            fill: what goes to the removed places: a number, one token ``[D]``, or tokens ``[B, N, ...]`` (or with the
                prefix), of which those at removed places are taken.

        Returns:
            ``[B, prefix + N, ...]`` or ``[B, N, ...]``.
        """
        from augdrop.kernels import token_ops

        prefix = self._prefix_of(y, self.keep.shape[1])
        if token_ops.takes(y):
            return token_ops.scatter(y, self.keep, self.order, prefix, self.total, fill)
        out = take(y, self.restore.to(y.device).clamp(max=self.keep.shape[1] - 1), prefix)
        removed = torch.zeros(out.shape[:2], dtype=torch.bool, device=y.device)
        removed[:, prefix:] = self.mask("removed").to(y.device)
        removed = removed.view(*removed.shape, *[1] * (y.ndim - 2))
        if isinstance(fill, (int, float)):
            return out.masked_fill_(removed, fill)
        tokens: Tensor = fill.to(out)
        if tokens.ndim == y.ndim and tokens.shape[1] == self.total and prefix:
            tokens = torch.cat([out[:, :prefix], tokens], 1)
        shape = torch.broadcast_shapes(tokens.shape, out.shape)
        return torch.where(removed, tokens, out, out=room(shape, out, tokens))

    def labels(self, y: Tensor) -> Tensor:
        """The dense targets ``[B, N, ...]`` of the kept tokens, ``[B, K, ...]``; -100 where a sample keeps fewer."""
        if y.shape[:2] != (len(self), self.total):
            raise self._misfit(y, self.total)
        if self.padded and y.dtype in (torch.bool, torch.uint8):
            raise fail("Selection.labels", got=f"{y.dtype}", expected="a dtype that has -100", fix="Pass y.long().")
        ids = self.ids.to(y.device)
        out = take(y, ids)
        return out.masked_fill_((ids < 0).view(*ids.shape, *[1] * (y.ndim - 2)), -100) if self.padded else out

    def positions(self) -> Tensor:
        """int64 ``[B, K]``: the positions of kept tokens under the ``numbering``; -1 where a sample keeps fewer."""
        if self.numbering == "original":
            return self.ids
        compact = torch.arange(self.keep.shape[1], device=self.device).expand_as(self.keep)
        return torch.where(self.ids < 0, -1, compact)

    def attention_mask(self) -> Tensor:
        """bool ``[B, prefix + K]``, True for tokens, False for what pads a sample that keeps fewer."""
        padded = torch.zeros(len(self), self.prefix + self.keep.shape[1], dtype=torch.bool, device=self.device)
        padded[:, self.prefix :] = self.ids < 0
        return ~padded

    def nested(self, x: Tensor) -> Tensor:
        """The kept tokens of ``x [B, prefix + N, ...]`` as a nested tensor: each sample with its own count."""
        prefix = self._prefix_of(x, self.total)
        real = self.attention_mask()[:, self.prefix - prefix :].to(x.device)
        offsets = torch.nn.functional.pad((self.counts + prefix).cumsum(0), (1, 0)).to(x.device)
        return torch.nested.nested_tensor_from_jagged(self.gather(x)[real], offsets)

    def pad(self, width: int) -> Selection:
        """The selection with rows of ``width`` places, padded by -1: as many in every batch, whatever is kept."""
        more = width - self.keep.shape[1]
        if more < 0 or width > self.total or self.order is not None or self.sizes is not None:
            raise fail(
                "Selection.pad: width",
                got=f"{width} for {self!r}",
                expected=f"{self.keep.shape[1]} to {self.total}, of ascending tokens that have not merged",
                fix="Take the most that a sample may keep.",
            )
        return dataclasses.replace(self, keep=torch.nn.functional.pad(self.keep, (0, more), value=-1), padded=True)

    def removed(self) -> Selection:
        """The other tokens, as a selection."""
        keep, padded = from_mask(self.mask("removed"))
        return dataclasses.replace(self, keep=keep, order=None, sizes=None, padded=padded)

    def to(self, device: torch.device | str) -> Selection:
        """The selection on another device; itself if it is there."""
        there, own = torch.device(device), self._tensors()
        if all(t.device == there for t in own.values()):
            return self
        if there.type == "cuda" and self.device.type == "cpu" and not torch.compiler.is_compiling():
            # One copy, which the host does not wait for.
            _, moved = move(list(own.values()), there, non_blocking=True)
            return dataclasses.replace(self, **dict(zip(own, moved, strict=True)))
        return dataclasses.replace(self, **{name: t.to(there) for name, t in own.items()})

    def _tensors(self) -> dict[str, Tensor]:
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: v for name, v in values if isinstance(v, Tensor)}

    def _prefix_of(self, x: Tensor, tokens: int) -> int:
        if x.ndim < 2 or len(x) != len(self) or x.shape[1] not in (tokens, tokens + self.prefix):
            raise self._misfit(x, tokens)
        return x.shape[1] - tokens

    def _misfit(self, x: Tensor, tokens: int) -> AugDropError:
        prefix = f"{self.prefix} + " if self.prefix else ""
        return fail(
            "Selection",
            got=f"a tensor {tuple(x.shape)}",
            expected=f"[{len(self)}, {prefix}{tokens}, ...], the tokens that the selection is of",
            fix="Select for this model's tokens, and say how many prefix tokens there are.",
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_dict` reads it back, equal."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {"format": "augdrop-selection", "version": VERSION} | {name: encode(v) for name, v in values}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Selection:
        """Read what `to_dict` wrote."""
        if not isinstance(data, dict) or (data.get("format"), data.get("version")) != ("augdrop-selection", VERSION):
            raise fail("Selection", got=str(data)[:60], expected="a saved selection", fix="Save one: selection.save().")
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            values: dict[str, Any] = {name: decode(value, {}) for name, value in data.items() if name in names}
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise fail("Selection", got=f"{error}", expected="a whole selection", fix="Save it again.") from None

    def save(self, path: str | Path) -> None:
        """Write the selection as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Selection:
        """Read a selection that `save` wrote; equal to it."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except json.JSONDecodeError as error:
            raise AugDropError(f"Selection.load: {path} is not JSON ({error}). Save one with selection.save.") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selection):
            return NotImplemented
        mine, theirs = self._tensors(), other._tensors()
        rest = ("total", "grid", "prefix", "numbering", "padded")
        if mine.keys() != theirs.keys() or any(getattr(self, name) != getattr(other, name) for name in rest):
            return False
        return all(
            a.shape == b.shape and torch.equal(a.cpu(), b.cpu())
            for a, b in zip(mine.values(), theirs.values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        counts = self.counts
        low, high = (int(counts.min()), int(counts.max())) if len(self) else (0, self.keep.shape[1])
        kept = str(high) if low == high else f"{low} to {high}"
        grid = f", grid {'×'.join(map(str, self.grid))}" if self.grid else ""
        prefix = f", prefix {self.prefix}" if self.prefix else ""
        return f"Selection({kept} of {self.total} tokens a sample, {len(self)} samples{grid}{prefix})"
