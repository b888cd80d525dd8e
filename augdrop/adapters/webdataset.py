"""WebDataset: any AugDrop transform as a stage of a pipeline of shards."""

from __future__ import annotations

from augdrop.adapters.extras import require
from augdrop.adapters.fields import Fields, FieldStage, Name
from augdrop.transforms.base import Transform

require("webdataset", extra="webdataset", least="0.2.86")


def to_webdataset(
    transform: Transform,
    *,
    image: Name = "jpg;jpeg;png;webp",
    label: Name | None = "cls",
    masks: Name | None = None,
    boxes: Name | None = None,
    keypoints: Name | None = None,
    key: Name | None = "__key__",
    epoch: Name | None = "__epoch__",
) -> FieldStage:
    """Any AugDrop transform as a stage for ``.map``: of samples or, for mixes, of batches after ``.batched``.

    A sample's drop goes by its ``__key__`` (`augdrop.key_of`), so shards, workers, shuffling and batches do not matter;
    mixes find their partners in the batch. Samples are dicts, or tuples, whose entries are then named by position:
    ``.to_tuple("jpg", "cls", "__key__").map(to_webdataset(t, image=0, label=1, key=2))``. A function of ``.map_dict``
    or ``.map_tuple`` sees one entry and no key: there the transform itself will do, and torch's generator governs.

    Args:
        transform: any, compositions too.
        image: where decoded images are, PIL, tensors C×H×W or arrays H×W×C; of several names the first that is there.
        label: where the class is; only mixes need it. None: there is none.
        masks, boxes, keypoints: where annotations are (see `augdrop.samples`); what is not named stays as it is.
        key: where the name or number is. Keys may not repeat in a batch: if shards repeat names, make them longer in a
            ``.map`` before; if samples are drawn with replacement, give None, and torch's generator governs.
        epoch: where the epoch is, if samples carry it; else it is that of ``stage.set_epoch(e)``.

    Raises:
        ImportError: webdataset is not installed.
        AugDropError: an entry is missing, keys repeat, or a mix sees single samples.

    Example:
        >>> import augdrop as ad, numpy as np
        >>> samples = [{"__key__": f"{i:03}", "png": np.ones((16, 16, 3), np.uint8), "cls": i} for i in range(8)]
        >>> import webdataset as wds
        >>> shards = wds.DataPipeline(lambda: iter(samples), wds.map(ad.to_webdataset(ad.Cutout(8, seed=0))))
        >>> [int((s["png"] == 0).sum()) for s in shards][:3]
        [96, 120, 192]
        >>> mix = ad.to_webdataset(ad.CutMix(num_classes=8, seed=0))
        >>> shards = wds.DataPipeline(lambda: iter(samples), wds.batched(4), wds.map(mix))
        >>> [batch["cls"].shape for batch in shards]
        [(4, 8), (4, 8)]
    """
    repair = "Make names longer, or pass key=None if samples are drawn with replacement."
    return FieldStage(transform, Fields("to_webdataset", image, label, masks, boxes, keypoints, key, epoch, repair))
