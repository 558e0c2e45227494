"""A nodule enlarged, with its outline and axes. Used by `finding` and `summary`."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from inference.findings import Axis, Finding
from inference.volume import Volume
from pacs_node.report.colour import Rgb, finding_rgb
from pacs_node.report.overlay.style import Pen, Picture, halo_text
from pacs_node.report.overlay.views import Field, field_around, mask_image, slice_image

LARGE, MEDIUM = 600, 150
"""Heights in pixels from which there is room for lengths, and for axes."""
SMALLEST_FIELD_MM = 36.0
_FINER = 2
"""Lines are drawn this much larger and then reduced, so that they come out smooth."""
_AXIS_COLOURS: tuple[Rgb, Rgb] = ((255, 255, 255), (120, 205, 255))


def enlarged(volume: Volume, finding: Finding, size: tuple[int, int]) -> Picture:
    """The nodule on the slice of its long axis with its outline; both axes and their lengths if there is room."""
    k, field = finding.long_axis.slice_k, close_field(volume, finding, size)
    picture = slice_image(volume, k, field)
    box = _drawn_box(finding, field)
    ink = _ink(finding, field, box).resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
    picture.paste(ink, box[:2], ink)
    return picture


def close_field(volume: Volume, finding: Finding, size: tuple[int, int]) -> Field:
    """Three long axes from top to bottom, at least 36 mm, around the middle of the long axis."""
    (row, column), (other_row, other_column) = finding.long_axis.ends_ji
    centre = ((row + other_row) / 2.0, (column + other_column) / 2.0)
    return field_around(volume.grid, centre, max(3.0 * finding.long_axis.length_mm, SMALLEST_FIELD_MM), size)


def _drawn_box(finding: Finding, field: Field) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is drawn over the slice, lengths included."""
    (_, row, column), (_, rows, columns) = finding.mask.start_kji, finding.mask.voxels.shape
    left, top = field.place(row - 0.5, column - 0.5)
    right, bottom = field.place(row + rows - 0.5, column + columns - 0.5)
    x, y = (110, 50) if _is_large(field) else (12, 12)
    return (
        max(math.floor(left) - x, 0),
        max(math.floor(top) - y, 0),
        min(math.ceil(right) + x, field.width),
        min(math.ceil(bottom) + y, field.height),
    )


def _ink(finding: Finding, field: Field, box: tuple[int, int, int, int]) -> Picture:
    """Outline and axes, and on large pictures lengths, on nothing; `_FINER` times as large as the box."""
    fine = _part(field, box)
    ink = Image.new("RGBA", (fine.width, fine.height))
    mask = mask_image(finding, finding.long_axis.slice_k, fine)
    _outline(ink, mask, finding_rgb(finding.number), 2 + _is_large(field))
    if _is_medium(field):
        _axes(ImageDraw.Draw(ink), finding, fine, with_lengths=_is_large(field))
    return ink


def _part(field: Field, box: tuple[int, int, int, int]) -> Field:
    """What a box of a picture shows, `_FINER` times as large."""
    row_step, column_step = field.size_ji[0] / field.height, field.size_ji[1] / field.width
    width, height = box[2] - box[0], box[3] - box[1]
    return Field(
        corner_ji=(field.corner_ji[0] + box[1] * row_step, field.corner_ji[1] + box[0] * column_step),
        size_ji=(height * row_step, width * column_step),
        width=width * _FINER,
        height=height * _FINER,
    )


def _is_large(field: Field) -> bool:
    return field.height >= LARGE


def _is_medium(field: Field) -> bool:
    return field.height >= MEDIUM


def _outline(ink: Picture, mask: Picture, colour: Rgb, thickness: int) -> None:
    """A line around the mask, and a breath of colour inside."""
    inside = np.asarray(mask)
    edge = ndimage.maximum_filter(inside, 2 * thickness + 1) & ~ndimage.minimum_filter(inside, 2 * thickness - 1)
    opacity = Image.fromarray(np.maximum(edge, inside // 12))
    coloured = Image.new("RGB", ink.size, colour)
    coloured.putalpha(opacity)
    ink.paste(coloured, (0, 0), opacity.point([0] + [255] * 255))


def _axes(pen: Pen, finding: Finding, field: Field, *, with_lengths: bool) -> None:
    for axis, colour in zip((finding.long_axis, finding.short_axis), _AXIS_COLOURS, strict=True):
        _line(pen, axis, field, (colour, 2 if with_lengths else 1))
        if with_lengths:
            _length(pen, axis, finding, field, colour)


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


def _length(pen: Pen, axis: Axis, finding: Finding, field: Field, colour: Rgb) -> None:
    """The length at the right end of an axis, away from the middle of the long one."""
    middle = [sum(pair) / 2.0 for pair in zip(*(field.place(*end) for end in finding.long_axis.ends_ji), strict=True)]
    x, y = max((field.place(*end) for end in axis.ends_ji), key=lambda end: (end[0] - middle[0], end[1]))
    distance = max(math.hypot(x - middle[0], y - middle[1]), 1e-6)
    away = (52.0 * _FINER * (x - middle[0]) / distance, 30.0 * _FINER * (y - middle[1]) / distance)
    halo_text(pen, (x + away[0], y + away[1]), f"{axis.length_mm:.1f} mm", colour, 20 * _FINER)
