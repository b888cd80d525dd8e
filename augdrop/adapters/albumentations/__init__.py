"""albumentations: any AugDrop transform that mixes nothing, as a transform for ``A.Compose``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from augdrop.adapters.checks import check_transform
from augdrop.adapters.extras import require
from augdrop.annotations.members import each
from augdrop.errors import fail
from augdrop.transforms.base import Transform


def _distribution() -> str:
    """AlbumentationsX is imported by the same name."""
    try:
        version("albumentations")
    except PackageNotFoundError:
        return "albumentationsx"
    return "albumentations"


require("albumentations", extra="albumentations", least="2.0.8", package=_distribution())

from augdrop.adapters.albumentations.arrays import WHERE  # noqa: E402
from augdrop.adapters.albumentations.transform import AugDrop  # noqa: E402

__all__ = ["AugDrop", "to_albumentations"]


def to_albumentations(transform: Transform, p: float = 1.0) -> AugDrop:
    """Any AugDrop transform that mixes nothing as a transform of albumentations.

    Same seed, key and epoch: the same drop as everywhere. Keys come from ``augdrop.keys`` around the call, which
    `augdrop.keyed` sets for each item of a data set; or from a ``key=`` beside the image. Without keys albumentations'
    own random state governs, so that ``A.Compose(..., seed=0)`` repeats itself.

    * ``image``, ``images``, ``volume`` and ``volumes`` share a region; with the transform's ``per_frame=True`` each
      slice has its own.
    * ``mask``, ``mask3d`` and ``masks3d`` hold classes, ``masks`` objects; both follow the transform's `Policy`, which
      by default leaves them.
    * Boxes follow the policy first, then albumentations' own rules (``min_visibility`` and the rest); labels go with
      them. Keypoints that the policy flags go if ``A.KeypointParams`` has ``remove_invisible``, as it has by default.
    * ``A.to_dict`` writes the transform down, seed and all; ``A.from_dict`` reads it once this module is imported.
      ``A.ReplayCompose`` replays it.

    Mixes have no place in albumentations, whose transforms see one sample: give them to `augdrop.collate`, around a
    data set that augments with albumentations::

        loader = DataLoader(ad.keyed(dataset, attach=True), 64, collate_fn=ad.collate(ad.CutMix(num_classes=10)))

    Args:
        transform: any that mixes nothing; compositions too.
        p: albumentations' own chance, and the weight in ``A.OneOf``; below 1 there are more samples without a drop than
            elsewhere.

    Raises:
        AugDropError: a mix, images that are not H×W×C, boxes or keypoints whose format ``A.Compose`` was not told.

    Example:
        >>> import albumentations as A, augdrop as ad, numpy as np
        >>> stage = A.Compose([A.HorizontalFlip(p=1.0), ad.to_albumentations(ad.Cutout(8, seed=0))])
        >>> image = np.full((32, 32, 3), 255, np.uint8)
        >>> with ad.keys(17):
        ...     out = stage(image=image)["image"]
        >>> bool((out == ad.Cutout(8, seed=0)({"image": image}, keys=17)["image"]).all())
        True
    """
    check_transform(WHERE, transform)
    if transform.mixes:
        raise fail(
            WHERE,
            got=f"{type(transform).__name__}, which mixes samples",
            expected="a transform of one sample, for albumentations shows no more",
            fix="Mix batches: DataLoader(augdrop.keyed(dataset, attach=True), collate_fn=augdrop.collate(mix)).",
        )
    if any(policy.boxes != "keep" and policy.removed == "flag" for policy in each(transform.policy())):
        got, fix = "a policy that flags boxes", 'Use Policy(removed="remove"); labels go with their boxes.'
        raise fail(WHERE, got=got, expected="one that removes them: there is no place for flags", fix=fix)
    return AugDrop(transform, p=p)
