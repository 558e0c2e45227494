"""Where the slices of the analysed series lie and how they are referenced, for single-frame and Enhanced CT alike.

Called from whatever refers to slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from pacs_node.report.identity import uid
from pacs_node.report.request import ReportRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReference:
    """Names the instance of one slice, and its frame (from 1) where the instance has several."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None


def slice_reference(request: ReportRequest, k: int) -> SliceReference:
    """The instance (and frame) that slice k of the grid comes from."""
    header = _header(request, k)
    return SliceReference(
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        frame_number=request.frame_numbers[k] if request.frame_numbers else None,
    )


def reference_item(reference: SliceReference) -> Dataset:
    """Sequence item that refers to an instance, or to one frame of it (PS3.3 table 10-3)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reference.frame_number is not None:
        item.ReferencedFrameNumber = reference.frame_number
    return item


def image_number(request: ReportRequest, k: int) -> str:
    """What viewers call slice k: the frame of an Enhanced CT, else the number of the instance; empty if it has none."""
    if request.frame_numbers:
        return str(request.frame_numbers[k])
    element = _header(request, k).get_item("InstanceNumber")  # as it was sent: one that is no number is no mistake here
    value = element.value if element is not None else ""
    number = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip(" \0")
    return number if number.isdecimal() else ""


def rescale(request: ReportRequest, k: int) -> tuple[str, str]:
    """Slope and intercept from the stored values of slice k to HU; 1 and 0 where the CT names none (PS3.3 C.11.1)."""
    header, frame = _header(request, k), request.frame_numbers[k] if request.frame_numbers else None
    try:
        values = _group(header, frame, "PixelValueTransformationSequence")
    except KeyError:
        return "1", "0"
    return str(values.get("RescaleSlope", "1")), str(values.get("RescaleIntercept", "0"))


def copy_lossy(document: Dataset, header: Dataset) -> None:
    """Say whether pixels that come from these of a CT have ever been compressed with a loss (PS3.3 C.7.6.1.1.5)."""
    document.LossyImageCompression = header.get("LossyImageCompression") or "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in header:
            document[keyword] = header[keyword]


def frame_of_reference_uid(request: ReportRequest) -> str:
    """That of the CT; a derived one if the CT, against PS3.3 A.3, has none."""
    return str(request.source[0].get("FrameOfReferenceUID") or uid(request.identity, "frame-of-reference"))


def image_position(request: ReportRequest, k: int) -> list[float]:
    """Centre of the first pixel of slice k as its header has it, LPS mm."""
    frame = request.frame_numbers[k] if request.frame_numbers else None
    return list(_group(_header(request, k), frame, "PlanePositionSequence").ImagePositionPatient)


def slice_stand_in(request: ReportRequest, k: int) -> Dataset:
    """A small header of slice k that holds geometry and references only.

    highdicom gets these instead of the real headers: no patient data reaches its log, a jitter of the direction
    cosines or a value that breaks its VR cannot stop a result, and Enhanced frames look like any other slice.
    """
    first = request.source[0]
    first_frame = request.frame_numbers[0] if request.frame_numbers else None
    measures = _group(first, first_frame, "PixelMeasuresSequence")
    stand_in = instance_stand_in(request, k)
    stand_in.Rows, stand_in.Columns = first.Rows, first.Columns
    stand_in.FrameOfReferenceUID = frame_of_reference_uid(request)
    stand_in.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
    stand_in.ImageOrientationPatient = _group(first, first_frame, "PlaneOrientationSequence").ImageOrientationPatient
    stand_in.ImagePositionPatient = image_position(request, k)
    stand_in.PixelSpacing = measures.PixelSpacing
    stand_in.SliceThickness = measures.get("SliceThickness") or request_spacing_mm(request)
    copy_lossy(stand_in, first)
    return stand_in


def instance_stand_in(request: ReportRequest, number: int = 0) -> Dataset:
    """A header of nobody, with a UID of its own; a CT in any case, since highdicom knows few classes."""
    stand_in = Dataset()
    for keyword in _BLANK:
        setattr(stand_in, keyword, "")
    stand_in.SOPClassUID, stand_in.SOPInstanceUID = CTImageStorage, uid(request.identity, "stand-in", number)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        setattr(stand_in, keyword, request.source[0][keyword].value)
    return stand_in


def request_spacing_mm(request: ReportRequest) -> float:
    """Distance of neighbouring slices of the analysed grid in mm; 0 without a result."""
    return request.result.grid.spacing_mm[0] if request.result is not None else 0.0


def slices_of(headers: Sequence[SliceReference]) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """Instances (class, UID) in order of appearance, each with all of its frames that are referenced."""
    frames: dict[tuple[str, str], list[int]] = {}
    for header in headers:
        numbers = frames.setdefault((header.sop_class_uid, header.sop_instance_uid), [])
        if header.frame_number is not None:
            numbers.append(header.frame_number)
    return tuple((sop_class, instance, tuple(numbers)) for (sop_class, instance), numbers in frames.items())


_BLANK = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def _header(request: ReportRequest, k: int) -> Dataset:
    return request.source[k if len(request.source) > 1 else 0]


def _group(header: Dataset, frame: int | None, functional_group: str) -> Dataset:
    """The functional group of a frame, its own or the shared one (PS3.3 C.7.6.16); the header itself without frames."""
    if frame is None:
        return header
    per_frame = header.PerFrameFunctionalGroupsSequence[frame - 1]
    return (per_frame if functional_group in per_frame else header.SharedFunctionalGroupsSequence[0])[functional_group][
        0
    ]
