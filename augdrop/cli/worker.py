"""The work on one source: read it once, drop from each of its copies, write them, and say what was done."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from augdrop.cli.images import LoadedImage, load, save
from augdrop.cli.listing import ImageFile
from augdrop.cli.manifest import Record
from augdrop.cli.match import fit, fit_fill, like
from augdrop.cli.outputs import Output, label_of
from augdrop.errors import AugDropError, fail
from augdrop.fills import Partner
from augdrop.kernels.dispatch import apply
from augdrop.plan import Plan
from augdrop.plans import Plans
from augdrop.transforms.base import Transform

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Skipped(NamedTuple):
    """An output that could not be made; with ``fatal`` no other can be, either."""

    name: str
    why: str
    fatal: bool


@dataclasses.dataclass(frozen=True)
class Writer:
    """Makes the outputs of one source. Called in worker processes, so it is built from plain values.

    Args:
        build: makes the transform (once a process).
        out: the folder to write into.
        size: (H, W) to bring images to, or None for each image's own.
        classes: the class folders, or none.
        quality: of JPEG files.
    """

    build: Callable[[], Transform]
    out: Path
    size: tuple[int, int] | None
    classes: tuple[str, ...]
    quality: int

    def __call__(self, outputs: Sequence[Output]) -> list[Record | Skipped]:
        try:
            image, digest = read(outputs[0].source, self.size)
        except AugDropError as error:
            return [Skipped(output.name, str(error), False) for output in outputs]
        return [self._one(output, image, digest) for output in outputs]

    def _one(self, output: Output, image: LoadedImage, digest: str) -> Record | Skipped:
        try:
            transform = _once(self.build)
            # The image itself stands in for a partner that nobody may have to read: it has a partner's size.
            partner = None if output.partner is None else batch(image.pixels)
            partner_digest = None
            if output.partner is not None and transform.uses_pixels:
                partner, partner_digest = self._read_partner(output.partner, image, output)
            plan = decide(transform, image, partner, output.key, output.epoch)
            if output.partner is not None and partner_digest is None and own_share(plan) < 1:
                partner, partner_digest = self._read_partner(output.partner, image, output)
            save(paint(image, plan, partner), self.out / output.name, quality=self.quality)
        except AugDropError as error:
            return skipped(output.name, error)
        record: Record = {
            "output": output.name,
            "source": output.source.name,
            "source_sha256": digest,
            "copy": output.copy,
            "key": output.key,
            "epoch": output.epoch,
            "methods": methods(plan),
            "size": list(plan.size),
            "quality": self.quality,
        }
        if transform.mixes:
            share = own_share(plan)
            partner_file = output.partner if share < 1 else None
            record |= {
                "partner": partner_file and partner_file.name,
                "partner_sha256": partner_file and partner_digest,
            }
            if self.classes:
                smoothing = (transform.label_options() or {}).get("smoothing", 0.0)
                record["soft_label"] = self._soft_label(output, share, smoothing)
        if self.classes:
            record["label"] = label_of(output.source.name)
        return record | {"plan": plan.to_dict()}

    def _read_partner(self, file: ImageFile, image: LoadedImage, output: Output) -> tuple[Tensor, str]:
        other, digest = read(file, self.size)
        return matched(other, image, output), digest

    def _soft_label(self, output: Output, share: float, smoothing: float) -> dict[str, float]:
        """The classes that are not 0. Smoothing, if the recipe asks for it, is timm's."""
        soft = dict.fromkeys(self.classes, smoothing / len(self.classes))
        soft[label_of(output.source.name)] += share * (1 - smoothing)
        soft[label_of((output.partner or output.source).name)] += (1 - share) * (1 - smoothing)
        return {name: weight for name, weight in soft.items() if weight}


def read(file: ImageFile, size: tuple[int, int] | None) -> tuple[LoadedImage, str]:
    """An image at ``size``, and the SHA-256 of its file."""
    image = load(file.path)
    digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
    return (image if size is None else fit(image, size)), digest


def matched(partner: LoadedImage, image: LoadedImage, output: Output) -> Tensor:
    """A partner as a batch of one of the image's kind."""
    if partner.pixels.shape[:2] != image.pixels.shape[:2]:
        got = "{}×{} and, of its partner '{}', {}×{}".format(
            *image.pixels.shape[:2], output.partner.name if output.partner else "", *partner.pixels.shape[:2]
        )
        raise fail(f"mixing '{output.source.name}'", got=got, expected="one size", fix="Pass --size 224, say.")
    return batch(like(partner, image))


def batch(pixels: np.ndarray) -> Tensor:
    """A view ``[1, C, H, W]`` (channels last, as files are) of ``[H, W, C]``."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def decide(transform: Transform, image: LoadedImage, partner: Tensor | None, key: int, epoch: int) -> Plan | Plans:
    """The plan of one output, its fill in the file's units."""
    x = batch(image.pixels)
    given = {"partners": partner} if transform.mixes and partner is not None else {}
    return fit_fill(transform.decide(x, transform.draws(1, [key], epoch), **given), image)


def paint(image: LoadedImage, plan: Plan | Plans, partner: Tensor | None) -> LoadedImage:
    """The image after its plan. The plan is all it takes, so this is how a manifest is replayed, too."""
    x = _paint(batch(image.pixels).clone(), plan, partner)
    if image.bits == 16:  # held as int32, which does not end where the file's values do
        x = x.clamp_(0, 0xFFFF)
    return dataclasses.replace(image, pixels=np.ascontiguousarray(x[0].permute(1, 2, 0).numpy()))


def _paint(x: Tensor, plan: Plan | Plans, partner: Tensor | None) -> Tensor:
    if isinstance(plan, Plans):  # of a single image a choice is a chain, for at most one member hits
        for member in plan.plans:
            x = _paint(x, member, partner)
        return x
    return apply(x, plan, inplace=True, source=partner) if bool(plan.hit) else x


def own_share(plan: Plan | Plans) -> float:
    """The share of an output's pixels that are the source's own and not the partner's; counted, as labels want it."""
    parts = [p for p in leaves(plan) if isinstance(p.fill, Partner)]
    if len(parts) < 2:
        return float(parts[0].lam) if parts else 1.0
    own = torch.ones(plan.size, dtype=torch.float64)
    for part in parts:
        rest = 0.0 if part.opacity is None else 1 - float(part.opacity)
        own = torch.where(part.mask()[0], own * rest, own)
    return float(own.mean())


def leaves(plan: Plan | Plans) -> list[Plan]:
    """The single plans of a composition, in order."""
    return [leaf for p in plan.plans for leaf in leaves(p)] if isinstance(plan, Plans) else [plan]


def methods(plan: Plan | Plans) -> list[str]:
    """The methods that changed the image, in order."""
    return [leaf.method for leaf in leaves(plan) if bool(leaf.area())]


def skipped(name: str, error: AugDropError) -> Skipped:
    """The report of a failure; a full disk will not be empty for the next file."""
    cause = error.__cause__
    return Skipped(name, str(error), isinstance(cause, OSError) and cause.errno in _NO_ROOM)


_transform: tuple[Callable[[], Transform], Transform] | None = None


def _once(build: Callable[[], Transform]) -> Transform:
    global _transform
    if _transform is None or _transform[0] is not build:
        _transform = (build, build())
    return _transform[1]
