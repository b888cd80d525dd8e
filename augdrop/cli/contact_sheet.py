"""A contact sheet: pictures in rows and columns, with labels, on white."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_INK, _FAINT, _PAPER = (24, 24, 27), (113, 113, 122), (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: what it is, in a few words more, and its pictures."""

    title: str
    note: str
    pictures: Sequence[Image.Image]


def contact_sheet(rows: Sequence[Row], heads: Sequence[str], group: int) -> Image.Image:
    """Draw the rows; all pictures have one size.

    Args:
        rows: with one picture for each head.
        heads: of the columns.
        group: columns that belong together; a wider gap follows them, and a narrow one their first.
    """
    width, height = rows[0].pictures[0].size
    # Type and gaps follow the pictures, so that a sheet of small ones is not mostly margin.
    unit = max(4, round(min(width, height) / 32))
    large, small = (ImageFont.load_default(size=max(9, round(unit * scale))) for scale in (2.6, 1.9))
    line = round(unit * 3.2)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    notes = [_wrap(measure, row.note, small, max(round(width * 0.9), unit * 24)) for row in rows]
    texts = [(row.title, large) for row in rows] + [(text, small) for note in notes for text in note]
    label = round(max(measure.textlength(text, font=font) for text, font in texts)) + 3 * unit
    margin, gap, head = 4 * unit, unit, round(unit * 4.5)
    lefts, left = [], margin + label
    for i in range(len(heads)):
        lefts.append(left)
        last = i % group == group - 1
        left += width + (4 * gap if last else 2 * gap if i % group == 0 else gap)
    size = (lefts[-1] + width + margin, margin + head + len(rows) * (height + gap) - gap + margin)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, text in zip(lefts, heads, strict=True):
        draw.text((x, margin + head - unit), text, _FAINT, small, anchor="ls")
    for i, (row, note) in enumerate(zip(rows, notes, strict=True)):
        top = margin + head + i * (height + gap)
        middle = top + (height - (len(note)) * line) / 2
        draw.text((margin, middle), row.title, _INK, large, anchor="lm")
        for j, text in enumerate(note, start=1):
            draw.text((margin, middle + j * line), text, _FAINT, small, anchor="lm")
        for x, picture in zip(lefts, row.pictures, strict=True):
            sheet.paste(picture, (x, top))
    return sheet


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: object, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):  # and not at a space that holds words together
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=font) <= width:  # type: ignore[arg-type]
            lines[-1] = longer
        else:
            lines.append(word)
    return [line.replace("\u00a0", " ") for line in lines]  # the font has no glyph for it
