"""The native route: DALI's own operators paint, and a small Python function a step tells them where, once a batch.

A region is cut into rectangles that do not overlap. ``erase`` paints a colour into them. Where something else goes in
(a partner, noise), the image is erased to nothing where it is dropped, the other is nothing where the image is kept,
and their sum is the result. *Nothing* is -0.0, which added to any number leaves every bit as it is; sums are float32,
for DALI adds no float16, and holds uint8, int16 and float16 exactly.

Neither layout nor dtype is known when a graph is built, which leaves out two operators that need to know: ``grid_mask``
(HWC only, no float16, and on the CPU several times slower than erasing a lattice's squares) and ``multi_paste`` (the
same limits). No pixel passes through Python but for the fills of which `augdrop.adapters.dali.native_fills` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from nvidia.dali import types
from nvidia.dali.pipeline import do_not_convert

from augdrop.adapters.dali.native_fills import (
    NOTHING,
    check_adds,
    colours,
    hit_samples,
    is_colour,
    needs_dtype,
    needs_pixels,
    partners,
    patches,
    weights,
)
from augdrop.adapters.dali.native_host import Batch, Host, on_gpu, place
from augdrop.adapters.dali.native_regions import dropped, keep, kept, whole
from augdrop.errors import fail
from augdrop.fills import Constant
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.regions import Blocks, Boxes, Cells, Everywhere
from augdrop.transforms.base import Transform
from augdrop.transforms.composition import Compose, OneOf
from augdrop.transforms.regional import RegionalDropout

Path = tuple[int, ...]


@do_not_convert
def paint(
    transform: Transform,
    images: Any,
    decider: Callable[..., Plan | Plans],
    keys: Any,
    epochs: Any = None,
    *,
    ops: Any,
    layout: str | None = None,
    scores: Any = None,
    boxes: Any = None,
    dense: bool | None = None,
) -> Any:
    """Add the DALI operators that carry out a transform's plans; what they make equals the core's result bit for bit.

    ==============  ===================================================================================================
    uint8, int16    exact
    float32         exact, NaN staying some NaN; where masks travel (see ``dense``) -0.0 becomes 0.0, and pixels have to
                    be finite
    float16         the same; but a blend (Mixup) may be off by one unit in the last place on the CPU, where DALI's cast
                    rounds halves away from zero
    int32, int64    exact on erasing with a colour; an error for everything else, or on GPU graphs, where the dtype is
                    not always known, exact as far as float32 counts, to 2**24
    float64, bool   an error, for DALI's erase does not take them
    ==============  ===================================================================================================

    With GPU images the graph has been built and its nodes checked, but it has never run on a GPU; there regions go as
    they do on the CPU with ``dense=True``, which is tested.

    Args:
        transform: any AugDrop transform that draws its plans from keys.
        images: a DataNode, or a batch of dynamic mode; samples of one size.
        decider: ``decider(keys, epochs, shape)`` gives the plan of a batch ``(B, C, H, W)`` or ``(B, T, C, H, W)``; it
            gets ``scores=`` and ``boxes=`` if there are any; see `augdrop.adapters.dali.decide.Decider`.
        keys: one for each sample, as `augdrop.adapters.dali.keys` reads them; in dynamic mode a list will do.
        epochs: the same, or one integer, or None, which are handed to the decider as they are.
        ops: ``nvidia.dali.fn``, or ``nvidia.dali.experimental.dynamic``.
        layout: of the images; by default what DALI knows, which on a GPU graph has to be fetched.
        scores: a map ``[h, w]`` for each sample, for attentive methods.
        boxes: object boxes ``[K, 4]`` for each sample, in pixels by corners, for methods that look at them.
        dense: let grids and single pixels travel as uint8 keep masks, a byte for each pixel, rather than as rectangles
            of 16 bytes: by default on GPU graphs, where ``erase`` has room for few rectangles.

    Returns:
        The painted images, a node or a batch like ``images``.

    Raises:
        AugDropError: DALI's operators cannot carry the transform out; or, when the graph runs, not on these images.
    """
    given = {"keys": keys, "epochs": epochs, "scores": scores, "boxes": boxes}
    painter = _Painter(Host(ops, layout, decider, images, given), on_gpu(images) if dense is None else dense)
    if layout is not None:
        images = ops.reinterpret(images, layout=layout)
    return painter.paint(transform, _trial(transform), (), images)


def _trial(t: Transform) -> Any:
    """A plan of anything, for what a graph has to know before it sees a batch: kinds of regions, and who mixes."""
    _check(t)
    given = {"scores": torch.rand(2, 7, 7)} if t.uses_pixels else {}
    return t.plan((2, 3, 64, 64), keys=[0, 1], epoch=0, **given)  # pyright: ignore[reportCallIssue]


def _check(t: Transform) -> None:
    if isinstance(t, (Compose, OneOf)):
        for member in t.members:
            _check(member)
    elif not isinstance(t, RegionalDropout) or type(t).apply is not RegionalDropout.apply:
        raise fail(
            "to_dali: route='native'",
            got=f"{type(t).__name__}, which paints in its own way",
            expected="a RegionalDropout, or a composition of such",
            fix="Choose route='kernel'.",
        )


class _Painter:
    """Adds operators, step by step."""

    def __init__(self, host: Host, dense: bool) -> None:
        self.host, self.ops, self.dense = host, host.ops, dense

    def paint(self, t: Transform, trial: Any, path: Path, images: Any) -> Any:
        """A method, or a composition, whose plan is found at ``path``."""
        if isinstance(t, Compose):
            for i, member in enumerate(t.members):
                images = self.paint(member, trial.plans[i], (*path, i), images)
            return images
        if isinstance(t, OneOf):
            return self._one_of(t, trial, path, images)
        return self._method(t, trial, path, images, images)

    def _one_of(self, t: OneOf, trial: Any, path: Path, images: Any) -> Any:
        """Members one after the other, for no sample is hit by two; all take partners from the original images."""
        result = images
        for i, member in enumerate(t.members):
            inner = (*path, i)
            if not isinstance(member, (Compose, OneOf)):
                result = self._method(member, trial.plans[i], inner, result, images)
                continue
            branch = self.paint(member, trial.plans[i], inner, images)

            def chosen(batch: Batch) -> list[Any]:
                check_adds(batch)
                hit = hit_samples(batch)
                return [*whole(batch, hit), *whole(batch, ~hit)]

            result = self._splice(result, branch, self.host.call(chosen, 4, images, inner), "HW")
        return result

    def _method(self, t: Any, trial: Plan, path: Path, images: Any, source: Any) -> Any:
        """One method; partners come from ``source``."""
        if t.p == 0:
            return images
        dense = self.dense and not isinstance(trial.region, (Boxes, Cells, Blocks))
        axes = "FHW" if t.per_frame and "F" in (self.host.layout or "F") else "HW"
        if trial.partner is not None:
            return self._paste(t, trial, path, images, source, dense, axes)
        if is_colour(t, trial):
            return self._colour(trial, path, images, dense, axes)
        return self._patches(t, trial, path, images, dense, axes)

    def _colour(self, trial: Plan, path: Path, images: Any, dense: bool, axes: str) -> Any:
        """A colour a sample."""
        fill, black = trial.fill, trial.fill == Constant(0)

        def masked(batch: Batch) -> list[Any]:
            check_adds(batch)
            return [keep(batch), batch.along(colours(batch), "C")]

        def cut(batch: Batch) -> list[Any]:
            return [*dropped(batch, axes), colours(batch)]

        needs = {"dtype": needs_dtype(fill), "pixels": needs_pixels(fill)}
        if not dense:
            *where, colour = self.host.call(cut, 3, images, path, **needs)
            return self._erase(images, where, axes, colour)
        mask, colour = (place(v, images) for v in self.host.call(masked, 2, images, path, **needs))
        rest = self._wide(images) * mask
        return self._narrow(rest if black else rest + colour * (mask == 0), images)

    def _patches(self, t: RegionalDropout, trial: Plan, path: Path, images: Any, dense: bool, axes: str) -> Any:
        """Values that were worked out on the host."""

        def made(batch: Batch) -> list[Any]:
            return [*patches(t, batch), *([keep(batch)] if dense else dropped(batch, axes))]

        cut, start, size, *where = self.host.call(
            made, 4 if dense else 5, images, path, dtype=True, pixels=needs_pixels(trial.fill)
        )
        cut = self.ops.slice(
            place(cut, images), start=start, shape=size, axes=[], out_of_bounds_policy="pad", fill_values=NOTHING
        )
        rest = self._wide(images) * place(where[0], images) if dense else self._wide(self._erase(images, where, axes))
        return self._narrow(rest + self._wide(cut), images)

    def _paste(
        self, t: RegionalDropout, trial: Plan, path: Path, images: Any, source: Any, dense: bool, axes: str
    ) -> Any:
        """Another sample's pixels, or a blend with them."""
        blends = trial.opacity is not None
        # Where the images are their own partners, too, blending them with themselves leaves samples as they are.
        everywhere = blends and isinstance(t.where, Everywhere) and source is images

        def made(batch: Batch) -> list[Any]:
            arrays = [partners(batch), *(weights(batch) if blends else ())]
            if everywhere:
                return arrays
            check_adds(batch)
            return [*arrays, keep(batch)] if dense else [*arrays, *dropped(batch, axes), *kept(batch, axes)]

        n = 1 + 4 * blends + (0 if everywhere else 1 if dense else 4)
        partner, *rest = self.host.call(made, n, images, path, dtype=blends)
        other = self.ops.permute_batch(source, indices=partner)
        if blends:
            other = self._blend(images, other, *(place(v, images) for v in rest[:4]))
            rest = rest[4:]
        if not rest:
            return other
        if not dense:
            return self._splice(images, other, rest, axes)
        mask = place(rest[0], images)
        return self._narrow(self._wide(images) * mask + self._wide(other) * (mask == 0), images)

    def _blend(self, images: Any, other: Any, own: Any, others: Any, large: Any, back: Any) -> Any:
        """The weighted mean, with one rounding after each operation."""
        return self._narrow(self._wide(images) * own + self._wide(other) * others + large + back, images)

    def _splice(self, one: Any, other: Any, rectangles: list[Any], axes: str) -> Any:
        """``other`` in the first rectangles and ``one`` in the second, which together cover the canvas."""
        rest = self._wide(self._erase(one, rectangles[:2], axes))
        return self._narrow(rest + self._wide(self._erase(other, rectangles[2:], axes)), one)

    def _erase(self, images: Any, rectangles: list[Any], axes: str, fill: Any = NOTHING) -> Any:
        """``fill`` in rectangles, given as anchors and shapes."""
        anchor, shape = rectangles
        return self.ops.erase(images, anchor=anchor, shape=shape, axis_names=axes, fill_value=fill)

    def _wide(self, images: Any) -> Any:
        """Pixels as DALI can add them."""
        return self.ops.cast(images, dtype=types.FLOAT)  # pyright: ignore[reportAttributeAccessIssue]

    def _narrow(self, wide: Any, images: Any) -> Any:
        """And back to the dtype of the images."""
        return self.ops.cast_like(wide, images)
