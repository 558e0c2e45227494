"""All findings on one page: where they lie in the chest, each enlarged, a table, and what to know about them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from inference.findings import Finding
from pacs_node.report.colour import finding_rgb
from pacs_node.report.overlay.chest import radiograph
from pacs_node.report.overlay.finding import facts
from pacs_node.report.overlay.nodule import enlarged
from pacs_node.report.overlay.style import (
    BACKGROUND,
    HEADER,
    LINE,
    MARGIN,
    MUTED,
    PANEL,
    TEXT,
    Caption,
    Pen,
    Picture,
    canvas,
    font,
    halo_text,
    lines,
)
from pacs_node.report.overlay.views import Scene

WIDTH, INSIDE = 1024, 976
MAP_WIDTH, TOP_HEIGHT = 420, 470
GAP = 16
ROW = 30
MOST = 15
"""Findings that table and thumbnails have room for; the others have their own pictures."""
_COLUMNS = (16, 52, 138, 276, 384, 496, 578, 640, 752, 868)
_HEADINGS = (
    "#",
    "Diameter",
    "Long x short axis",
    "Volume",
    "Attenuation",
    "Type",
    "Side",
    "Slice (image)",
    "Cancer prob.",
    "Certainty",
)
_SLICE = 7
"""Place of the column that `facts` does not have."""
_NOTE, _REASON = 14, 18
_FINER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What stands below the findings: the models, and remarks, each in lines of their own."""

    models: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def summary_picture(scene: Scene | None, caption: Caption, notes: Notes) -> Picture:
    """The page of a result, also of one without findings; without a scene of a study that was not analysed."""
    parts = [_top(scene, caption.title)]
    if scene is not None and scene.findings:
        parts.append(_table(scene))
    size = _NOTE if scene is not None else _REASON
    parts += [_texts(heading, texts, size) for heading, texts in _sections(notes) if texts]
    height = HEADER + sum(part.height + GAP for part in parts) + MARGIN - GAP
    if scene is None or not scene.findings:  # then the title stands in the middle
        caption = dataclasses.replace(caption, title="Lung nodules")
    picture, _ = canvas(WIDTH, height, caption)
    y = HEADER
    for part in parts:
        picture.paste(part, (MARGIN, y))
        y += part.height + GAP
    return picture


def _sections(notes: Notes) -> tuple[tuple[str, Sequence[str]], ...]:
    return ("Remarks", notes.remarks), ("Models", notes.models)


def _top(scene: Scene | None, title: str) -> Picture:
    """The map, and beside it the findings enlarged; or the title if there are none."""
    if scene is None:
        return _statement(title, INSIDE, TOP_HEIGHT // 2)
    picture = Image.new("RGB", (INSIDE, TOP_HEIGHT), BACKGROUND)
    chest = _map(scene)
    picture.paste(Image.new("RGB", (MAP_WIDTH, TOP_HEIGHT)), (0, 0))
    picture.paste(chest, ((MAP_WIDTH - chest.width) // 2, (TOP_HEIGHT - chest.height) // 2))
    left = MAP_WIDTH + GAP
    if scene.findings:
        picture.paste(_thumbnails(scene, INSIDE - left, TOP_HEIGHT), (left, 0))
    else:
        picture.paste(_statement(title, INSIDE - left, TOP_HEIGHT), (left, 0))
    return picture


def _map(scene: Scene) -> Picture:
    """The chest from the front with a ring around every finding; drawn larger and then reduced, to be smooth."""
    chest = radiograph(scene.volume, TOP_HEIGHT * _FINER, MAP_WIDTH * _FINER)
    pen = ImageDraw.Draw(chest.image)
    for finding in scene.findings:
        x, y = chest.place(finding.centre_lps)
        colour = finding_rgb(finding.number)
        for radius, width, ink in ((14, 5, (0, 0, 0)), (13, 3, colour)):
            r = radius * _FINER
            pen.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=width * _FINER)
        halo_text(pen, (x + 25 * _FINER, y - 14 * _FINER), str(finding.number), colour, 18 * _FINER)
    for letter, x in (("R", 16 * _FINER), ("L", chest.image.width - 16 * _FINER)):
        halo_text(pen, (x, chest.image.height / 2), letter, TEXT, 20 * _FINER)
    return chest.image.reduce(_FINER)


def _thumbnails(scene: Scene, width: int, height: int) -> Picture:
    """The findings in rows and columns, as large as their number allows."""
    shown = scene.findings[:MOST]
    across = math.ceil(math.sqrt(len(shown)))
    down = math.ceil(len(shown) / across)
    size = (width - GAP * (across - 1)) // across, (height - GAP * (down - 1)) // down
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for place, finding in enumerate(shown):
        x, y = (place % across) * (size[0] + GAP), (place // across) * (size[1] + GAP)
        colour = finding_rgb(finding.number)
        picture.paste(enlarged(scene.volume, finding, size), (x, y))
        pen.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), outline=colour, width=2)
        halo_text(pen, (x + 10, y + 18), str(finding.number), colour, 20, "lm")
    return picture


def _statement(text: str, width: int, height: int) -> Picture:
    picture, pen = _panel(width, height)
    broken = list(lines(text, width - 4 * MARGIN, 30))
    for number, line in enumerate(broken):
        pen.text((width / 2, height / 2 + (number - (len(broken) - 1) / 2) * 40), line, TEXT, font(30), anchor="mm")
    return picture


def _table(scene: Scene) -> Picture:
    shown = scene.findings[:MOST]
    rest = len(scene.findings) - len(shown)
    picture, pen = _panel(INSIDE, (len(shown) + 1 + bool(rest)) * ROW + 8)
    middle = ROW // 2 + 4
    _row(pen, middle, _HEADINGS)
    for finding in shown:
        middle += ROW
        pen.line([16, middle - ROW / 2, INSIDE - 16, middle - ROW / 2], fill=LINE)
        values = [value for _, value in facts(finding)]
        where = scene.slice_number(finding.long_axis.slice_k)
        cells = (str(finding.number), *values[: _SLICE - 1], where, *values[_SLICE - 1 :])
        _row(pen, middle, cells, finding)
    if rest:
        more = f"and {rest} more, each with a picture of its own"
        pen.text((_COLUMNS[0], middle + ROW), more, MUTED, font(15), anchor="lm")
    return picture


def _row(pen: Pen, middle: int, cells: Sequence[str], finding: Finding | None = None) -> None:
    for column, (x, cell) in enumerate(zip(_COLUMNS, cells, strict=True)):
        colour = MUTED if finding is None else TEXT if column else finding_rgb(finding.number)
        pen.text((x, middle), cell, colour, font(15), anchor="lm")


def _texts(heading: str, texts: Sequence[str], size: int) -> Picture:
    """A heading, and below it every text on as many lines as it needs."""
    broken = [line for text in texts for line in lines(text, INSIDE - 32, size)]
    picture, pen = _panel(INSIDE, 42 + len(broken) * (size + 6) + 8)
    pen.text((16, 20), heading, MUTED, font(15), anchor="lm")
    for number, line in enumerate(broken):
        pen.text((16, 39 + size // 2 + number * (size + 6)), line, TEXT, font(size), anchor="lm")
    return picture


def _panel(width: int, height: int) -> tuple[Picture, Pen]:
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((0, 0, width - 1, height - 1), 10, fill=PANEL, outline=LINE)
    return picture, pen
