"""Whether a SEG lies where its CT lies, and points at the instances that it was drawn on. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.frames import Source
from pacs_node.report.check.problem import Problem

_IMAGE = {"SamplesPerPixel": 1, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"}
_BITS = {"BINARY": (1, 1, 0), "FRACTIONAL": (8, 8, 7)}
"""What a segmentation must say of its pixels, and their bits allocated, stored and high (PS3.3 C.8.20.2)."""


def geometry_problems(seg: Dataset, source: Source, headers: Sequence[Dataset]) -> Iterator[Problem]:
    """Problems of grid, spacing, orientation, positions and frame count."""
    yield from _image(seg, source)
    yield from _measures(seg.SharedFunctionalGroupsSequence[0], source)
    yield from _positions(seg, source)
    expected = str(headers[0].get("FrameOfReferenceUID") or "")
    if expected and str(seg.get("FrameOfReferenceUID")) != expected:
        yield _geometry("The Frame of Reference is not that of the CT.")


def reference_problems(seg: Dataset, source: Source, headers: Sequence[Dataset]) -> Iterator[Problem]:
    """Problems of the references from frames, and from the whole SEG, to CT instances."""
    used = set()
    for number, item in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        if "DerivationImageSequence" not in item:
            yield _reference(f"Frame {number} does not say which instance it was derived from.")
            continue
        reference = item.DerivationImageSequence[0].SourceImageSequence[0]
        used.add(str(reference.ReferencedSOPInstanceUID))
        yield from _frame_reference(number, item, reference, source)
    yield from _series_references(seg, used, headers)


def lossy_problems(seg: Dataset, headers: Sequence[Dataset]) -> Iterator[Problem]:
    """Lossy compression must be declared if and only if the CT declares it (PS3.3 C.7.6.1.1.5)."""
    expected = "01" if any(str(header.get("LossyImageCompression", "00")) == "01" for header in headers) else "00"
    if str(seg.get("LossyImageCompression")) != expected:
        yield Problem(code="image.lossy", text=f"LossyImageCompression must be {expected}, as in the CT.")


def _image(seg: Dataset, source: Source) -> Iterator[Problem]:
    for keyword, expected in _IMAGE.items():
        if seg.get(keyword) != expected:
            yield _geometry(f"{keyword} must be {expected}.")
    bits = (seg.get("BitsAllocated"), seg.get("BitsStored"), seg.get("HighBit"))
    if bits != _BITS.get(str(seg.get("SegmentationType"))):
        yield _geometry("The bits of its pixels are not those of its type.")
    if (int(seg.Rows), int(seg.Columns)) != (source.rows, source.columns):
        yield _geometry("Rows and Columns are not those of the CT.")
    frames = int(seg.NumberOfFrames)
    if frames != len(seg.PerFrameFunctionalGroupsSequence):
        yield _geometry("NumberOfFrames is not the number of frames described.")
    size = -(-frames * int(seg.Rows) * int(seg.Columns) * int(seg.BitsAllocated) // 8)
    if len(seg.PixelData) != size + size % 2:
        yield _geometry("The pixel data do not have the length that the frames need.")


def _measures(shared: Dataset, source: Source) -> Iterator[Problem]:
    measures = shared.PixelMeasuresSequence[0]
    if not np.allclose([float(value) for value in measures.PixelSpacing], source.pixel_spacing_mm, atol=1e-4):
        yield _geometry("PixelSpacing is not that of the CT.")
    if abs(float(measures.SpacingBetweenSlices) - source.gap_mm) > 0.01 * source.gap_mm:
        yield _geometry("SpacingBetweenSlices is not the distance of the slices.")
    orientation = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    if not np.allclose(orientation, [*source.row_direction, *source.column_direction], atol=1e-3):
        yield _geometry("ImageOrientationPatient is not that of the CT.")


def _positions(seg: Dataset, source: Source) -> Iterator[Problem]:
    seen = set()
    for number, item in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        place = source.slice_at(np.asarray(item.PlanePositionSequence[0].ImagePositionPatient, float))
        if place is None:
            yield _geometry(f"Frame {number} lies on no slice of the CT.")
            continue
        identification = item.get("SegmentIdentificationSequence")
        key = (place.index, int(identification[0].ReferencedSegmentNumber) if identification else 0)
        if key in seen:
            yield _geometry(f"Frame {number} repeats an earlier frame of its segment.")
        seen.add(key)
        if len(item.FrameContentSequence[0].DimensionIndexValues) != len(seg.DimensionIndexSequence):
            yield _geometry(f"Frame {number} does not have one index per dimension.")


def _frame_reference(number: int, item: Dataset, reference: Dataset, source: Source) -> Iterator[Problem]:
    uid, frame = str(reference.ReferencedSOPInstanceUID), reference.get("ReferencedFrameNumber")
    frame = int(frame) if frame is not None else None
    named = [place for place in source.slices if (place.sop_instance_uid, place.frame_number) == (uid, frame)]
    place = source.slice_at(np.asarray(item.PlanePositionSequence[0].ImagePositionPatient, float))
    if not named:
        yield _reference(f"Frame {number} was derived from an instance that the series does not have.")
    elif named[0] is not place:
        yield _reference(f"Frame {number} lies on another slice than the instance it was derived from.")
    elif named[0].sop_class_uid != str(reference.ReferencedSOPClassUID):
        yield _reference(f"Frame {number} names a wrong SOP class for its instance.")
    purpose, derivation = reference.PurposeOfReferenceCodeSequence, item.DerivationImageSequence[0]
    if purpose[0].CodeValue != "121322" or derivation.DerivationCodeSequence[0].CodeValue != "113076":
        yield _reference(f"Frame {number} does not say that it was segmented from its instance.")
    if reference.get("SpatialLocationsPreserved") != "YES":
        yield _reference(f"Frame {number} does not say that it lies on the pixels of its instance.")


def _series_references(seg: Dataset, used: set[str], headers: Sequence[Dataset]) -> Iterator[Problem]:
    known = {(str(header.SOPInstanceUID), str(header.SOPClassUID)) for header in headers}
    if "ReferencedSeriesSequence" not in seg:
        yield _reference("The SEG does not list the series that it refers to.")
        return
    series = seg.ReferencedSeriesSequence[0]
    listed = _instances(series.ReferencedInstanceSequence)
    if str(series.SeriesInstanceUID) != str(headers[0].SeriesInstanceUID):
        yield _reference("The series listed is not that of the CT.")
    if not (listed | _instances(seg.SourceImageSequence)) <= known:
        yield _reference("The SEG lists an instance that the series does not have.")
    if not used <= {uid for uid, _ in listed}:
        yield _reference("A frame was derived from an instance that the SEG does not list.")


def _instances(items: Sequence[Dataset]) -> set[tuple[str, str]]:
    return {(str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID)) for item in items}


def _geometry(text: str) -> Problem:
    return Problem(code="seg.geometry", text=text)


def _reference(text: str) -> Problem:
    return Problem(code="seg.references", text=text)
