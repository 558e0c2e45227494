"""Whether a picture shows a text, looked for pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pacs_node.report.overlay.style import BACKGROUND, MUTED, PANEL, TEXT, WARNING, font

Pixels = NDArray[np.uint8]
SIZES = (13, 14, 15, 16, 18, 20, 26, 30)
_INKS = ((TEXT, BACKGROUND), (TEXT, PANEL), (MUTED, BACKGROUND), (MUTED, PANEL), (WARNING, BACKGROUND))


def shows(pixels: Pixels, text: str, sizes: Sequence[int] = SIZES) -> bool:
    """Whether a picture, shape (row, column, 3), holds this text in one of the sizes and colours that ours use."""
    content = pixels.tobytes()
    return any(
        _holds(pixels, content, _drawn(text, size, inks, x))
        for size in sizes
        for inks in _INKS
        for x in _starts(text, size)
    )


def _starts(text: str, size: int) -> tuple[float, ...]:
    """Where the text may begin between two pixels: at a whole one, or as centred around whole and half ones."""
    middle = font(size).getlength(text) / 2.0
    return (0.0, *((place - middle) % 1.0 for place in (0.0, 0.5)))


def _drawn(text: str, size: int, inks: tuple[tuple[int, int, int], tuple[int, int, int]], x: float) -> Pixels:
    width = math.ceil(font(size).getlength(text))
    picture = Image.new("RGB", (width + 8, size + 20), inks[1])
    ImageDraw.Draw(picture).text((4 + x, (size + 20) // 2), text, inks[0], font(size), anchor="lm")
    drawn = np.asarray(picture)
    rows, columns = np.nonzero((drawn != inks[1]).any(axis=-1))
    return drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _holds(pixels: Pixels, content: bytes, part: Pixels) -> bool:
    """Found by its middle row, and then compared as a whole."""
    (height, width), columns = part.shape[:2], pixels.shape[1]
    wanted = part[height // 2].tobytes()
    at = content.find(wanted)
    while at >= 0:
        y, x = at // 3 // columns - height // 2, at // 3 % columns
        if at % 3 == 0 and y >= 0 and np.array_equal(pixels[y : y + height, x : x + width], part):
            return True
        at = content.find(wanted, at + 1)
    return False
