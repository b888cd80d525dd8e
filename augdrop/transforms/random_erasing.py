"""Random Erasing: a rectangle of random area and shape, filled with noise."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Unpack

import numpy as np
from torch import Tensor

from augdrop.checks import check_choice, check_range, check_whole
from augdrop.citation import Citation
from augdrop.fills import Fill, Noise
from augdrop.regions.random_boxes import AreaBoxes
from augdrop.transforms.options import Options
from augdrop.transforms.regional import RegionalDropout
from augdrop.transforms.shapes import batch_size

_IMAGENET_MEAN = (0.4914, 0.4822, 0.4465)


class RandomErasing(RegionalDropout):
    """Erase a rectangle whose area and aspect ratio are drawn, again until it fits.

    The defaults are the paper's; ``RandomErasing.preset(name)`` has the rules of the authors' code, torchvision and
    timm, which differ in nearly everything.

    Args:
        area: share of the image, uniform in this range (torchvision: ``scale``).
        ratio: height / width, in this range.
        log_ratio: draw the ratio log-uniformly, as torchvision and timm do; the paper draws it uniformly.
        fill: the paper fills each pixel with uniform noise.
        count: rectangles an image, a number or ``(fewest, most)``.
        attempts: draws until a rectangle is given up, and the image stays as it is.
        inside: draw a corner for which the rectangle fits; the paper draws it over the whole image, and again if the
            rectangle sticks out.
        share_area: divide the area among the rectangles, as timm does.
        objects: erase in the whole image (``None``, the paper's IRE), inside every object box of a sample (``"only"``,
            ORE) or both (``"too"``, I+ORE).
        options: see `Options`; ``p`` is 0.5 in the paper.

    Example:
        >>> import augdrop as ad, torch
        >>> t = ad.RandomErasing.preset("torchvision", p=1.0, seed=0)
        >>> x = torch.ones(4, 3, 32, 32)
        >>> bool((t(x) == 0).any(dim=(1, 2, 3)).all())
        True
    """

    citation: ClassVar = Citation(
        "Zhong, Zheng, Kang, Li & Yang", 2020, "Random Erasing data augmentation, AAAI", "1708.04896"
    )
    defaults: ClassVar = {"p": 0.5}
    presets: ClassVar = {
        "paper": {},
        "authors": {"attempts": 100, "inside": True, "fill": _IMAGENET_MEAN},
        "torchvision": {
            "area": (0.02, 0.33), "ratio": (0.3, 3.3), "log_ratio": True, "attempts": 10, "inside": True, "fill": 0,
        },
        "timm": {
            "area": (0.02, 1 / 3), "ratio": (0.3, 1 / 0.3), "log_ratio": True, "attempts": 10, "inside": True,
            "share_area": True, "fill": 0,
        },
        "timm-rand": {
            "area": (0.02, 1 / 3), "ratio": (0.3, 1 / 0.3), "log_ratio": True, "attempts": 10, "inside": True,
            "share_area": True, "fill": Noise("normal", per="channel"),
        },
        "timm-pixel": {
            "area": (0.02, 1 / 3), "ratio": (0.3, 1 / 0.3), "log_ratio": True, "attempts": 10, "inside": True,
            "share_area": True, "fill": Noise("normal"),
        },
    }  # fmt: skip

    def __init__(
        self,
        area: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        log_ratio: bool = False,
        fill: Fill | float | tuple[float, ...] | str = Noise(),  # noqa: B008 (frozen)
        count: int | tuple[int, int] = 1,
        attempts: int = 1000,
        inside: bool = False,
        share_area: bool = False,
        objects: Literal["only", "too"] | None = None,
        **options: Unpack[Options],
    ) -> None:
        check_range("RandomErasing: area", area, 0, 1)
        check_range("RandomErasing: ratio", ratio, 1e-3, 1e3)
        check_whole("RandomErasing: attempts", attempts, 1)
        count = (count, count) if isinstance(count, int) else count
        check_range("RandomErasing: count", count, 1, 1000, whole=True)
        if objects is not None:
            check_choice("RandomErasing: objects", objects, ("only", "too"))
        # Floats throughout: a kernel is compiled for the types that it is called with.
        area, ratio = (tuple(map(float, ends)) for ends in (area, ratio))  # type: ignore[assignment]
        where = AreaBoxes(area, ratio, log_ratio, attempts, tuple(count), inside, share_area)  # type: ignore[arg-type]
        super().__init__(where=where, fill=fill, **options)
        self.objects = objects
        self.uses_boxes = objects is not None
        self._alone &= objects is None
        self._blind = objects is None and type(self).inputs is RandomErasing.inputs

    def inputs(
        self, x: Tensor, partner: np.ndarray | None, boxes: list[Tensor] | None = None, **given: Any
    ) -> dict[str, Any]:
        rest = super().inputs(x, partner, **given)
        if self.objects is None:
            return rest
        size = (x.shape[-2], x.shape[-1])
        return rest | {"objects": whole_pixels(boxes, batch_size(x), size, self.objects == "too")}


def whole_pixels(boxes: list[Tensor] | None, batch: int, size: tuple[int, int], image_too: bool) -> np.ndarray:
    """Boxes ``x0, y0, x1, y1`` as int64 ``[B, M, 4]`` of ``y0, x0, y1, x1`` on the canvas, padded with empty ones."""
    objects = (
        [np.zeros((0, 4))] * batch
        if boxes is None
        else [b.detach().cpu().double().numpy()[:, [1, 0, 3, 2]] for b in boxes]
    )
    most = max((len(o) for o in objects), default=0)
    # The image goes first: the draws of a box go by its number, and that must not depend on the batch.
    table = np.zeros((batch, image_too + most, 4), np.int64)
    table[:, : int(image_too)] = 0, 0, *size
    for row, o in zip(table[:, int(image_too) :], objects, strict=True):
        low, high = np.floor(o[:, :2]), np.ceil(o[:, 2:])
        row[: len(o)] = np.clip(np.concatenate([low, high], 1), 0, [*size, *size])
    return table
