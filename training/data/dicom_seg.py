"""One DICOM Segmentation as another program wrote it: its segments, where its frames lie, and their pixels.

Tolerant of what the standard leaves open (functional groups shared or per frame, source images named or not). Which CT
it belongs to is decided in `training.data.dicom_pairs`. PS3.3 A.51 and C.8.20.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from inference.geometry import Point
from inference.series.headers import NOT_DICOM
from inference.volume import BoolArray
from training.errors import TrainingError

BINARY, FRACTIONAL = "BINARY", "FRACTIONAL"
HALF = 0.5
"""A pixel of a fractional segment counts from here on."""

AUTOMATIC = "AUTOMATIC"

NODULES = {
    ("SCT", "27925004"),  # Nodule
    ("SCT", "786838002"),  # Lung nodule
    ("SCT", "427359005"),  # Solitary nodule of lung
    ("SCT", "52988006"),  # Lesion
    ("SCT", "4147007"),  # Mass
    ("SCT", "108369006"),  # Neoplasm
    ("SCT", "126713003"),  # Neoplasm of lung
    ("SRT", "M-03010"),  # Nodule, in the scheme that was retired in 2019
    ("SRT", "M-01100"),  # Lesion
    ("SRT", "M-03000"),  # Mass
    ("SRT", "M-8FFFF"),  # Neoplasm
}
"""Segmented Property Types (PS3.16 CID 7159, CID 7151) that say: this is a nodule or may be one."""


class SegUnreadable(TrainingError):
    """The file is no DICOM Segmentation, or a broken one."""

    code = "seg.unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment; `kind` is the meaning of its type, `is_automatic`: no person made or changed it, so it says."""

    number: int
    kind: str
    is_nodule: bool
    is_automatic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where one frame lies.

    Parameters
    ----------
    segment : number of its segment
    position_lps : centre of its first pixel, mm
    row, column : directions of increasing column and row index
    spacing_mm : distance of rows and of columns
    source_uids : SOP Instance UIDs of the CT slices that it was drawn on; empty if it does not say
    """

    segment: int
    position_lps: Point
    row: Point
    column: Point
    spacing_mm: tuple[float, float]
    source_uids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """One instance without its pixels.

    Parameters
    ----------
    patient_id : a hash of Patient ID and issuer, so that no list of training data holds them; empty if there is none
    series_uid, instance_uid : its own
    referenced_series : the series that it says it was drawn on
    made_at : Content Date and Time as they stand; later ones are larger
    kind : `BINARY`, `FRACTIONAL`, `LABELMAP`
    shape_ji : rows and columns of its frames
    """

    path: Path
    patient_id: str
    series_uid: str
    instance_uid: str
    frame_of_reference_uid: str
    referenced_series: frozenset[str]
    made_at: str
    kind: str
    shape_ji: tuple[int, int]
    segments: tuple[Segment, ...]
    frames: tuple[Frame, ...]


def read(path: Path) -> Segmentation:
    """All of a segmentation but its pixels.

    Raises
    ------
    SegUnreadable : it is none, or lacks what every segmentation has
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True)
        if dataset.SOPClassUID != SegmentationStorage:
            raise SegUnreadable("it is not a Segmentation Storage instance")
        return _segmentation(path, dataset)
    except (*NOT_DICOM, IndexError) as error:
        raise SegUnreadable(f"an attribute is missing or broken ({type(error).__name__})") from error


def masks(segmentation: Segmentation) -> BoolArray:
    """The pixels of all frames; shape (frames, rows, columns).

    Raises
    ------
    SegUnreadable : they cannot be decoded, or are fewer than the header says
    """
    try:
        dataset = dcmread(segmentation.path)
        pixels = dataset.pixel_array.reshape(-1, *segmentation.shape_ji)
        full = float(dataset.get("MaximumFractionalValue", 1)) if segmentation.kind == FRACTIONAL else 1.0
    except (*NOT_DICOM, RuntimeError) as error:
        raise SegUnreadable(f"its pixels cannot be decoded ({type(error).__name__})") from error
    if len(pixels) != len(segmentation.frames):
        raise SegUnreadable(f"{len(pixels)} frames are there, its header describes {len(segmentation.frames)}")
    return np.asarray(pixels >= HALF * full)


def pseudonym(patient_id: str, issuer: str = "") -> str:
    """What stands for a Patient ID in training data: the same in all studies, and nobody can read it off."""
    return hashlib.sha256(f"{issuer}\0{patient_id}".encode()).hexdigest()[:16]


def _segmentation(path: Path, dataset: Dataset) -> Segmentation:
    return Segmentation(
        path=path,
        patient_id=patient_of(dataset),
        series_uid=str(dataset.SeriesInstanceUID),
        instance_uid=str(dataset.SOPInstanceUID),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "")),
        referenced_series=frozenset(
            str(item.SeriesInstanceUID) for item in dataset.get("ReferencedSeriesSequence") or ()
        ),
        made_at=f"{dataset.get('ContentDate', '')}{dataset.get('ContentTime', '')}",
        kind=str(dataset.SegmentationType),
        shape_ji=(int(dataset.Rows), int(dataset.Columns)),
        segments=tuple(map(_segment, dataset.SegmentSequence)),
        frames=tuple(_frames(dataset)),
    )


def _segment(item: Dataset) -> Segment:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    return Segment(
        number=int(item.SegmentNumber),
        kind=str(kind.CodeMeaning),
        is_nodule=(str(kind.CodingSchemeDesignator), str(kind.CodeValue)) in NODULES,
        is_automatic=item.get("SegmentAlgorithmType", "") == AUTOMATIC,
    )


def _frames(dataset: Dataset) -> Iterator[Frame]:
    shared = tuple(dataset.get("SharedFunctionalGroupsSequence") or ())
    for item in dataset.PerFrameFunctionalGroupsSequence:
        groups = (item, *shared)
        orientation = [float(v) for v in _group(groups, "PlaneOrientationSequence").ImageOrientationPatient]
        rows_mm, columns_mm = map(float, _group(groups, "PixelMeasuresSequence").PixelSpacing)
        yield Frame(
            segment=int(_group(groups, "SegmentIdentificationSequence").ReferencedSegmentNumber),
            position_lps=_point(_group(groups, "PlanePositionSequence").ImagePositionPatient),
            row=_point(orientation[:3]),
            column=_point(orientation[3:]),
            spacing_mm=(rows_mm, columns_mm),
            source_uids=frozenset(_sources(groups)),
        )


def _group(groups: Sequence[Dataset], keyword: str) -> Dataset:
    """The item of a functional group: the frame's own, else the shared one."""
    item: Dataset = next(group for group in groups if keyword in group)[keyword].value[0]
    return item


def _sources(groups: Sequence[Dataset]) -> Iterator[str]:
    for group in groups:
        for derivation in group.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                yield str(source.ReferencedSOPInstanceUID)


def patient_of(dataset: Dataset) -> str:
    """The pseudonym of the patient of an instance; empty if it does not say whose it is."""
    patient = str(dataset.get("PatientID") or "")
    return pseudonym(patient, str(dataset.get("IssuerOfPatientID") or "")) if patient else ""


def _point(values: Sequence[float]) -> Point:
    x, y, z = map(float, values)
    return x, y, z
