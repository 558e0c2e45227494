"""Whether secondary captures are images of what they say, for people who see nothing else. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.examined import Examined
from pacs_node.report.check.problem import Problem

_IMAGE = {
    "SamplesPerPixel": 3,
    "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
}
"""A colour image as every viewer can show it (PS3.3 C.7.6.3)."""


def capture_problems(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of the pixels, the burned-in flag and the images that it was made from."""
    for keyword, expected in _IMAGE.items():
        if document.get(keyword) != expected:
            yield _problem(f"{keyword} must be {expected}.")
    size = 3 * int(document.Rows) * int(document.Columns)
    if len(document.PixelData) != size + size % 2:
        yield _problem("The pixel data do not have the length that the image needs.")
    elif not np.ptp(np.frombuffer(document.PixelData, np.uint8, count=size)):
        yield _problem("The image shows nothing.")
    if document.get("BurnedInAnnotation") not in ("YES", "NO"):
        yield _problem("It does not say whether it tells who the patient is.")
    if "research use" not in str(document.get("ImageComments")).casefold():
        yield _problem("It does not say that it is for research use.")
    yield from _sources(document, examined)


def capture_set_problems(captures: Sequence[Dataset], examined: Examined) -> Iterator[Problem]:
    """A page of the whole, then one key image for each nodule of the SEG."""
    numbers = sorted(_nodule(capture) for capture in captures)
    if numbers[0] != 0:
        yield _problem("There is no page of the whole result.")
    if examined.segments is not None and numbers != [0, *(segment.number for segment in examined.segments)]:
        yield _problem("The key images are not one for each nodule of the SEG.")


def _sources(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """A key image was made from a slice that holds its nodule, the page from all that was analysed."""
    slices = {k for item in document.get("SourceImageSequence") or () for k in examined.slice_of(item)}
    number = _nodule(document)
    if number == 0 and not set(examined.pixels) <= slices:
        yield _problem("The page does not say that it was made from all slices with nodules.")
    for segment in examined.segments or ():
        if segment.number == number and (len(slices) != 1 or not slices <= set(segment.pixels)):
            yield _problem(f"The key image of nodule {number} was made from a slice that does not hold it.")


def _nodule(document: Dataset) -> int:
    """Number of the nodule that it is the key image of; 0 for the page."""
    words = str(document.get("ImageComments", "")).replace(",", " ").split()
    return int(words[1]) if words[:1] == ["Nodule"] and words[1].isdecimal() else 0


def _problem(text: str) -> Problem:
    return Problem(code="captures", text=text)
