"""The analysed series and the SEG as plain arrays, read with pydicom and numpy alone.

Positions are compared in patient space, never by the order of files or frames.
Used by the other modules of `check`; shares no code with what writes results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

POSITION_TOLERANCE_MM = 0.01
"""Decimal strings of positions carry at least this precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of the series; `index` is its place in the source as given (the k of a volume given along)."""

    index: int
    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    position_lps: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Geometry of the analysed series.

    Parameters
    ----------
    slices : in the order given
    positions_lps : shape (slices, 3), where their first pixels lie
    gap_mm : mean distance of neighbouring slices along the normal
    pixel_spacing_mm : distance of rows, distance of columns
    """

    slices: tuple[Slice, ...]
    positions_lps: Array
    row_direction: Array
    column_direction: Array
    gap_mm: float
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int

    @property
    def normal(self) -> Array:
        """Unit vector across the slices."""
        return np.cross(self.row_direction, self.column_direction)

    def slice_at(self, position_lps: Array) -> Slice | None:
        """The slice whose first pixel lies here, or None."""
        distances = np.abs(self.positions_lps - position_lps).max(axis=1)
        nearest = int(np.argmin(distances))
        return self.slices[nearest] if distances[nearest] <= POSITION_TOLERANCE_MM else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a SEG, where its own headers put it.

    Parameters
    ----------
    steps_lps : shape (2, 3), from a row to the next and from a column to the next
    voxel_mm3 : volume that a set pixel stands for
    corner : (row, column) where the box begins that `pixels` are in
    """

    segment: int
    position_lps: Array
    steps_lps: Array
    voxel_mm3: float
    corner: tuple[int, int]
    pixels: Bools

    def points(self) -> NDArray[np.int64]:
        """Shape (n, 2): row and column of every set pixel."""
        points: NDArray[np.int64] = np.argwhere(self.pixels) + np.asarray(self.corner, np.int64)
        return points

    def points_on(self, source: Source) -> NDArray[np.int64]:
        """Shape (n, 2): row and column of the source's pixels that the set pixels lie on in patient space."""
        axes = np.stack([source.column_direction, source.row_direction])
        scale = self.steps_lps @ axes.T / np.asarray(source.pixel_spacing_mm)
        points = np.rint(self.points() @ scale).astype(np.int64)
        inside = ((points >= 0) & (points < (source.rows, source.columns))).all(axis=1)
        return np.asarray(points[inside])


def read_source(headers: Sequence[Dataset], frame_numbers: Sequence[int]) -> Source:
    """Geometry from CT headers; `frame_numbers` is the frame of every slice of Enhanced ones (empty: all)."""
    slices = tuple(_slices(headers, frame_numbers))
    first = headers[0]
    frame = slices[0].frame_number
    orientation = np.asarray(functional_group(first, frame, "PlaneOrientationSequence").ImageOrientationPatient, float)
    measures = functional_group(first, frame, "PixelMeasuresSequence")
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.stack([item.position_lps for item in slices])
    heights = positions @ normal
    return Source(
        slices=slices,
        positions_lps=positions,
        row_direction=orientation[:3],
        column_direction=orientation[3:],
        gap_mm=float(np.ptp(heights)) / (len(heights) - 1) if len(heights) > 1 else float(measures.SliceThickness),
        pixel_spacing_mm=(float(measures.PixelSpacing[0]), float(measures.PixelSpacing[1])),
        rows=int(first.Rows),
        columns=int(first.Columns),
    )


def read_frames(seg: Dataset) -> Iterator[Frame]:
    """Frames of a BINARY SEG.

    Raises
    ------
    ValueError : the number of frames is not that of the frames described
    """
    if int(seg.NumberOfFrames) != len(seg.PerFrameFunctionalGroupsSequence):
        raise ValueError("NumberOfFrames is not the number of frames described")
    steps_lps, voxel_mm3 = _voxel(seg.SharedFunctionalGroupsSequence[0])
    for number, item in enumerate(seg.PerFrameFunctionalGroupsSequence):
        corner, pixels = _cropped(_binary_plane(seg, number))
        yield Frame(
            segment=int(segment_number(seg, item)),
            position_lps=np.asarray(item.PlanePositionSequence[0].ImagePositionPatient, float),
            steps_lps=steps_lps,
            voxel_mm3=voxel_mm3,
            corner=corner,
            pixels=pixels,
        )


def _binary_plane(seg: Dataset, number: int) -> Bools:
    """Pixels of a frame, first bit lowest (PS3.5 section 8.1.1)."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    first = number * rows * columns
    stop = first + rows * columns
    packed = np.frombuffer(seg.PixelData, np.uint8)[first // 8 : -(-stop // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][: rows * columns]
    return bits.reshape(rows, columns).astype(bool)


def fractional_plane(seg: Dataset, number: int) -> NDArray[np.uint8]:
    """Values of a frame (from 0) of a FRACTIONAL SEG; shape (row, column)."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    values = np.frombuffer(seg.PixelData, np.uint8, rows * columns, number * rows * columns)
    return values.reshape(rows, columns)


def segment_number(seg: Dataset, frame_item: Dataset) -> int:
    """The segment that a frame shows; shared by all frames if there is one segment only."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    item = frame_item if "SegmentIdentificationSequence" in frame_item else shared
    return int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _voxel(shared: Dataset) -> tuple[Array, float]:
    """Steps to the next row and column, and the volume of a voxel."""
    measures = shared.PixelMeasuresSequence[0]
    rows_mm, columns_mm = (float(value) for value in measures.PixelSpacing)
    orientation = np.asarray(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    steps_lps = np.stack([orientation[3:] * rows_mm, orientation[:3] * columns_mm])
    return steps_lps, rows_mm * columns_mm * float(measures.SpacingBetweenSlices)


def _slices(headers: Sequence[Dataset], frame_numbers: Sequence[int]) -> Iterator[Slice]:
    places: list[tuple[Dataset, int | None]] = [(header, None) for header in headers]
    if frame_numbers:
        instances = headers if len(headers) > 1 else list(headers) * len(frame_numbers)
        places = list(zip(instances, frame_numbers, strict=True))
    elif "PerFrameFunctionalGroupsSequence" in headers[0]:
        places = [(item, n + 1) for item in headers for n in range(len(item.PerFrameFunctionalGroupsSequence))]
    for index, (header, number) in enumerate(places):
        yield Slice(
            index=index,
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            frame_number=number,
            position_lps=np.asarray(
                functional_group(header, number, "PlanePositionSequence").ImagePositionPatient, float
            ),
        )


def functional_group(header: Dataset, frame: int | None, keyword: str) -> Dataset:
    """The functional group of a frame (from 1), its own or the shared one; without frames the header itself."""
    if frame is None:
        return header
    own = header.PerFrameFunctionalGroupsSequence[frame - 1]
    return (own if keyword in own else header.SharedFunctionalGroupsSequence[0])[keyword][0]


def _cropped(plane: Bools) -> tuple[tuple[int, int], Bools]:
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not rows.size:
        return (0, 0), plane[:0, :0]
    corner = (int(rows[0]), int(columns[0]))
    return corner, plane[corner[0] : rows[-1] + 1, corner[1] : columns[-1] + 1].copy()
