"""``augdrop preview``: one picture of what methods do; rows are methods, columns are draws."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augdrop.citation import Citation
from augdrop.cli import token_preview
from augdrop.cli.apply import Size, whole
from augdrop.cli.contact_sheet import Row, contact_sheet
from augdrop.cli.images import LoadedImage, load, save
from augdrop.cli.listing import list_images
from augdrop.cli.match import fit, like
from augdrop.cli.outputs import key_for
from augdrop.cli.recipe import build
from augdrop.cli.worker import batch, decide, paint
from augdrop.errors import fail, nearest
from augdrop.registry import METHODS
from augdrop.transforms.base import Transform

_MOST = 4
"""Images on one sheet; more would be too small to see."""

_TRIES = 20
"""Draws until one drops something: Hide-and-Seek may choose no grid, which here would look like a mistake."""

_SHOWN = {"Cutout": "imagenet", "Mixup": "cifar"}
"""Presets of methods whose defaults are meant for smaller images, or are hard to see in a few draws."""

_EPILOG = """
Every draw is shown hit (p = 1), at the methods' defaults or a preset; one that drops nothing is drawn again. Mixes take
the next image as a partner, and of a single image its mirror image with other colours. With --tokens the patches that a
method removes are faded, and those that it merges have one colour.
"""


def add_to(commands: Any) -> None:
    """Add the command's part to the parser."""
    sub = commands.add_parser(
        "preview", help="one picture of what methods do", description=(__doc__ or "").partition(": ")[2], epilog=_EPILOG
    )
    sub.add_argument("sources", metavar="SOURCE", type=Path, nargs="+", help="images or folders; a few are shown")
    sub.add_argument("--methods", metavar="A,B:PRESET", help="by default all; a preset after a colon")
    sub.add_argument(
        "--tokens", action="store_true", help="methods for tokens: what they keep, drop or merge of 16×16 patches"
    )
    sub.add_argument("--draws", metavar="N", type=whole(1), help="of each image; by default 4 in all")
    sub.add_argument(
        "--size",
        metavar=("H", "W"),
        type=whole(16),
        nargs="+",
        action=Size,
        default=(224, 224),
        help="of each picture (224)",
    )
    sub.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    sub.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("preview.png"), help="what to write (preview.png)"
    )
    sub.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Draw it and say where it is."""
    if given.tokens:
        token_preview.check_size(given.size)
    names = _names(given.methods, token_preview.DRAWN if given.tokens else METHODS, token_preview.NOT_DRAWN)
    methods = [_method(*name, given) for name in names]
    images = [fit(load(path), given.size) for path in _chosen(given.sources)]
    partners = [*images[1:], images[0]] if len(images) > 1 else [_mirrored(images[0])]
    draws = given.draws or max(1, 4 // len(images))
    rows = []
    for (name, preset), method in zip(names, methods, strict=True):
        pictures = []
        for i, (image, partner) in enumerate(zip(images, partners, strict=True)):
            pictures.append(_picture(image))
            for draw in range(draws):
                key, progress = key_for(str(i), draw), (draw + 1) / draws
                pictures.append(_drawn(method, image, partner, key, progress))
        rows.append(Row(name, _note(method, preset), pictures))
    heads = ["original", *(f"draw {i + 1}" if draws > 1 else "dropped" for i in range(draws))] * len(images)
    sheet = contact_sheet(rows, heads, group=1 + draws)
    save(LoadedImage(np.array(sheet)), given.out)
    print(
        f"{given.out}: {len(rows)} methods, {draws} draws of {len(images)} images, {sheet.width}×{sheet.height} pixels"
    )
    if given.tokens and given.methods is None:
        for name, why in token_preview.NOT_DRAWN.items():
            print(f"    not drawn: {name}: {why}")
    return 0


def _names(methods: str | None, known: Mapping[str, Any], more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and presets; by default all that are known, and of ``more`` those that are asked for."""
    if methods is None:
        return [(name, _SHOWN.get(name, "")) for name in known]
    parts = [part.strip().partition(":") for part in methods.split(",") if part.strip()]
    if not parts:
        raise fail("--methods", got=repr(methods), expected="names", fix=nearest("", known))
    for name, _, _ in parts:
        if name not in known and not (name in more and known is token_preview.DRAWN):
            raise fail("--methods", got=repr(name), expected="a method", fix=nearest(name, known))
    return [(name, preset) for name, _, preset in parts]


def _method(name: str, preset: str, given: argparse.Namespace) -> Transform | token_preview.Method:
    if given.tokens:
        return token_preview.method_of(name, preset, given.seed, given.size)
    return build({name: ({"preset": preset} if preset else {}) | {"p": 1.0}}, given.seed)


def _note(method: Transform | token_preview.Method, preset: str) -> str:
    """Where a method is from, and what of it is shown."""
    parts = [_cited(type(method).citation), f"preset\u00a0{preset}" if preset else ""]
    parts.append(token_preview.note_of(method))
    return " · ".join(part for part in parts if part)


def _cited(citation: Citation | None) -> str:
    """Authors and year, as a text cites them."""
    if citation is None:
        return ""
    first, others, _ = citation.authors.partition(",")
    return f"{first}{' et al.' if others else ''} {citation.year}"


def _chosen(sources: Sequence[Path]) -> list[Path]:
    """Of more images than fit, some that are spread evenly over the folders."""
    paths = [file.path for source in sources for file in list_images(source)]
    if len(paths) > _MOST:
        paths = [paths[i * len(paths) // _MOST] for i in range(_MOST)]
    return paths


def _mirrored(image: LoadedImage) -> LoadedImage:
    """A partner for an image that is alone: its mirror image, its channels turned round."""
    return LoadedImage(np.ascontiguousarray(image.pixels[:, ::-1, ::-1]), None, image.bits)


def _drawn(
    method: Transform | token_preview.Method, image: LoadedImage, partner: LoadedImage, key: int, progress: float
) -> Image.Image:
    if not isinstance(method, Transform):
        return token_preview.drawn(method, _picture(image), key, progress)
    other = batch(like(partner, image))
    for epoch in range(_TRIES):
        plan = decide(method, image, other, key, epoch)
        if plan.area().any():
            break
    return _picture(paint(image, plan, other))


def _picture(image: LoadedImage) -> Image.Image:
    """As a screen shows it: 8 bits, and what is transparent on white."""
    pixels = image.pixels if image.bits == 8 else (image.pixels // 257).astype(np.uint8)
    picture = Image.fromarray(pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels)
    if image.alpha is None:
        return picture
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), Image.fromarray(image.alpha))
