"""Grounds that lie in single slices: what they are, and whether they say all that is needed. Called from `judge`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from inference.contract import SeriesLimits
from inference.eligibility.verdict import Reason
from inference.series import (
    DECODABLE,
    MAX_FRAMES,
    MAX_SIDE,
    MAX_VOXELS,
    NATIVE,
    Cosines,
    Excess,
    SeriesHeader,
    SliceHeader,
    plane_name,
)

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.2.2",
    }
)
"""CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage (PS3.4 B.5)"""

CALCULATED = {"ADDITION", "DIVISION", "MASKED", "MULTIPLICATION", "STD_DEVIATION", "SUBTRACTION"}
PROJECTED = {"MAXIMUM", "MINIMUM", "MIP", "MINIP"}
"""words of an Image Type whose values are not CT numbers of a place: Derived Pixel Contrast (PS3.3 C.8.16.1.4) and what
scanners write, such as `CT_SOM5 MIP`; averages and reformats (MEAN, RESAMPLED, MPR) are CT numbers"""

BITS_ALLOCATED = 16
"""the only number that a CT may have (PS3.3 C.8.2.1, C.8.15.2)"""

UNIT = 1e-3
"""direction cosines are of unit length and perpendicular up to this: rounded decimals of four digits or more"""

ALONG_AXIS = float(np.cos(np.radians(5.0)))
"""rows and columns run along the axes of the patient up to 5 degrees, like normals (`inference.series.slices`)"""

TILT_DEG = 0.1
"""a tilt that the scanner states counts from here: 0.5 mm over a chest of 300 mm, less than a pixel"""


def content_reasons(series: SeriesHeader, limits: SeriesLimits) -> Iterator[Reason]:
    """Every ground of this kind."""
    for code, is_wrong, text in WRONG_SLICES:
        count = sum(map(is_wrong, series.slices))
        if count:
            yield Reason(code=code, text=f"{count} of {series.slice_count} slices {text}")
    yield from _frame_count_reasons(series)
    needed = max(limits.minimum_slices, 2)
    if series.slice_count < needed:
        text = f"the series has {series.slice_count} slices, at least {needed} are needed"
        yield Reason(code="series.too-few-slices", text=text)
    voxels = sum((item.rows or 0) * (item.columns or 0) for item in series.slices)
    if voxels > MAX_VOXELS:
        yield Reason(code="series.too-large", text=f"the series claims {voxels} voxels, more than {MAX_VOXELS}")


def is_localizer(item: SliceHeader) -> bool:
    """Whether the slice is a scout view (PS3.3 C.8.2.1.1.1)."""
    return "LOCALIZER" in item.image_type


def has_geometry(item: SliceHeader) -> bool:
    """Whether the slice says where it lies, in values that can be true."""
    return (
        item.position_lps is not None
        and item.orientation is not None
        and _is_orthonormal(item.orientation)
        and item.pixel_spacing_mm is not None
        and min(item.pixel_spacing_mm) > 0
        and bool(item.rows)
        and bool(item.columns)
    )


def _frame_count_reasons(series: SeriesHeader) -> Iterator[Reason]:
    described = Counter(item.path for item in series.slices)
    stated = {item.path: item.pixels.frames for item in series.slices if item.pixels is not None}
    wrong = sum(described[path] != frames for path, frames in stated.items())
    if wrong:
        yield Reason(code="series.frame-count", text=f"{wrong} instances hold more or fewer frames than they describe")


def _is_orthonormal(orientation: Cosines) -> bool:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return bool(max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) <= UNIT)


def _is_not_ct(item: SliceHeader) -> bool:
    return item.modality != "CT" or item.sop_class_uid not in CT_CLASSES


def _is_combined(item: SliceHeader) -> bool:
    words = {word for value in item.image_type for word in (value, *value.split())}
    return not words.isdisjoint(CALCULATED | PROJECTED)


def _lacks_pixels(item: SliceHeader) -> bool:
    return item.pixels is None or item.pixels.length == 0


def _has_odd_pixels(item: SliceHeader) -> bool:
    layout = item.pixels
    return layout is not None and not (
        layout.samples == 1
        and layout.bits_allocated == BITS_ALLOCATED
        and 1 <= layout.bits_stored <= BITS_ALLOCATED
        and layout.high_bit == layout.bits_stored - 1
    )


def _is_truncated(item: SliceHeader) -> bool:
    if item.pixels is None or item.transfer_syntax_uid not in NATIVE:
        return False
    pixels = (item.rows or 0) * (item.columns or 0) * item.pixels.samples
    return item.pixels.length < pixels * item.pixels.frames * item.pixels.bits_allocated // 8


def _is_too_large(item: SliceHeader) -> bool:
    frames = 1 if item.pixels is None else item.pixels.frames
    return max(item.rows or 0, item.columns or 0) > MAX_SIDE or frames > MAX_FRAMES


def _is_not_axial(item: SliceHeader) -> bool:
    return has_geometry(item) and item.orientation is not None and plane_name(item.orientation) != "axial"


def _is_rotated(item: SliceHeader) -> bool:
    if not has_geometry(item) or item.orientation is None or _is_not_axial(item):
        return False
    return float(np.max(np.abs(item.orientation[:3]))) < ALONG_AXIS


def _is_tilted(item: SliceHeader) -> bool:
    return item.gantry_tilt_deg is not None and abs(item.gantry_tilt_deg) >= TILT_DEG


WRONG_SLICES: tuple[tuple[str, Callable[[SliceHeader], bool], str], ...] = (
    ("series.not-ct", _is_not_ct, "are not CT images"),
    ("series.localizer", is_localizer, "are localizers"),
    ("series.combined", _is_combined, "are projections or other combinations of CT images"),
    ("series.no-pixels", _lacks_pixels, "have no pixel data"),
    ("series.pixel-format", _has_odd_pixels, "have pixels that are not grey values in 16 bits"),
    (
        "series.unsupported-transfer-syntax",
        lambda item: item.transfer_syntax_uid not in DECODABLE,
        "are encoded in a transfer syntax that cannot be decoded",
    ),
    ("series.truncated", _is_truncated, "have less pixel data than rows and columns need"),
    (
        "series.oversized",
        _is_too_large,
        f"claim more than {MAX_SIDE} rows or columns, or more than {MAX_FRAMES} frames",
    ),
    (
        "series.header-too-large",
        lambda item: item.excess is Excess.SIZE,
        "have a header that is too long, or a value in it that is too long for its kind",
    ),
    (
        "series.header-too-deep",
        lambda item: item.excess is Excess.DEPTH,
        "have sequences too deep inside each other in their header",
    ),
    (
        "series.missing-rescale",
        lambda item: not item.rescale_slope or item.rescale_intercept is None,
        "do not say how their values become Hounsfield units",
    ),
    ("series.not-hu", lambda item: item.rescale_type not in {"", "HU"}, "are not in Hounsfield units"),
    (
        "series.missing-geometry",
        lambda item: not has_geometry(item),
        "have no usable position, orientation, pixel spacing or size",
    ),
    ("series.missing-thickness", lambda item: not item.slice_thickness_mm, "have no slice thickness"),
    (
        "series.missing-frame-of-reference",
        lambda item: not item.frame_of_reference_uid,
        "do not say in which frame of reference they lie",
    ),
    ("series.not-axial", _is_not_axial, "are not axial"),
    ("series.rotated", _is_rotated, "are rotated in their plane by more than 5 degrees"),
    ("series.gantry-tilt", _is_tilted, f"were taken with the gantry tilted by {TILT_DEG} degrees or more"),
)
"""code, test of a slice, and what is wrong with the slices that it is true of"""
