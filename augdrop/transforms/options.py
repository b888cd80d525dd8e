"""Options: the parameters that all methods have in common, and which parameters a method has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict

from augdrop.annotations import Policy
from augdrop.errors import nearest


class Options(TypedDict, total=False):
    """Options of every method.

    p: chance of each sample, in [0, 1], or a function of the epoch such as `augdrop.Ramp`.
    seed: any integer; None takes one from torch's generator when the transform is made.
    annotations: what happens to boxes, masks and keypoints.
    per_frame: give each frame of a video a region of its own.
    labels_getter: where the labels are, as torchvision's CutMix takes it.
    """

    p: float | Callable[[int], float]
    seed: int | None
    annotations: Policy | None
    per_frame: bool
    labels_getter: Any


class MixOptions(Options, total=False):
    """Options of every method that mixes samples.

    num_classes: needed for class indices.
    label_smoothing: as timm: ``smoothing / num_classes`` everywhere, and the rest on the class.
    multi_label: targets are multi-hot; smoothing then goes towards one half.
    targets: ``"soft"`` for ``[B, num_classes]``, ``"pairs"`` for ``(y_a, y_b, lam)``.
    per: who shares a draw: ``"sample"`` (nobody), ``"pair"`` or ``"batch"`` (the original papers' rule).
    """

    num_classes: int | None
    label_smoothing: float
    multi_label: bool
    targets: str
    per: str


OPTIONS: dict[str, Any] = {
    "p": 1.0,
    "seed": None,
    "annotations": None,
    "per_frame": False,
    "labels_getter": "default",
}
"""The options of every method, with their defaults."""

MIX_OPTIONS: dict[str, Any] = {
    "num_classes": None,
    "label_smoothing": 0.0,
    "multi_label": False,
    "targets": "soft",
    "per": "sample",
}
"""The further options of methods that mix samples."""


def valid_options(cls: type[Any]) -> dict[str, Any]:
    """All parameters of a method by name, with their defaults."""
    parameters = inspect.signature(cls.__init__).parameters
    valid = {n: p.default for n, p in parameters.items() if n not in ("self", "options")}
    if "options" in parameters:
        mixing = "MixOptions" in str(parameters["options"].annotation)
        options = OPTIONS | (MIX_OPTIONS if mixing else {}) | dict(cls.defaults)
        valid |= {n: v for n, v in options.items() if n not in valid}
    return valid


ELSEWHERE = {"beta": "alpha", "scale": "area", "value": "fill"}
"""Parameters by the names that torchvision and the papers' authors have for them."""


def advice(cls: type[Any], option: str) -> str:
    """What to do about an option that a method does not have."""
    valid = valid_options(cls)
    if option == "inplace":
        return "It goes with each call: t(x, inplace=True)."
    return f"Here it is {ELSEWHERE[option]!r}." if ELSEWHERE.get(option) in valid else nearest(option, valid)
