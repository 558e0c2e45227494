"""Structured reports with RECIST axes, built item by item as other vendors' software writes them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComprehensiveSRStorage, CTImageStorage, ExplicitVRLittleEndian

IMAGE_UID, SERIES_UID, STUDY_UID, REPORT_UID = "1.2.3.4.5", "1.2.3.4", "1.2.3", "1.2.3.9.1"
LONG, SHORT = ("103339001", "SCT", "Long axis"), ("103340004", "SCT", "Short axis")

Concept = tuple[str, str, str]


def item(value_type: str, concept: Concept | None = None, *children: Dataset, **values: Any) -> Dataset:
    """A content item."""
    made = Dataset()
    made.ValueType = value_type
    made.RelationshipType = {"SCOORD": "INFERRED FROM", "IMAGE": "SELECTED FROM"}.get(value_type, "CONTAINS")
    if concept is not None:
        name = Dataset()
        name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = concept
        made.ConceptNameCodeSequence = [name]
    if children:
        made.ContentSequence = list(children)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def image(uid: str = IMAGE_UID, frame: int | None = None) -> Dataset:
    """A reference to the image that coordinates lie on."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, UID(uid)
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return item("IMAGE", ReferencedSOPSequence=[reference])


def line(*numbers: float, on: Dataset | None = None, kind: str = "POLYLINE") -> Dataset:
    """Coordinates (column, row, ...) on an image; 0.5 is the centre of the first pixel."""
    return item("SCOORD", None, *([on] if on else []), GraphicType=kind, GraphicData=list(numbers))


def axis(concept: Concept, *children: Dataset) -> Dataset:
    """A length in mm with what it was measured on."""
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "mm", "UCUM", "mm"
    value = Dataset()
    value.NumericValue, value.MeasurementUnitsCodeSequence = "12.3", [unit]
    return item("NUM", concept, *children, MeasuredValueSequence=[value])


def group(*children: Dataset, tracking_uid: str | None = None) -> Dataset:
    """A measurement group."""
    tracking = (
        [item("UIDREF", ("112040", "DCM", "Tracking Unique Identifier"), UID=UID(tracking_uid))] if tracking_uid else []
    )
    return item("CONTAINER", ("125007", "DCM", "Measurement Group"), *tracking, *children)


def report(groups: Sequence[Dataset]) -> Dataset:
    """An Imaging Measurement Report, written to bytes and read again."""
    made = item(
        "CONTAINER",
        ("126000", "DCM", "Imaging Measurement Report"),
        item("CONTAINER", ("126010", "DCM", "Imaging Measurements"), *groups),
    )
    del made.RelationshipType
    made.SOPClassUID, made.SOPInstanceUID = ComprehensiveSRStorage, UID(REPORT_UID)
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = UID(STUDY_UID), UID("1.2.3.9"), "SR"
    made.PatientID = "PAT-3"
    made.CurrentRequestedProcedureEvidenceSequence = [_evidence()]
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def _evidence() -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = CTImageStorage, UID(IMAGE_UID)
    series.SeriesInstanceUID, series.ReferencedSOPSequence = UID(SERIES_UID), [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = UID(STUDY_UID), [series]
    return study
