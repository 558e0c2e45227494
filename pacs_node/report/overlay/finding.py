"""One finding: the slice of its long axis, and beside it the nodule with outline and axes. Called from `draw`."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from inference.findings import Axis, Finding
from inference.volume import Volume
from pacs_node.report.colour import Rgb, finding_rgb
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
from pacs_node.report.overlay.views import Field, edge_letters, mask_image, slice_image, square_field, whole_field

SIDE = 600
FOOTER = 92
_SMALLEST_FIELD_MM = 36.0
_FINER = 2
"""Lines are drawn this much larger and then reduced, so that they come out smooth."""
_AXIS_COLOURS: tuple[Rgb, Rgb] = ((255, 255, 255), (120, 205, 255))


def finding_picture(volume: Volume, finding: Finding, count: int, caption: Caption) -> Picture:
    """The picture of one of `count` findings."""
    width, height = 3 * MARGIN + 2 * SIDE, HEADER + SIDE + FOOTER + 2 * MARGIN
    title = Caption(
        title=f"Nodule {finding.number} of {count}", subtitle=caption.subtitle, is_synthetic=caption.is_synthetic
    )
    picture, pen = canvas(width, height, title)
    picture.paste(_overview(volume, finding), (MARGIN, HEADER))
    picture.paste(enlarged(volume, finding, SIDE), (2 * MARGIN + SIDE, HEADER))
    _footer(pen, finding, HEADER + SIDE + MARGIN, width)
    return picture


def enlarged(volume: Volume, finding: Finding, pixels: int) -> Picture:
    """The nodule on the slice of its long axis, with its outline and both axes; large ones with lengths and a scale."""
    k, field = finding.long_axis.slice_k, close_field(volume, finding, pixels * _FINER)
    picture = slice_image(volume, k, field)
    _outline(picture, mask_image(volume, finding, k, field), finding_rgb(finding.number))
    pen = ImageDraw.Draw(picture)
    for axis, colour in zip((finding.long_axis, finding.short_axis), _AXIS_COLOURS, strict=True):
        _line(pen, axis, field, (colour, 2 if pixels >= SIDE else 1))
    if pixels >= SIDE:
        _lengths(pen, finding, field)
        _scale(pen, field, volume.grid.spacing_mm[2])
    return picture.resize((pixels, pixels), Image.Resampling.LANCZOS)


def close_field(volume: Volume, finding: Finding, pixels: int) -> Field:
    """A square of three long axes, at least 36 mm, around the middle of the long axis."""
    (row, column), (other_row, other_column) = finding.long_axis.ends_ji
    centre = ((row + other_row) / 2.0, (column + other_column) / 2.0)
    return square_field(volume.grid, centre, max(3.0 * finding.long_axis.length_mm, _SMALLEST_FIELD_MM), pixels)


def _overview(volume: Volume, finding: Finding) -> Picture:
    k, field = finding.long_axis.slice_k, whole_field(volume.grid, SIDE)
    picture = slice_image(volume, k, field)
    pen = ImageDraw.Draw(picture)
    close = close_field(volume, finding, SIDE)
    corner = field.place(*close.corner_ji)
    opposite = field.place(close.corner_ji[0] + close.size_ji[0], close.corner_ji[1] + close.size_ji[1])
    pen.rectangle((*corner, *opposite), outline=finding_rgb(finding.number), width=3)
    left, upper = edge_letters(volume.grid)
    halo_text(pen, (16, SIDE / 2), left, MUTED, 20)
    halo_text(pen, (SIDE / 2, 16), upper, MUTED, 20)
    where = f"slice {k + 1} of {volume.grid.shape_kji[0]}, z = {finding.centre_lps[2]:.1f} mm"
    halo_text(pen, (12, SIDE - 16), where, MUTED, 16, "lm")
    return picture


def _outline(picture: Picture, mask: Picture, colour: Rgb) -> None:
    """A line around the mask, and a breath of colour inside."""
    box = mask.getbbox()
    if box is None:
        return
    corner = (max(box[0] - 8, 0), max(box[1] - 8, 0))
    inside = mask.crop((*corner, box[2] + 8, box[3] + 8))  # filters are slow, and the rest is empty
    edge = ImageChops.subtract(inside.filter(ImageFilter.MaxFilter(7)), inside.filter(ImageFilter.MinFilter(3)))
    picture.paste(colour, corner, inside.point([value // 12 for value in range(256)]))
    picture.paste(colour, corner, edge)


def _line(pen: Pen, axis: Axis, field: Field, style: tuple[Rgb, int]) -> None:
    """The axis with a small bar across each end, in a colour and width, dark below so that it shows on white."""
    colour, thickness = style[0], style[1] * _FINER
    ends = [field.place(*end) for end in axis.ends_ji]
    (x0, y0), (x1, y1) = ends
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-6)
    across = ((y1 - y0) / length * 3.5 * thickness, -(x1 - x0) / length * 3.5 * thickness)
    bars = [(x - across[0], y - across[1], x + across[0], y + across[1]) for x, y in ends]
    for width, ink in ((2 * thickness, (20, 24, 30)), (thickness, colour)):
        for stroke in ((x0, y0, x1, y1), *bars):
            pen.line(stroke, fill=ink, width=width)


def _lengths(pen: Pen, finding: Finding, field: Field) -> None:
    """Lengths at the outer end of each axis, away from the nodule."""
    middle = field.pixels / 2.0
    for axis, colour in zip((finding.long_axis, finding.short_axis), _AXIS_COLOURS, strict=True):
        x, y = max((field.place(*end) for end in axis.ends_ji), key=lambda end: (end[0] - middle, end[1]))
        distance = max(math.hypot(x - middle, y - middle), 1e-6)
        away = (48.0 * _FINER * (x - middle) / distance, 28.0 * _FINER * (y - middle) / distance)
        halo_text(pen, (x + away[0], y + away[1]), f"{axis.length_mm:.1f} mm", colour, 18 * _FINER)


def _scale(pen: Pen, field: Field, pixel_mm: float) -> None:
    """A bar of 10 mm in the lower right corner."""
    length = 10.0 / (pixel_mm * field.size_ji[1]) * field.pixels
    right, y = field.pixels - 20.0 * _FINER, field.pixels - 22.0 * _FINER
    pen.line([right - length, y, right, y], fill=TEXT, width=3 * _FINER)
    halo_text(pen, (right - length / 2.0, y - 14.0 * _FINER), "10 mm", TEXT, 14 * _FINER)


def _footer(pen: Pen, finding: Finding, top: int, width: int) -> None:
    pen.rounded_rectangle((MARGIN, top, width - MARGIN, top + FOOTER), 10, fill=PANEL, outline=LINE)
    items = facts(finding)
    step = (width - 2 * MARGIN) / len(items)
    for column, (name, value) in enumerate(items):
        middle = MARGIN + (column + 0.5) * step
        pen.text((middle, top + 28), name, MUTED, font(14), anchor="mm")
        pen.text((middle, top + 60), value, TEXT, font(20), anchor="mm")
