"""The key image of one finding: the nodule with outline and axes, where it lies in its slice, and its values."""

from __future__ import annotations

from PIL import Image, ImageDraw

from inference.findings import Finding
from inference.volume import Volume
from pacs_node.report.colour import finding_rgb
from pacs_node.report.overlay.nodule import close_field, enlarged
from pacs_node.report.overlay.style import (
    HEADER,
    LINE,
    MUTED,
    PANEL,
    TEXT,
    Caption,
    Pen,
    Picture,
    canvas,
    fitting,
    font,
    halo_text,
)
from pacs_node.report.overlay.views import Scene, edge_letters, slice_image, whole_field

SIDE = 768
VIEW = (768, 600)
INSET = 196
STRIP = 32
_FACTS_PER_ROW = 4


def finding_picture(scene: Scene, finding: Finding, caption: Caption) -> Picture:
    """The key image of a finding, a square; the caption's title is the number of the finding instead."""
    title = f"Nodule {finding.number} of {len(scene.findings)}"
    own = Caption(title=title, subtitle=caption.subtitle, is_synthetic=caption.is_synthetic)
    picture, pen = canvas(SIDE, SIDE, own, finding_rgb(finding.number))
    view = enlarged(scene.volume, finding, VIEW)
    _annotate(view, scene, finding)
    view.paste(_inset(scene.volume, finding), (0, VIEW[1] - INSET))
    picture.paste(view, (0, HEADER))
    _footer(pen, finding, HEADER + VIEW[1])
    return picture


def facts(finding: Finding) -> tuple[tuple[str, str], ...]:
    """Name and value of everything that is said about a finding."""
    return (
        ("Diameter", f"{finding.equivalent_diameter_mm:.1f} mm"),
        ("Long x short axis", f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"),
        ("Volume", f"{finding.volume_mm3:,.0f} mm3"),
        ("Attenuation", f"{finding.mean_hu:.0f} \u00b1 {finding.sd_hu:.0f} HU"),
        ("Type", str(finding.attenuation)),
        ("Side", str(finding.laterality) if finding.laterality is not None else "unknown"),
        ("Probability of cancer", "not rated" if finding.malignancy is None else f"{100.0 * finding.malignancy:.0f} %"),
        ("Certainty of finding", f"{100.0 * finding.score:.0f} %"),
    )


def _inset(volume: Volume, finding: Finding) -> Picture:
    """The whole slice, with a frame around what is shown enlarged."""
    field = whole_field(volume.grid, INSET - 2)
    image = slice_image(volume, finding.long_axis.slice_k, field)
    close = close_field(volume, finding, VIEW)
    corner = field.place(*close.corner_ji)
    opposite = field.place(close.corner_ji[0] + close.size_ji[0], close.corner_ji[1] + close.size_ji[1])
    ImageDraw.Draw(image).rectangle((*corner, *opposite), outline=finding_rgb(finding.number), width=2)
    inset = Image.new("RGB", (INSET, INSET))
    inset.paste(image, ((INSET - 2 - field.width) // 2, 2 + (INSET - 2 - field.height) // 2))
    ImageDraw.Draw(inset).line([(0, 0), (INSET - 1, 0), (INSET - 1, INSET - 1)], fill=LINE, width=2)
    return inset


def _annotate(view: Picture, scene: Scene, finding: Finding) -> None:
    """Edge letters, the name of the slice, and a bar of 10 mm."""
    pen, grid, (width, height) = ImageDraw.Draw(view), scene.volume.grid, VIEW
    left, upper = edge_letters(grid)
    halo_text(pen, (18, (height - INSET) / 2), left, TEXT, 22)
    halo_text(pen, (width / 2, 20), upper, TEXT, 22)
    k = finding.long_axis.slice_k
    row, column = (sum(values) / 2.0 for values in zip(*finding.long_axis.ends_ji, strict=True))
    where = f"{scene.slice_name(k)}, z = {grid.lps_from_kji((k, row, column))[2]:.1f} mm"
    bar = 10.0 / (grid.spacing_mm[2] * close_field(scene.volume, finding, VIEW).size_ji[1]) * width
    pen.rectangle((0, height - STRIP, width, height), fill=PANEL)
    pen.line([width - 16 - bar, height - STRIP / 2, width - 16, height - STRIP / 2], fill=TEXT, width=3)
    pen.text((width - 26 - bar, height - STRIP / 2), "10 mm", TEXT, font(14), anchor="rm")
    room = width - bar - font(14).getlength("10 mm") - INSET - 58
    pen.text((INSET + 16, height - STRIP / 2), where, TEXT, font(fitting(where, room, 16)), anchor="lm")


def _footer(pen: Pen, finding: Finding, top: int) -> None:
    rows = [facts(finding)[:_FACTS_PER_ROW], facts(finding)[_FACTS_PER_ROW:]]
    tall, wide = (SIDE - top) / len(rows), SIDE / _FACTS_PER_ROW
    for row, items in enumerate(rows):
        for column, (name, value) in enumerate(items):
            x, y = (column + 0.5) * wide, top + row * tall
            pen.text((x, y + 15), name, MUTED, font(13), anchor="mm")
            pen.text((x, y + 37), value, TEXT, font(18), anchor="mm")
    pen.line([0, top, SIDE, top], fill=LINE)
