"""Attach: a method that drops or merges tokens, put into a model that people have, and taken out again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from augdrop.errors import AugDropError, fail
from augdrop.keys import Ids
from augdrop.tokens.base import Selector
from augdrop.tokens.log import Log
from augdrop.tokens.models import family_of
from augdrop.tokens.models.family import Family
from augdrop.tokens.placement import place_intermediates, place_reducer, place_selector, place_spans, watch_stem
from augdrop.tokens.reducer import Reducer
from augdrop.tokens.region_keep import RegionKeep
from augdrop.tokens.span import Span

Method = Selector | Reducer | Span | Sequence[Span]

MARK = "_augdrop_attachment"
"""The attribute of a model by which it is known to have a method."""


class Attachment(Log):
    """A method in a model, and the log of the model's last forward pass; `attach` makes it."""

    def __init__(self, model: nn.Module, method: Method, keys: Ids | None, epoch: Ids | None, given: dict) -> None:
        for module in model.modules():
            if other := vars(module).get(MARK):
                raise fail(
                    "attach: model",
                    got=f"a {type(module).__name__} that has one already: {other}",
                    expected="a model without a method",
                    fix="Detach the first: handle.detach(), or leave its with block.",
                )
        family = family_of(model)
        self._check(family, method, given)
        super().__init__(family, method, keys, epoch, given)
        with ExitStack() as stack:
            watch_stem(self, stack)
            place_intermediates(self, stack)
            try:
                self._place(method, stack)
            except AugDropError as error:
                raise family.naming(error) from error
            # First of all, so that who copies or pickles the model meets it before the parts that it has changed.
            own = vars(family.model)
            others = dict(own)
            own.clear()
            own.update({MARK: self, **others})
            stack.callback(vars(family.model).pop, MARK)
            self._undo = stack.pop_all()

    @staticmethod
    def _check(family: Family, method: Method, given: dict[str, Any]) -> None:
        spans = method if isinstance(method, Sequence) else (method,)
        selectors = [getattr(span, "selector", span) for span in spans]
        taken = {name for one in selectors if isinstance(one, Selector) for name in one.takes()}
        if unknown := given.keys() - taken:
            raise fail(
                f"attach: {family.name}",
                got=f"{sorted(unknown)}",
                expected=f"what {type(method).__name__} takes besides: {sorted(taken) or 'nothing'}",
                fix="Leave them out.",
            )
        sides = tuple(getattr(family.stem, "stride", (1, 1)))[-2:]
        for one in selectors:
            if isinstance(one, Selector) and one.prefix not in (0, family.prefix):
                raise family.unlike("prefix", one.prefix, family.prefix)
            if isinstance(one, RegionKeep) and sides not in ((one.patch, one.patch), (1, 1)):
                raise fail(
                    "attach: patch",
                    got=f"tokens of {one.patch}×{one.patch} pixels for a {family.name}",
                    expected=f"its own, {sides[0]}×{sides[1]}",
                    fix=f"Call transform.tokens(patch={sides[0]}).",
                )

    def _place(self, method: Method, stack: ExitStack) -> None:
        if isinstance(method, Selector):
            return place_selector(self, method, stack)
        if self.family.selectors_only:
            raise self.family.cannot(f"a {type(method).__name__}", "Take a selector.")
        if isinstance(method, Reducer):
            return place_reducer(self, method, stack)
        spans = method if isinstance(method, Sequence) else (method,)
        if spans and all(isinstance(span, Span) for span in spans):
            return place_spans(self, spans, stack)
        raise fail(
            "attach: method",
            got=f"{type(method).__name__}",
            expected="a Selector, a Reducer, a Span or several spans",
            fix="Such as RandomKeep(0.5), or a transform's transform.tokens(patch).",
        )

    def detach(self) -> None:
        """Take the method out of the model: what was replaced is put back. The log stays."""
        self._undo.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The copy's modules would have this model's forwards, and so this model's weights.
        raise fail(
            "attach: model",
            got=f"a copy of a model that has {self}",
            expected="a copy of a model without a method",
            fix="Copy or pickle it before it is attached to, or after handle.detach(), or take its state dict.",
        )

    def __repr__(self) -> str:
        return f"Attachment({self.method} in a {self.family.name})"


def attach(
    model: nn.Module,
    method: Method,
    keys: Ids | None = None,
    epoch: Ids | None = None,
    **given: Any,
) -> Attachment:
    """Put a method into a model: for a ``with`` block, or until ``detach()``.

    A selector drops tokens behind the position embedding; a reducer shortens the sequence between the attention and the
    MLP of its blocks; a span has its blocks see the selected tokens only. How many prefix tokens there are, and how the
    patches lie, is taken from the model. Selectors for training (`Selector.training_only`) do nothing in eval mode.

    Nothing of the model is copied or subclassed. For as long as the method is attached some of its modules have a
    ``forward`` of their own on the instance, which calls the stock one; all is put back by ``detach``, also when an
    exception leaves the ``with`` block, and hooks and forwards of other tools stay. PyTorch's hooks would not do:
    `torch.compile` does not look whether hooks have come, so a model that was compiled before would run on without the
    drop, and say nothing. LayerScale, stochastic depth, qk-norm and fused attention stay as they are, and so does a
    state dict. A model is to be copied, or pickled whole, before it is attached to.

    Args:
        model: of timm a VisionTransformer (DeiT too) or an Eva, torchvision's VisionTransformer, or of Transformers a
            ViT, DINOv2, CLIP vision tower, ViTMAE or VideoMAE; also what has one of these inside, once (a classifier, a
            wrapper, a compiled model).
        method: the selector, reducer or span, or several spans that do not overlap.
        keys: one for each sample of the batches to come; None takes them from ``with augdrop.keys(...)`` around the
            forward pass, and else from torch's generator. To change: ``handle.keys = batch["key"]``.
        epoch: likewise.
        **given: what a selector takes besides, such as ``noise=``.

    Returns:
        The handle, which is the log: `Attachment.selection`, `Attachment.restore`.

    Raises:
        AugDropError: for a model that is not known, a second method in a model, and what a model cannot do: merging
            with rotary positions (a merged token has no row in the table), spans, reducers or samples of different
            counts with gradient checkpointing, or any method with a checkpoint around the whole model (a backward pass
            that runs it again may have other keys), and what a selector drops in an export.

    Samples that keep different numbers of tokens are padded, and the padding is masked in attention and left out of the
    pooling. Under `torch.compile` the selection itself runs outside of the graph: ``fullgraph=True`` is an error. There
    a model has one number of kept tokens for as long as a method is attached (and in eval mode another, all of them): a
    second is an error, and so is a reducer with a schedule. Samples of different counts are padded to one by ``width=``
    (``transform.tokens(patch, width=196)`` say); with a schedule by epoch, attach anew for each number.

    Example:
        >>> import timm, torch
        >>> from augdrop.tokens import RandomKeep, attach
        >>> model = timm.models.VisionTransformer(img_size=64, embed_dim=32, depth=2, num_heads=2)
        >>> images = torch.rand(2, 3, 64, 64)
        >>> with attach(model, RandomKeep(0.25, seed=0), keys=[5, 6]) as log:
        ...     features = model.forward_features(images)
        >>> features.shape, log.selection
        (torch.Size([2, 5, 32]), Selection(4 of 16 tokens a sample, 2 samples, grid 4×4, prefix 1))
        >>> log.restore(features).shape, model.forward_features(images).shape
        (torch.Size([2, 17, 32]), torch.Size([2, 17, 32]))
    """
    return Attachment(model, method, keys, epoch, given)
