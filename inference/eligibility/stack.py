"""Grounds that lie in the positions: order, gaps, doubles, shear, and the limits of the model. Called from `judge`.

All slices have their geometry here, and are parallel and of one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inference.contract import SeriesLimits
from inference.eligibility.verdict import Reason
from inference.geometry import FloatArray, Grid, Point
from inference.series import SliceHeader, normal, offsets_mm

SAME_MM = 0.01
"""positions closer than this are the same: scanners write two digits or more behind the point"""

SHEAR_PIXELS = 0.5
"""how far slices may lie beside the line through the first one along the normal: half a pixel, within its own voxels"""

JITTER_MM = 0.1
"""the distance from slice to slice may vary by this, like the thickness (Riverain ClearRead CT, series
recommendations); positions rounded to 0.1 mm do"""

DRIFT_MM = 0.25
"""how far a slice may lie from its place in the regular grid: a quarter of the detector's voxel of 1 mm"""

GAP_RATIO = 1.5
"""from here on a distance is nearer to two usual ones than to one: a slice is missing"""

LIMIT_MM = 1e-3
"""limits are met up to this: 0.976562 and 0.4999999 are rounded decimals"""


def sorted_stack(slices: Sequence[SliceHeader]) -> tuple[SliceHeader, ...]:
    """In ascending order along the normal of the slices; never by file or instance number."""
    order = np.argsort(offsets_mm(slices), kind="stable")
    return tuple(slices[int(index)] for index in order)


def stack_grid(stack: Sequence[SliceHeader]) -> Grid:
    """The regular grid in which the first and the last slice of a sorted stack lie exactly."""
    first = stack[0]
    assert first.orientation is not None and first.position_lps is not None and first.pixel_spacing_mm is not None
    row = _unit(np.array(first.orientation[:3]))
    along = normal(first.orientation)
    offsets = offsets_mm(stack)
    return Grid(
        shape_kji=(len(stack), first.rows or 0, first.columns or 0),
        spacing_mm=(float(offsets[-1] - offsets[0]) / (len(stack) - 1), *first.pixel_spacing_mm),
        origin_lps=first.position_lps,
        directions=(_point(along), _point(np.cross(along, row)), _point(row)),
    )


def stack_reasons(stack: Sequence[SliceHeader], limits: SeriesLimits) -> Iterator[Reason]:
    """Every ground of this kind against a sorted stack; an empty one has none."""
    if not stack:
        return
    offsets = offsets_mm(stack)
    yield from _shear_reasons(stack, offsets)
    yield from _step_reasons(offsets)
    yield from _limit_reasons(stack, offsets, limits)
    coverage_mm = float(offsets[-1] - offsets[0]) + (stack[0].slice_thickness_mm or 0.0)
    if coverage_mm < limits.minimum_coverage_mm - LIMIT_MM:
        text = f"the slices cover {coverage_mm:.1f} mm, at least {limits.minimum_coverage_mm:g} mm are needed"
        yield Reason(code="series.too-short", text=text)


def _shear_reasons(stack: Sequence[SliceHeader], offsets: FloatArray) -> Iterator[Reason]:
    """Slices beside the line along their normal; if on another line the gantry was tilted, else the table moved."""
    assert stack[0].orientation is not None and stack[0].pixel_spacing_mm is not None
    along = offsets - offsets[0]
    positions = np.array([item.position_lps for item in stack], float)
    aside = positions - positions[0] - along[:, None] * normal(stack[0].orientation)
    tolerance = SHEAR_PIXELS * min(stack[0].pixel_spacing_mm)
    largest = float(np.max(np.linalg.norm(aside, axis=1)))
    if largest <= tolerance:
        return
    slope = along @ aside / max(float(along @ along), SAME_MM)
    if np.max(np.linalg.norm(aside - along[:, None] * slope, axis=1)) <= tolerance:
        angle = float(np.degrees(np.arctan(np.linalg.norm(slope))))
        yield Reason(code="series.gantry-tilt", text=f"the slices are stacked {angle:.1f} degrees off their normal")
    else:
        yield Reason(code="series.shifted", text=f"slices lie up to {largest:.1f} mm beside the others")


def _step_reasons(offsets: FloatArray) -> Iterator[Reason]:
    steps = _steps_mm(offsets)
    doubles = len(offsets) - 1 - len(steps)
    if doubles:
        yield Reason(code="series.duplicate-position", text=f"{doubles} slices lie where another slice lies")
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = steps[steps >= GAP_RATIO * usual]
    if len(gaps):
        text = (
            f"{len(gaps)} distances between neighbouring slices are up to {gaps.max():.2f} mm, most are {usual:.2f} mm"
        )
        yield Reason(code="series.gap", text=text)
    if doubles or len(gaps):
        return
    regular = np.linspace(offsets[0], offsets[-1], len(offsets))
    jitter, drift = float(np.max(np.abs(steps - usual))), float(np.max(np.abs(offsets - regular)))
    if jitter > JITTER_MM + LIMIT_MM or drift > DRIFT_MM:
        text = f"the distance of neighbouring slices varies from {steps.min():.2f} to {steps.max():.2f} mm"
        yield Reason(code="series.irregular-spacing", text=text)


def _limit_reasons(stack: Sequence[SliceHeader], offsets: FloatArray, limits: SeriesLimits) -> Iterator[Reason]:
    thickness, steps = stack[0].slice_thickness_mm, _steps_mm(offsets)
    spacing = float(np.median(steps)) if len(steps) else None
    if thickness is not None and spacing is not None and spacing > thickness + JITTER_MM + LIMIT_MM:
        text = f"slices of {thickness:.2f} mm lie {spacing:.2f} mm apart: what is between them was not imaged"
        yield Reason(code="series.not-contiguous", text=text)
    measured = (
        ("series.thickness-out-of-range", "slice thickness", [thickness], limits.slice_thickness_mm),
        ("series.spacing-out-of-range", "distance of slices", [spacing], limits.slice_spacing_mm),
        (
            "series.pixel-spacing-out-of-range",
            "pixel spacing",
            stack[0].pixel_spacing_mm or (),
            limits.pixel_spacing_mm,
        ),
    )
    for code, name, values, (low, high) in measured:
        outside = [value for value in values if value is not None and not low - LIMIT_MM <= value <= high + LIMIT_MM]
        if outside:
            text = f"the {name} is {outside[0]:.3f} mm, it must be from {low:g} to {high:g} mm"
            yield Reason(code=code, text=text)


def _steps_mm(offsets: FloatArray) -> FloatArray:
    """Distances between neighbouring slices that do not lie in one place."""
    steps = np.diff(offsets)
    return np.asarray(steps[steps >= SAME_MM])


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector))


def _point(vector: FloatArray) -> Point:
    x, y, z = (float(value) for value in vector)
    return x, y, z
