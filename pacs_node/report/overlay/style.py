"""Colours, fonts and small parts that all pictures share. Used by `finding` and `summary`."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from inference.findings import Finding
from pacs_node.report.colour import Rgb

BACKGROUND: Rgb = (14, 17, 22)
PANEL: Rgb = (24, 29, 37)
LINE: Rgb = (52, 60, 72)
TEXT: Rgb = (232, 236, 241)
MUTED: Rgb = (142, 152, 166)
WARNING: Rgb = (255, 196, 61)
ALERT: Rgb = (255, 106, 92)
MARGIN = 24
HEADER = 64

Picture = Image.Image
Pen = ImageDraw.ImageDraw


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What stands on top of a picture; `is_synthetic` adds a badge."""

    title: str
    subtitle: str
    is_synthetic: bool


def canvas(width: int, height: int, caption: Caption) -> tuple[Picture, Pen]:
    """An empty picture with its header and the notice of research use."""
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, HEADER / 2), caption.title, TEXT, font(26), anchor="lm")
    offset = MARGIN + pen.textlength(caption.title, font(26)) + 16
    right = badge(pen, width - MARGIN, HEADER // 2, "RESEARCH USE ONLY", WARNING)
    if caption.is_synthetic:
        right = badge(pen, right - 12, HEADER // 2, "SYNTHETIC", ALERT)
    pen.text((offset, HEADER / 2 + 3), _shortened(pen, caption.subtitle, right - offset - 16), MUTED, font(16), "lm")
    return picture, pen


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow, so that pictures look the same everywhere."""
    return ImageFont.load_default(size)


def badge(pen: Pen, right: int, middle: int, text: str, colour: Rgb) -> int:
    """A framed word that ends at `right`; returns where it begins."""
    left = right - int(pen.textlength(text, font(14))) - 24
    pen.rounded_rectangle((left, middle - 14, right, middle + 14), 7, outline=colour, width=2)
    pen.text(((left + right) / 2, middle), text, colour, font(14), anchor="mm")
    return left


def halo_text(pen: Pen, place: tuple[float, float], text: str, colour: Rgb, size: int, anchor: str = "mm") -> None:
    """Text that stays readable on any image."""
    pen.text(place, text, colour, font(size), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def facts(finding: Finding) -> tuple[tuple[str, str], ...]:
    """Name and value of everything that is said about a finding."""
    malignancy = "not rated" if finding.malignancy is None else f"{100.0 * finding.malignancy:.0f} %"
    return (
        ("Diameter", f"{finding.equivalent_diameter_mm:.1f} mm"),
        ("Axes", f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"),
        ("Volume", f"{finding.volume_mm3:,.0f} mm3"),
        ("Attenuation", f"{finding.mean_hu:.0f} \u00b1 {finding.sd_hu:.0f} HU"),
        ("Type", str(finding.attenuation)),
        ("Side", str(finding.laterality) if finding.laterality is not None else "unknown"),
        ("Malignancy by model", malignancy),
        ("Certainty", f"{100.0 * finding.score:.0f} %"),
    )


def _shortened(pen: Pen, text: str, width: float) -> str:
    while text and pen.textlength(text, font(16)) > width:
        text = text[:-1]
    return text
