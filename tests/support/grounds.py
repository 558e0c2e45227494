"""A series for every ground that the geometry gate has against one, and one that only just has it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from inference.series import Cosines, Excess, SeriesHeader
from tests.support.headers import A_LAYOUT, a_header, a_slice
from tests.support.series import CORONAL, SAGITTAL

MIP = ("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP")
LOCALIZER = ("ORIGINAL", "PRIMARY", "LOCALIZER")
SCREEN_SAVE = "1.2.840.10008.5.1.4.1.1.7"
MPEG2 = "1.2.840.10008.1.2.4.100"


def turned(degrees: float, axis: int) -> Cosines:
    """The usual axial orientation, turned about an axis of the patient."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [other for other in range(3) if other != axis]
    turn = np.eye(3)
    turn[[first, second], [first, second]] = cos
    turn[first, second], turn[second, first] = -sin, sin
    row, column = turn @ [1, 0, 0], turn @ [0, 1, 0]
    return (*map(float, row), *map(float, column))  # type: ignore[return-value]


def moved(*, from_k: int = 0, to_k: int = 60, **steps: Any) -> dict[int, dict[str, Any]]:
    """Slices of `a_header` moved along an axis: `y=lambda k: mm`."""
    axis, move = next(iter(steps.items()))
    changes = {}
    for k in range(from_k, to_k):
        position = list(a_slice(k).position_lps or ())
        position["xyz".index(axis)] += move(k)
        changes[k] = {"position_lps": tuple(position)}
    return changes


def layout(**changes: Any) -> dict[str, Any]:
    """Another layout of the pixels."""
    return {"pixels": dataclasses.replace(A_LAYOUT, **changes)}


GROUNDS: dict[str, tuple[str, SeriesHeader, str]] = {
    "another modality": ("series.not-ct", a_header(modality="PT"), "60 of 60"),
    "a screen save": ("series.not-ct", a_header(change={7: {"sop_class_uid": SCREEN_SAVE}}), "1 of 60"),
    "a localizer": ("series.localizer", a_header(change={7: {"image_type": LOCALIZER}}), "1 of 60"),
    "a projection": ("series.combined", a_header(image_type=MIP), "60 of 60"),
    "two image types": (
        "series.mixed-image-type",
        a_header(change={7: {"image_type": ("DERIVED", "SECONDARY", "AXIAL")}}),
        "2 different",
    ),
    "no pixels": ("series.no-pixels", a_header(change={7: {"pixels": None}}), "1 of 60"),
    "colour": ("series.pixel-format", a_header(**layout(samples=3, length=512 * 512 * 6)), "60 of 60"),
    "12 bits packed": ("series.pixel-format", a_header(**layout(bits_allocated=12)), "60 of 60"),
    "the high bits in use": ("series.pixel-format", a_header(**layout(high_bit=15)), "60 of 60"),
    "a video": ("series.unsupported-transfer-syntax", a_header(transfer_syntax_uid=MPEG2), "60 of 60"),
    "a file cut short": ("series.truncated", a_header(change={7: layout(length=512 * 512 * 2 - 1)}), "1 of 60"),
    "rows beyond any CT": ("series.oversized", a_header(rows=2049, **layout(length=2**32)), "60 of 60"),
    "a header without end": ("series.header-too-large", a_header(change={7: {"excess": Excess.SIZE}}), "1 of 60"),
    "a header without ground": ("series.header-too-deep", a_header(change={7: {"excess": Excess.DEPTH}}), "1 of 60"),
    "frames not described": ("series.frame-count", a_header(change={7: layout(frames=2, length=2**20)}), "1 instances"),
    "no slope": ("series.missing-rescale", a_header(rescale_slope=None), "60 of 60"),
    "slope 0": ("series.missing-rescale", a_header(rescale_slope=0.0), "60 of 60"),
    "no intercept": ("series.missing-rescale", a_header(rescale_intercept=None), "60 of 60"),
    "effective atomic numbers": ("series.not-hu", a_header(rescale_type="Z_EFF"), "60 of 60"),
    "no position": ("series.missing-geometry", a_header(change={7: {"position_lps": None}}), "1 of 60"),
    "no orientation": ("series.missing-geometry", a_header(change={7: {"orientation": None}}), "1 of 60"),
    "no pixel spacing": ("series.missing-geometry", a_header(change={7: {"pixel_spacing_mm": None}}), "1 of 60"),
    "no thickness": ("series.missing-thickness", a_header(slice_thickness_mm=None), "60 of 60"),
    "no frame of reference": ("series.missing-frame-of-reference", a_header(frame_of_reference_uid=""), "60 of 60"),
    "two frames of reference": (
        "series.mixed-frame-of-reference",
        a_header(change={7: {"frame_of_reference_uid": "1.2.4"}}),
        "2 different",
    ),
    "two sizes": ("series.mixed-size", a_header(change={7: {"rows": 256}}), "2 different"),
    "0.2 degrees between slices": (
        "series.mixed-orientation",
        a_header(change={7: {"orientation": turned(0.2, axis=2)}}),
        "0.0035",  # sin 0.2 degrees
    ),
    "two spacings": ("series.mixed-spacing", a_header(change={7: {"pixel_spacing_mm": (0.7, 0.71)}}), "0.0100 mm"),
    "two thicknesses": ("series.mixed-thickness", a_header(change={7: {"slice_thickness_mm": 2.7}}), "0.20 mm"),
    "coronal": ("series.not-axial", a_header(orientation=CORONAL), "60 of 60"),
    "sagittal": ("series.not-axial", a_header(orientation=SAGITTAL), "60 of 60"),
    "oblique": ("series.not-axial", a_header(orientation=turned(6.0, axis=0)), "60 of 60"),
    "rotated in the plane": ("series.rotated", a_header(orientation=turned(10.0, axis=2)), "60 of 60"),
    "a stated tilt": ("series.gantry-tilt", a_header(gantry_tilt_deg=-12.0), "60 of 60"),
    "sheared slices": (
        "series.gantry-tilt",
        a_header(change=moved(y=lambda k: 2.5 * k * np.tan(np.radians(10)))),
        "10.0 degrees",
    ),
    "a moved table": ("series.shifted", a_header(change=moved(from_k=30, y=lambda _: 5.0)), "5.0 mm"),
    "a missing slice": ("series.gap", a_header(drop={30}), "5.00 mm, most are 2.50 mm"),
    "a slice out of place": (
        "series.irregular-spacing",
        a_header(change=moved(from_k=30, to_k=31, z=lambda _: 0.2)),
        "2.30 to 2.70",
    ),
    "a spacing that changes": (
        "series.irregular-spacing",
        a_header(change=moved(from_k=30, z=lambda k: 0.08 * (k - 30))),
        "2.50 to 2.58",
    ),
    "nothing between slices": ("series.not-contiguous", a_header(slice_thickness_mm=1.0), "1.00 mm lie 2.50 mm"),
    "thick slices": ("series.thickness-out-of-range", a_header(slice_thickness_mm=6.0), "6.000 mm, it must be"),
    "close slices": (
        "series.spacing-out-of-range",
        a_header(slices=300, spacing_mm=0.4, slice_thickness_mm=0.5),
        "0.400 mm",
    ),
    "wide pixels": ("series.pixel-spacing-out-of-range", a_header(pixel_spacing_mm=(0.7, 1.1)), "1.100 mm"),
    "19 slices": ("series.too-few-slices", a_header(slices=19, spacing_mm=5.0), "19 slices, at least 20"),
    "31 slices of 2.5 mm": ("series.too-short", a_header(slices=31), "77.5 mm, at least 80"),
}  # fmt: skip
"""What is wrong: the code of the ground, the series, and a number of its sentence."""
