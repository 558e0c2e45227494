"""Colours, fonts and small parts that all pictures share. Used by `finding`, `summary` and `notes`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pacs_node.report.colour import Rgb

BACKGROUND: Rgb = (14, 17, 22)
PANEL: Rgb = (24, 29, 37)
LINE: Rgb = (52, 60, 72)
TEXT: Rgb = (232, 236, 241)
MUTED: Rgb = (150, 160, 174)
WARNING: Rgb = (255, 196, 61)
ALERT: Rgb = (255, 106, 92)
MARGIN = 24
HEADER = 60

Picture = Image.Image
Pen = ImageDraw.ImageDraw


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What stands on top of a picture; `is_synthetic` adds a badge."""

    title: str
    subtitle: str = ""
    is_synthetic: bool = False


def canvas(width: int, height: int, caption: Caption, accent: Rgb | None = None) -> tuple[Picture, Pen]:
    """An empty picture with its header and the notice of research use; a dot of colour `accent` before the title."""
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    left, middle = MARGIN, HEADER // 2
    if accent is not None:
        pen.ellipse((left, middle - 8, left + 16, middle + 8), fill=accent)
        left += 28
    right = badge(pen, width - MARGIN, middle, "RESEARCH USE ONLY", WARNING)
    if caption.is_synthetic:
        right = badge(pen, right - 12, middle, "SYNTHETIC", ALERT)
    size = fitting(caption.title, right - left - 16, 26)
    pen.text((left, middle), caption.title, TEXT, font(size), anchor="lm")
    left += int(font(size).getlength(caption.title)) + 16
    pen.text((left, middle + 3), _subtitle(caption.subtitle, right - left - 16), MUTED, font(16), "lm")
    return picture, pen


@functools.cache
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
    pen.text(place, text, colour, font(size), anchor=anchor, stroke_width=max(2, size // 12), stroke_fill=(0, 0, 0))


def fitting(text: str, width: float, size: int) -> int:
    """The largest size up to this one in which a text fits, but at least 12."""
    return next((smaller for smaller in range(size, 12, -1) if font(smaller).getlength(text) < width), 12)


def shortened(text: str, width: float, size: int) -> str:
    """As much of a text as fits."""
    while text and font(size).getlength(text) > width:
        text = text[:-1]
    return text


def _subtitle(text: str, width: float) -> str:
    """The whole text, else its beginning if that still says something."""
    if font(16).getlength(text) <= width:
        return text
    return f"{shortened(text, width - font(16).getlength('...'), 16)}..." if width > 120 else ""


def lines(text: str, width: float, size: int) -> Iterator[str]:
    """A text broken between words into lines that fit; a longer word is cut into pieces."""
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if font(size).getlength(joined) <= width:
            line = joined
            continue
        if line:
            yield line
        line = word
        while font(size).getlength(line) > width:
            piece = shortened(line, width, size) or line[0]
            yield piece
            line = line[len(piece) :]
    if line:
        yield line
