"""Policies: what a drop does to a sample's boxes, masks and keypoints."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args, get_type_hints

from augdrop.checks import check_share, plain_fields
from augdrop.errors import fail, nearest


@dataclasses.dataclass(frozen=True)
class Policy:
    """How annotations follow a drop. The drop alone decides: an object that loses nothing is never touched.

    Args:
        boxes: ``"keep"`` leaves every object; ``"filter"`` lets objects go that are hardly visible any more;
            ``"shrink"`` does that, and fits the box of a damaged object to what is still visible of it. A
            rotated box keeps its angle.
        min_visibility: least share of the object (its instance mask, else its box inside the canvas, else its
            keypoints) that stays visible, in [0, 1]. What is not visible at all goes even at 0.
        min_area: least visible area in pixels.
        by: ``"area"`` judges by the two numbers above; ``"centre"`` lets an object go when its box's centre is dropped.
        removed: ``"remove"`` the objects that go, or ``"flag"`` them: they stay, with False in ``boxes_visible``.
        masks: for erasing: ``"keep"``; ``"fill"`` puts ``mask_fill`` into semantic masks where pixels are dropped;
            ``"cut"`` does that, and takes the dropped pixels from instance masks. Mixing always pastes masks.
        mask_fill: a class: 0 is background as a rule, 255 the usual ``ignore_index``.
        keypoints: of points that are dropped: ``"keep"``; ``"flag"``: False in ``keypoints_visible``, and 0 in a third
            column; ``"remove"``: loose points ``[P, 2 or 3]`` go, points of skeletons ``[K, P, 3]`` become (0, 0, 0),
            which is COCO's way to say "not labelled".
    """

    boxes: Literal["keep", "filter", "shrink"] = "keep"
    min_visibility: float = 0.1
    min_area: float = 0.0
    by: Literal["area", "centre"] = "area"
    removed: Literal["remove", "flag"] = "remove"
    masks: Literal["keep", "fill", "cut"] = "keep"
    mask_fill: int = 0
    keypoints: Literal["keep", "flag", "remove"] = "flag"

    def __post_init__(self) -> None:
        plain_fields(self)
        for name, hint in get_type_hints(type(self)).items():
            valid, value = get_args(hint), getattr(self, name)
            if valid and value not in valid:
                raise fail(f"Policy: {name}", got=repr(value), expected="a known word", fix=nearest(str(value), valid))
        check_share("Policy: min_visibility", self.min_visibility)
        if not isinstance(self.min_area, (int, float)) or not self.min_area >= 0:
            got = repr(self.min_area)
            raise fail("Policy: min_area", got=got, expected="pixels, 0 or more", fix="The default is 0.")
        if not isinstance(self.mask_fill, int):
            raise fail("Policy: mask_fill", got=repr(self.mask_fill), expected="a class", fix="The default is 0.")


ERASING = Policy()
"""The default where pixels are erased: an object is still there when a part of it cannot be seen."""

MIXING = Policy(boxes="filter")
"""The default where pixels come from a partner: objects go with their pixels, and come with them."""
