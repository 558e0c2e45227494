"""All findings on one picture: where they lie in the chest, a table, and each of them enlarged. Called from `draw`."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import ImageDraw

from inference.findings import Finding
from inference.volume import Volume
from pacs_node.report.colour import finding_rgb
from pacs_node.report.overlay.finding import enlarged
from pacs_node.report.overlay.style import (
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
    facts,
    font,
    halo_text,
)
from pacs_node.report.overlay.views import radiograph

WIDTH, MAP_WIDTH, MAP_HEIGHT = 1400, 480, 520
THUMBNAIL, PER_ROW = 205, 6
ROW = 36
MOST = 12
"""Findings that the table and the thumbnails have room for; the others have their own pictures."""
_COLUMNS = (0, 36, 128, 262, 364, 496, 590, 664, 738)


def summary_picture(volume: Volume, findings: Sequence[Finding], caption: Caption) -> Picture:
    """The picture of a result, also of one without findings."""
    shown = findings[:MOST]
    chest = _map(volume, findings)
    top = max(chest.height, (len(shown) + 2) * ROW)
    picture, pen = canvas(WIDTH, HEADER + top + MARGIN + -(-len(shown) // PER_ROW) * (THUMBNAIL + MARGIN), caption)
    picture.paste(chest, (MARGIN + (MAP_WIDTH - chest.width) // 2, HEADER))
    _table(pen, findings, (2 * MARGIN + MAP_WIDTH, HEADER, WIDTH - MARGIN, HEADER + top))
    for place, finding in enumerate(shown):
        x = MARGIN + (place % PER_ROW) * (THUMBNAIL + MARGIN)
        y = HEADER + top + MARGIN + (place // PER_ROW) * (THUMBNAIL + MARGIN)
        picture.paste(enlarged(volume, finding, THUMBNAIL), (x, y))
        pen.rectangle((x - 1, y - 1, x + THUMBNAIL, y + THUMBNAIL), outline=finding_rgb(finding.number), width=2)
        halo_text(pen, (x + 20, y + 20), str(finding.number), finding_rgb(finding.number), 20)
    return picture


def _map(volume: Volume, findings: Sequence[Finding]) -> Picture:
    """The chest from the front with a ring around every finding."""
    chest = radiograph(volume, MAP_HEIGHT, MAP_WIDTH)
    pen = ImageDraw.Draw(chest.image)
    for finding in findings:
        x, y = chest.place(finding.centre_lps)
        colour = finding_rgb(finding.number)
        pen.ellipse((x - 13, y - 13, x + 13, y + 13), outline=colour, width=3)
        halo_text(pen, (x + 25, y - 14), str(finding.number), colour, 18)
    halo_text(pen, (14, chest.image.height / 2), "R", MUTED, 18)
    halo_text(pen, (chest.image.width - 14, chest.image.height / 2), "L", MUTED, 18)
    return chest.image


def _table(pen: Pen, findings: Sequence[Finding], box: tuple[int, int, int, int]) -> None:
    x, y, right, bottom = box
    pen.rounded_rectangle(box, 10, fill=PANEL, outline=LINE)
    if not findings:
        pen.text(((x + right) / 2, (y + bottom) / 2), "No nodule found.", TEXT, font(26), anchor="mm")
        return
    _row(pen, x, y + 28, ("#", *(_SHORT.get(name, name) for name, _ in facts(findings[0]))))
    for line, finding in enumerate(findings[:MOST]):
        middle = y + 28 + (line + 1) * ROW
        pen.line([x + 16, middle - ROW / 2, right - 16, middle - ROW / 2], fill=LINE)
        _row(pen, x, middle, (str(finding.number), *(value for _, value in facts(finding))), finding.number)
    if len(findings) > MOST:
        more = f"and {len(findings) - MOST} more, each with its own picture"
        pen.text((x + 20, y + 28 + (MOST + 1) * ROW), more, MUTED, font(15), anchor="lm")


_SHORT = {"Malignancy by model": "Malign.", "Attenuation": "HU"}


def _row(pen: Pen, x: int, middle: int, cells: Sequence[str], number: int | None = None) -> None:
    for offset, cell in zip(_COLUMNS, cells, strict=True):
        is_number = number is not None and offset == 0
        colour = finding_rgb(number) if is_number and number else TEXT if number else MUTED
        pen.text((x + 20 + offset, middle), cell, colour, font(16), anchor="lm")
