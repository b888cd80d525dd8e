"""Placement: where in a model a method works: behind the embedding, inside blocks, or over a span of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from augdrop.errors import AugDropError, fail
from augdrop.tokens.base import Selector
from augdrop.tokens.log import Log
from augdrop.tokens.models.family import drops, intercept, replace_forward
from augdrop.tokens.reducer import Reduced, Reducer, Seen
from augdrop.tokens.selection import Selection
from augdrop.tokens.span import Span


def watch_stem(log: Log, stack: ExitStack) -> None:
    """Begin each forward pass with the grid that the stem makes."""

    def begin(out: Tensor) -> Tensor:
        log.begin(tuple(out.shape[2:]) if out.ndim > 3 else None)
        return out

    intercept(log.family.stem, stack, after=begin)


def place_selector(log: Log, method: Selector, stack: ExitStack) -> None:
    """Drop behind the position embedding."""
    family, everywhere = log.family, range(len(log.family.blocks))

    def select(x: Tensor, grid: tuple[int, ...] | None = None) -> Selection | None:
        return log.select(method, x, everywhere, grid)

    family.place(select, stack)
    for block in family.blocks:
        adjust_attention(log, block, lambda x: _padding(log.selections.get(0), x), None, stack)

    def settle(out: Tensor) -> Tensor:
        # What pads a sample becomes the mean of its tokens: neither their mean nor their maximum is moved by it.
        selection = log.selections.get(0)
        if selection is None or not selection.padded:
            return out
        real = selection.attention_mask()[..., None].to(out.device)
        patches = torch.where(real, out, 0)[:, selection.prefix :]
        mean = patches.sum(1, keepdim=True) / selection.counts.to(out.device)[:, None, None]
        return torch.where(real, out, mean.to(out.dtype))

    intercept(family.final, stack, after=settle)


def place_spans(log: Log, spans: Sequence[Span], stack: ExitStack) -> None:
    """Gather before each span, and put the tokens back behind it, among the others as they were."""
    taken: set[int] = set()
    for span in spans:
        blocks = span.blocks(len(log.family.blocks))
        if taken & set(blocks):
            raise fail("attach: spans", got=list(spans), expected="spans that do not overlap", fix="Move one.")
        taken |= set(blocks)
        _place_span(log, span, blocks, stack)


def _place_span(log: Log, span: Span, blocks: range, stack: ExitStack) -> None:
    family, first = log.family, blocks.start
    whole: list[Tensor] = []

    def leave(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        family.check_once("a span")
        # Behind its last block the sequence is whole again.
        selection = log.select(span.selector, args[0], blocks[:-1] or range(first, first))
        whole.clear()
        if not drops(selection):
            return args, kwargs
        whole.append(args[0])
        return (selection.gather(args[0]), *args[1:]), kwargs

    def come_back(out: Tensor) -> Tensor:
        return log.selections[first].scatter(out, whole.pop()) if whole else out

    def rows() -> Tensor | None:
        selection = log.selections.get(first)
        return None if selection is None else selection.ids.clamp(min=0)

    intercept(family.blocks[first], stack, before=leave)
    for i in blocks:
        adjust_attention(log, family.blocks[i], lambda x: _padding(log.selections.get(first), x), rows, stack)
    intercept(family.blocks[blocks[-1]], stack, after=come_back)


def place_reducer(log: Log, method: Reducer, stack: ExitStack) -> None:
    """Shorten the sequence between the attention and the MLP of the reducer's blocks."""
    family, depth = log.family, len(log.family.blocks)
    layers = range(depth) if method.layers is None else sorted(set(method.layers))
    if not layers or layers[-1] >= depth:
        raise fail(
            f"attach: {type(method).__name__}: layers",
            got=method.layers,
            expected=f"blocks of the model's {depth}, counted from 0",
            fix="Pass layers=(...).",
        )
    ids = _Rows(log)
    for i in range(layers[0], depth):
        block: Any = family.blocks[i]
        if not family.known(block):
            raise family.cannot(f"a reducer in a {type(block).__name__}", "Take a selector, or a span.")
        bias = _size_bias(log) if method.proportional else lambda x: None
        if i in layers:
            _reduce_block(log, method, i, bias, ids, stack)
        # Last, so that it comes first: what a block shows its reducer is adjusted too.
        adjust_attention(log, block, bias, ids.patches, stack)


def _reduce_block(
    log: Log, method: Reducer, i: int, bias: Callable[[Tensor], Tensor | None], ids: _Rows, stack: ExitStack
) -> None:
    family, block = log.family, log.family.blocks[i]
    attn, tapped = getattr(block, family.attention), {}
    for which in {"attention": "qk", "keys": "k", None: ""}[method.needs]:
        family.tap(attn, which, lambda heads, which=which: tapped.update({which: heads}), stack)  # pyright: ignore

    def refuse(tokens: int) -> None:
        raise family.cannot(
            f"a {type(method).__name__} that keeps another number of the {tokens} tokens from step to step, under "
            "torch.compile",
            "Attach one with a fixed share, such as EViT(keep=0.7); until the share gets there, train uncompiled.",
        )

    # An error in the graph itself would have the compiler leave the graph, and go on without it.
    refused: Any = torch.compiler.disable(refuse)

    # Nothing done to a part of a block can shorten its residual stream, for the block adds to what it still holds. So
    # its two halves are called one by one; all of their parts, LayerScale and drop path among them, are the model's.
    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        family.check_once("a reducer")
        if not method.steady and torch.compiler.is_compiling():
            refused(x.shape[1] - family.prefix)
        if method.at_input:
            return family.feed(block, family.attend(block, shortened(x), *args, **kwargs))
        return family.feed(block, shortened(family.attend(block, x, *args, **kwargs)))

    def reduce(x: Tensor, seen: Seen) -> Reduced:
        # The compiler cannot leave the graph within a try; where it has to, this is called anew, without it.
        if torch.compiler.is_compiling():
            return method.reduce(x, seen)
        try:
            return method.reduce(x, seen)
        except AugDropError as error:
            raise family.naming(error, x.shape[1] - family.prefix) from error

    def shortened(x: Tensor) -> Tensor:
        keys, attention = tapped.pop("k", None), None
        if method.needs == "attention":
            logits = tapped.pop("q") @ keys.mT * keys.shape[-1] ** -0.5
            added = bias(logits)
            attention = (logits if added is None else logits + added).softmax(-1)
        shown = keys if method.needs == "keys" else None
        reduced = reduce(x, Seen(i, family.prefix, attention, shown, log.sizes))
        ids.follow(reduced.source, reduced.x.shape[1])
        log.record(i, reduced)
        return reduced.x

    replace_forward(block, forward, stack)


class _Rows:
    """Which row of the rotary table each token of a shortened sequence has; nothing to do without a table."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def follow(self, source: Tensor, length: int) -> None:
        family = self.log.family
        if not family.rotary:
            return
        goes = source.masked_fill(source < 0, length)
        arrivals = torch.zeros(len(source), length + 1, dtype=torch.int64, device=source.device)
        arrivals.scatter_add_(1, goes, torch.ones_like(goes))
        if (arrivals[:, :length] != 1).any():
            raise family.cannot(
                "merged or fused tokens, which have no row in the table of rotary positions", "Drop tokens instead."
            )

    def patches(self) -> Tensor | None:
        source = self.log.source()
        if source is None:
            return None
        family, length = self.log.family, next(reversed(self.log.counts.values()))
        rows = torch.arange(source.shape[1], device=source.device).expand_as(source)
        goes = source.masked_fill(source < 0, length)
        origin = torch.zeros(len(source), length + 1, dtype=torch.int64, device=source.device).scatter_(1, goes, rows)
        return origin[:, family.prefix : length] - family.prefix


def adjust_attention(
    log: Log,
    block: nn.Module,
    bias: Callable[[Tensor], Tensor | None],
    rows: Callable[[], Tensor | None] | None,
    stack: ExitStack,
) -> None:
    """Before a block's attention, add what ``bias`` gives to its logits, and leave it ``rows`` of the rotary table."""
    family = log.family
    attn = getattr(block, family.attention, None)
    if attn is None:  # attention and MLP in parallel: as long as there is nothing to adjust, all is well
        return

    def adjust(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        added = bias(args[0] if args else kwargs["hidden_states"])
        if added is not None:
            args, kwargs = family.masked(args, kwargs, added)
        if rows is not None and family.rotary:
            ids = rows()
            kwargs = kwargs if ids is None else family.rotated(kwargs, ids)
        return args, kwargs

    intercept(attn, stack, before=adjust)


def _size_bias(log: Log) -> Callable[[Tensor], Tensor | None]:
    # A token that stands for n weighs as much as n: exp(logit + log n) = n * exp(logit).
    return lambda x: None if log.sizes is None else log.sizes.log()[:, None, None].to(x.dtype)


def _padding(selection: Selection | None, x: Tensor) -> Tensor | None:
    if selection is None or not selection.padded:
        return None
    real = selection.attention_mask()[:, None, None].to(x.device)
    return torch.zeros(real.shape, dtype=x.dtype, device=x.device).masked_fill(~real, -torch.inf)


def place_intermediates(log: Log, stack: ExitStack) -> None:
    """Have timm's ``forward_intermediates`` give whole grids, where it would fold what is kept into a full one."""
    model = log.family.model
    if not hasattr(model, "forward_intermediates"):
        return
    stock = model.forward_intermediates
    signature = inspect.signature(stock)

    def forward_intermediates(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        folded = call.arguments["output_fmt"] == "NCHW"
        call.arguments["output_fmt"] = "NLC"
        out = stock(*call.args, **call.kwargs)
        features = out if call.arguments["intermediates_only"] else out[1] if isinstance(out, tuple) else out
        features = features["image_intermediates"] if isinstance(features, dict) else features
        layers, wanted = range(len(log.family.blocks)), call.arguments["indices"]
        if isinstance(wanted, int):
            layers = layers[-wanted:]
        elif wanted is not None:
            layers = sorted({layers[i] for i in wanted})
        for place, layer in enumerate(layers):
            given = features[place]
            patches = log.restore(given[0] if isinstance(given, tuple) else given, layer=layer)
            if folded:
                patches = patches.unflatten(1, log.grid or ()).permute(0, 3, 1, 2).contiguous()
            features[place] = (patches, given[1]) if isinstance(given, tuple) else patches
        return out

    model.forward_intermediates = forward_intermediates
    stack.callback(model.__dict__.pop, "forward_intermediates")
