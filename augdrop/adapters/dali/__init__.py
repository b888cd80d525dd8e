"""DALI: any AugDrop transform as a stage of a pipeline, and between the calls of dynamic mode.

Samples need names that ride beside them as data, so that any reader and shuffling will do. A file reader knows its
files, and a file's path below ``file_root`` is a good key (`augdrop.key_of` of it gives the same drop anywhere else)::

    stage = ad.to_dali(ad.CutMix(num_classes=1000, seed=0), padded=True)

    @pipeline_def(batch_size=256, num_threads=8)
    def train(root):
        jpegs, labels = fn.readers.file(file_root=root, random_shuffle=True, pad_last_batch=True, name="reader")
        images = fn.decoders.image_random_crop(jpegs)
        images = fn.resize(images, size=[224, 224])
        return stage(images, labels, keys=fn.get_property(jpegs, key="source_info"))

DALI works ahead, so the epoch rides beside them as well. It can be told from the number of batches (``n`` an epoch)::

        epoch = fn.external_source(lambda info: np.array([info.iteration // n]), batch=False)
        return stage(images, labels, keys=..., epoch=epoch)

Numbers are names, too: a reader that is given ``files=`` and ``labels=[i * classes + c for i, (_, c) in ...]`` returns
one number a sample, from which the graph takes ``keys=number // classes`` and ``labels=number % classes``.

A stage keeps nothing from batch to batch: checkpoints hold all there is if the readers' do. A graph with a stage cannot
be serialized, as none with a Python function can. On the CPU a stage paints a copy that DALI makes, or the images where
they lie if it is told ``inplace=True``, on as many threads as DALI's own leave cores, or on all cores if the pipeline
does not work ahead. DALI runs CPU operators one after the other, so a stage's time adds to a batch's whatever the
executor. GPU graphs are made of DALI's operators and small functions on the host; how they fit together is tested
without a GPU, what they paint is tested on the CPU.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from augdrop.adapters.extras import require


def _package() -> str:
    """The distribution that DALI comes in: one for each CUDA version."""
    for name in ("nvidia-dali-cuda120", "nvidia-dali-cuda130"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name
    return "nvidia-dali"


require("nvidia.dali", extra="dali", least="2.4", package=_package())

from augdrop.adapters.dali.boxes import Geometry  # noqa: E402
from augdrop.adapters.dali.stage import Stage  # noqa: E402
from augdrop.transforms.base import Transform  # noqa: E402

__all__ = ["Stage", "to_dali"]


def to_dali(
    transform: Transform,
    route: str | None = None,
    *,
    bbox_format: str | None = None,
    ratio: bool = False,
    padded: bool = False,
    inplace: bool = False,
) -> Stage:
    """A stage: ``images = stage(images, keys=ids)`` in a pipeline definition, and the very same in dynamic mode.

    A call takes, beside ``images`` (HWC, CHW, FHWC or FCHW; uint8, int16, int32, float16, float32):

    * ``labels``: a class index or a target for every class; of mixes come soft float32 targets, as `augdrop.labels.mix`
      makes them. With ``boxes=`` they are the objects' labels, one a box, and go and come with their boxes.
    * ``keys``: one integer a sample, or its name as a uint8 string (``source_info``). They must differ in a batch.
    * ``epoch``: an integer, or one a sample that rides as data; by default what ``stage.set_epoch`` has set.
    * ``boxes`` ``[K, 4]`` and ``keypoints`` ``[P, 2 or 3]`` or ``[K, P, 3]`` of a sample; the transform's
      ``annotations`` policy says what becomes of them.
    * ``masks``: a class for each pixel: HW, or with one channel HWC or CHW; of a video, one a frame. (Instance masks
      are not taken.)
    * ``scores``: a map ``[h, w]`` a sample, for attentive methods.
    * ``layout``: of the images, where DALI doesn't know it.

    Out come the images alone, or a tuple in this order, of what there is: images, labels (``(a, b, lam)`` of a mix with
    ``targets="pairs"``), boxes, boxes_visible, masks, keypoints, keypoints_visible. The flags (bool) are there where
    the policy flags, which is the default for keypoints.

    Args:
        transform: any AugDrop transform, `OneOf`, `Compose` and your own `RegionalDropout` included.
        route: ``"kernel"`` calls AugDrop's CPU kernel once a batch, ``"native"`` uses DALI's own operators, with equal
            results; by default the kernel on the CPU and DALI's operators on a GPU.
        bbox_format: ``"ltrb"`` or ``"xywh"``, as ``ltrb=`` of `fn.readers.coco` has it; boxes need it.
        ratio: as in that reader: boxes and keypoints are in shares of the image's width and height, else in pixels.
        padded: the reader repeats its last sample to fill the last batch (``pad_last_batch=True``): copies at the end
            of a batch get the drop of the sample that they copy, and are nobody else's partner. A reader that does not
            pad fills the batch from the next epoch instead, in which a sample may come twice, which is an error.
        inplace: images and masks may be overwritten, for nobody else in the graph reads them; the kernel then paints
            where they lie and not a copy. Leave it out behind an external source with ``no_copy=True``.

    Raises:
        AugDropError: for bad arguments at once. What is only known when the graph runs (layouts, sizes, keys that
            repeat) is raised then, and DALI makes a RuntimeError of it, with the message in it.

    Example:
        >>> import augdrop as ad, torch
        >>> import nvidia.dali.experimental.dynamic as ndd
        >>> images = ndd.as_batch(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8), layout="HWC")
        >>> stage = ad.to_dali(ad.CutMix(num_classes=2, seed=0))
        >>> images, targets = stage(images, ndd.as_batch([0, 1, 1, 0]), keys=[10, 11, 12, 13])
        >>> images.layout, targets.torch().shape
        ('HWC', torch.Size([4, 2]))
    """
    return Stage(transform, route, Geometry(bbox_format, ratio), padded, inplace)
