"""kornia: any AugDrop transform as an augmentation of kornia, in its containers and alone."""

from __future__ import annotations

from collections.abc import Sequence

from augdrop.adapters.checks import check_transform
from augdrop.adapters.extras import require
from augdrop.errors import fail
from augdrop.transforms.base import Transform

require("kornia", extra="kornia", least="0.9")

from augdrop.adapters.kornia.container import LabelledSequential  # noqa: E402
from augdrop.adapters.kornia.ops import WHERE, Erase, Mix  # noqa: E402

__all__ = ["Erase", "LabelledSequential", "Mix", "to_kornia"]


def to_kornia(transform: Transform, *, keepdim: bool = False, data_keys: Sequence[str] | None = None) -> Erase | Mix:
    """Any AugDrop transform as an op of kornia, for ``AugmentationSequential``, ``VideoSequential`` and alone.

    Same seed, key and epoch: the same drop as everywhere. Keys come from ``augdrop.keys`` around the call, ``keys=`` of
    an op that is called alone, or else torch's generator.

    * Images are floats, as kornia demands. Alone, the op takes labels too: ``x, y = op(x, y)``, or ``data_keys``.
    * Masks are semantic, and follow the transform's `Policy`, as do boxes and keypoints; by default an erased object
      keeps its mask and box. Mixes paste masks.
    * Tensors cannot lose rows: a box that goes becomes zeros, as in kornia's ``filter_boxes_by_area``, a keypoint that
      goes NaN. A mix doubles the rows: first those of the sample, then what its partner brings. After the call
      ``op.box_origin`` has for each row its box's position in the given ones, flattened (-1: none), so that
      ``labels.flatten()[op.box_origin]`` are the labels; ``op.boxes_visible`` and ``op.keypoints_visible`` have the
      policy's flags. A box that a rotation has tilted is judged by the upright box around it; kornia's corners
      lie on the outermost pixels, and are read so.
    * Class labels: kornia's own container raises ``NotImplementedError`` for a mix; use `LabelledSequential`, or the op
      alone.
    * ``params`` of a call do it again: they hold keys and epochs, from which the plan follows, or the plan itself where
      it came from the pixels (`augdrop.AttentiveCutMix`). ``op.plan()`` is the last one.
    * In ``VideoSequential`` all frames share a region; with the transform's ``per_frame=True`` each has its own.
      With ``same_on_frame=False`` each frame is a sample, and needs a key. kornia hands out the keypoints of a mixed
      video with its frames as samples, ``[B T, 2 N, 2]``.

    Args:
        transform: any but those that look at object boxes; compositions too.
        keepdim: as everywhere in kornia: an image ``[C, H, W]`` comes back as one, not as a batch.
        data_keys: what the inputs of the op alone are; by default an image, or an image and its class.

    Raises:
        AugDropError: no float images, channels last, keys that repeat in a batch or do not fit it, data keys that do
            not fit the inputs.

    Example:
        >>> import augdrop as ad, torch
        >>> import kornia.augmentation as K
        >>> op = ad.to_kornia(ad.GridMask((8, 16), seed=0))
        >>> augment = K.AugmentationSequential(op, data_keys=["input", "mask"])
        >>> with ad.keys([7, 8]):
        ...     x, mask = augment(torch.ones(2, 3, 32, 32), torch.ones(2, 1, 32, 32))
        >>> bool((x == ad.GridMask((8, 16), seed=0)(torch.ones(2, 3, 32, 32), keys=[7, 8])).all())
        True
    """
    check_transform(WHERE, transform)
    if transform.uses_boxes:
        raise fail(
            WHERE,
            got="a transform that looks at object boxes",
            expected="one that does not, for kornia hands over images and boxes one by one",
            fix="Call it on the batch before or after kornia's container.",
        )
    return (Mix if transform.mixes else Erase)(transform, keepdim, data_keys)
