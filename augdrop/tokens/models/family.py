"""Family: what there is to know of one kind of model, to drop its tokens without touching its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Literal, TypeGuard

import torch
from torch import Tensor, nn

from augdrop.errors import AugDropError, fail
from augdrop.tokens.selection import Selection

Select = Callable[..., Selection | None]
"""Takes the tokens ``[B, prefix + N, D]``, and their grid if it is not the stem's."""

Before = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


def intercept(
    module: nn.Module, stack: ExitStack, before: Before | None = None, after: Callable[[Any], Any] | None = None
) -> None:
    """Change what goes into a module's ``forward``, and what comes out, until the stack closes.

    By a ``forward`` on the instance and not by PyTorch's hooks. `torch.compile` guards what it has compiled by the one
    and not by the other (``skip_nnmodule_hook_guards`` is its default, and no library's to change): a model that was
    compiled earlier would run on as if there were no hook.
    """
    stock = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            args, kwargs = before(args, kwargs)
        out = stock(*args, **kwargs)
        return out if after is None else after(out)

    replace_forward(module, forward, stack)


def replace_forward(module: nn.Module, forward: Callable[..., Any], stack: ExitStack) -> None:
    """Let ``forward`` stand in for the module's on this instance, until the stack closes.

    What another tool, such as Accelerate, has put there earlier comes back. What it puts on top meanwhile stays there,
    and meets the stock one from then on.
    """
    stock, earlier, over = module.forward, vars(module).get("forward"), False

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return (stock if over else forward)(*args, **kwargs)

    def back() -> None:
        nonlocal over
        over = True
        if vars(module).get("forward") is stand_in:
            del module.forward
            if earlier is not None:
                module.forward = earlier

    module.forward = stand_in
    stack.callback(back)


def drops(selection: Selection | None) -> TypeGuard[Selection]:
    """Do not all tokens go on as they are? A copy would have another memory layout, and sums another order."""
    if selection is None:
        return False
    return selection.keep.shape[1] < selection.total or selection.order is not None or selection.padded


class Family:
    """Base of the families: where a model's parts are, and the two halves of its blocks.

    Args:
        model: the model; it is read, and changed only by what goes back when ``stack`` closes.
    """

    name: ClassVar[str]
    attention: ClassVar[str] = "attn"
    """The attribute of a block that is its attention."""
    mask: ClassVar[str] = "attn_mask"
    """The argument of the attention that takes an additive mask ``[B, 1, 1, T]``."""
    selectors_only: ClassVar[bool] = False
    """Can it have neither reducers nor spans?"""
    rotary: bool = False
    """Does each token have a row in a table of rotary positions?"""

    prefix: int
    blocks: Sequence[Any]
    stem: Any
    """Makes patches of the image: ``[B, D, h, w]``, whose sides are the grid."""
    embedded: Any
    """Gives the tokens with their positions, prefix first."""
    final: Any
    """The last that sees all tokens before they are pooled."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    def place(self, select: Select, stack: ExitStack) -> None:
        """Have ``select`` decide behind the position embedding, and the rest of the model see what is kept."""

        def gather(out: Tensor) -> Tensor:
            selection = select(out)
            return selection.gather(out) if drops(selection) else out

        intercept(self.embedded, stack, after=gather)

    def attend(self, block: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The first half of a block: the residual stream behind its attention."""
        raise NotImplementedError

    def feed(self, block: Any, x: Tensor) -> Tensor:
        """The second half of a block: the residual stream behind its MLP."""
        raise NotImplementedError

    def tap(self, attn: Any, which: Literal["q", "k"], put: Callable[[Tensor], None], stack: ExitStack) -> None:
        """Put the attention's own queries or keys ``[B, H, T, d]``, normalised and rotated as it uses them.

        They are looked at on their way, so that nothing is computed twice and fused attention stays on.
        """
        raise NotImplementedError

    def known(self, block: nn.Module) -> bool:
        """Are the block's halves known?"""
        return True

    def masked(self, args: tuple[Any, ...], kwargs: dict[str, Any], bias: Tensor) -> tuple[tuple[Any, ...], dict]:
        """The attention's arguments with ``bias [B, 1, 1, T]`` added to its logits."""
        mask = kwargs.get(self.mask)
        if len(args) > 1:  # Transformers' blocks pass theirs by position.
            mask, args = args[1], args[:1]
        if kwargs.get("is_causal"):
            raise self.cannot("causal attention over tokens that are masked or merged", "Attend both ways.")
        if mask is not None:
            mask = (
                mask
                if mask.is_floating_point()
                else torch.zeros_like(mask, dtype=bias.dtype).masked_fill(~mask, -torch.inf)
            )
            if mask.shape[-1] != bias.shape[-1]:
                raise self.cannot(f"a mask {tuple(mask.shape)} for {bias.shape[-1]} kept tokens", "Pass no mask.")
            bias = mask + bias
        return args, kwargs | {self.mask: bias}

    def rotated(self, kwargs: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        """The attention's arguments with the ``rows [B, K]`` of the rotary table alone."""
        return kwargs

    def check_padded(self) -> None:
        """Can samples keep different numbers of tokens?"""
        others = [type(block).__name__ for block in self.blocks if not hasattr(block, self.attention)]
        if others:
            raise self.cannot(f"samples that keep different numbers of tokens, and {others[0]}", "Keep equal numbers.")

    def check_once(self, what: str) -> None:
        """Blocks that run again in the backward pass would meet what a later forward pass has left."""
        if self.checkpointing and torch.is_grad_enabled():
            raise self.cannot(f"{what}, and gradient checkpointing", "Switch one of them off.")
        if not torch.compiler.is_compiling():
            self.check_first(what)

    def check_first(self, what: str) -> None:
        """By the backward pass the keys may be those of another batch, or gone."""
        if torch._C._current_graph_task_id() >= 0:  # as PyTorch's checkpointing itself knows where it is
            raise self.cannot(
                f"{what} that a backward pass runs again, by gradient checkpointing",
                "Checkpoint blocks without it, and not the whole model: model.set_grad_checkpointing(), say.",
            )

    @property
    def checkpointing(self) -> bool:
        """Are blocks run again in the backward pass?"""
        return False

    def naming(self, error: AugDropError, tokens: int | None = None) -> AugDropError:
        """``error`` as it is to leave an attached model: with the model's name, and its ``tokens`` without prefix."""
        if self.name in str(error):
            return error
        held = "" if tokens is None else f" with {tokens} tokens and {self.prefix} of a prefix"
        return AugDropError(f"attach: {self.name}{held}: {error}")

    def unlike(self, name: str, said: Any, own: Any) -> AugDropError:
        """The error of a selector that says of the tokens what is not so in this model."""
        return fail(f"attach: {self.name}: {name}", got=said, expected=f"the model's own, {own}", fix="Leave it out.")

    def cannot(self, what: str, fix: str) -> AugDropError:
        """The error of something that the family has no place for."""
        return fail(f"attach: {self.name}", got=what, expected="something that this model can do", fix=fix)
