"""Headers of series in memory, for what is decided without files.

a_header(slices=30, change={3: {"slice_thickness_mm": 4.0}})
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from inference.contract import SeriesLimits
from inference.series import Cosines, PixelLayout, SeriesHeader, SliceHeader, normal

LIMITS = SeriesLimits(
    slice_thickness_mm=(0.5, 5.0),
    slice_spacing_mm=(0.5, 5.0),
    pixel_spacing_mm=(0.4, 1.0),
    minimum_slices=20,
    minimum_coverage_mm=80.0,
)
FEW = dataclasses.replace(LIMITS, minimum_slices=2, minimum_coverage_mm=0.0)
"""for series of a few slices"""

A_LAYOUT = PixelLayout(
    offset=1000,
    length=512 * 512 * 2,
    frames=1,
    samples=1,
    bits_allocated=16,
    bits_stored=12,
    high_bit=11,
    signed=False,
    padding=None,
)
SUPINE: Cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def a_slice(k: int = 0, *, spacing_mm: float = 2.5, orientation: Cosines = SUPINE, **changes: Any) -> SliceHeader:
    """Slice k of a series; instance numbers run against the positions, as scanners count from the head."""
    position = np.array([-180.0, -170.0, -200.0]) + k * spacing_mm * normal(orientation)
    header = SliceHeader(
        path=Path(f"{1000 - k}.dcm"),
        sop_instance_uid=f"1.2.{1000 - k}",
        sop_class_uid=CTImageStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        frame=0,
        modality="CT",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        instance_number=1000 - k,
        acquisition_number=1,
        frame_of_reference_uid="1.2.3",
        position_lps=(float(position[0]), float(position[1]), float(position[2])),
        orientation=orientation,
        rows=512,
        columns=512,
        pixel_spacing_mm=(0.7, 0.7),
        slice_thickness_mm=spacing_mm,
        gantry_tilt_deg=0.0,
        rescale_slope=1.0,
        rescale_intercept=-1024.0,
        rescale_type="HU",
        pixels=A_LAYOUT,
    )
    return dataclasses.replace(header, **changes)


def a_header(
    *,
    slices: int = 60,
    drop: Collection[int] = (),
    change: Mapping[int, Mapping[str, Any]] | None = None,
    series: Mapping[str, Any] | None = None,
    **common: Any,
) -> SeriesHeader:
    """A series of `a_slice`: `common` changes every slice, `change` single ones by k, `series` the series itself."""
    wanted = [k for k in range(slices) if k not in drop]
    header = SeriesHeader(
        study_instance_uid="1.2.1",
        series_instance_uid="1.2.2",
        modality="CT",
        sop_class_uids=(CTImageStorage,),
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        body_part_examined="CHEST",
        series_description="LUNG 2.5",
        study_description="CT CHEST",
        protocol_name="CHEST",
        convolution_kernel="B30f",
        manufacturer="PULMONODE TEST",
        series_number=2,
        contrast=False,
        slices=tuple(dataclasses.replace(a_slice(k, **common), **(change or {}).get(k, {})) for k in wanted),
    )
    return dataclasses.replace(header, **(series or {}))
