"""Grounds that lie in slices that differ from each other in what all slices of a volume share. Called from `judge`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inference.eligibility.content import is_localizer
from inference.eligibility.verdict import Reason
from inference.series import SeriesHeader

COSINE = 1e-3
"""direction cosines may differ by this, 0.06 degrees: 0.2 mm at the edge of a slice of 400 mm"""

PIXEL_SPACING_RATIO = 1e-3
"""pixel spacings may differ by this ratio: half a pixel over 512"""

THICKNESS_MM = 0.1
"""thickness may differ by this (Riverain ClearRead CT, series recommendations: thickness jitter at most 0.1 mm)"""

ROUNDING = 1e-6
"""a difference of decimal strings is exact up to here"""


def likeness_reasons(series: SeriesHeader) -> Iterator[Reason]:
    """Every ground of this kind."""
    slices = series.slices
    kinds = {(item.image_type[:1], item.image_type[2:3]) for item in slices if not is_localizer(item)}
    if len(kinds) > 1:
        yield Reason(code="series.mixed-image-type", text=f"the slices are of {len(kinds)} different image types")
    spaces = {item.frame_of_reference_uid for item in slices if item.frame_of_reference_uid}
    if len(spaces) > 1:
        text = f"the slices lie in {len(spaces)} different frames of reference"
        yield Reason(code="series.mixed-frame-of-reference", text=text)
    sizes = {(item.rows, item.columns) for item in slices}
    if len(sizes) > 1:
        yield Reason(
            code="series.mixed-size", text=f"the slices have {len(sizes)} different numbers of rows and columns"
        )
    yield from _geometry_reasons(series)


def _geometry_reasons(series: SeriesHeader) -> Iterator[Reason]:
    turn = _spread([item.orientation for item in series.slices])
    if turn > COSINE:
        text = f"the slices are not parallel: their direction cosines differ by up to {turn:.4f}"
        yield Reason(code="series.mixed-orientation", text=text)
    spacing = _spread([item.pixel_spacing_mm for item in series.slices])
    smallest = min((min(item.pixel_spacing_mm) for item in series.slices if item.pixel_spacing_mm), default=0.0)
    if spacing > PIXEL_SPACING_RATIO * smallest:
        text = f"the pixel spacing differs by up to {spacing:.4f} mm from slice to slice"
        yield Reason(code="series.mixed-spacing", text=text)
    thickness = _spread([item.slice_thickness_mm for item in series.slices])
    if thickness > THICKNESS_MM + ROUNDING:
        text = f"the slice thickness differs by up to {thickness:.2f} mm from slice to slice"
        yield Reason(code="series.mixed-thickness", text=text)


def _spread(values: Sequence[object]) -> float:
    """Largest difference between two slices in any component; slices without a value do not count."""
    known = np.array([value for value in values if value is not None], float)
    return float(np.max(np.ptp(known, axis=0))) if len(known) else 0.0
