"""Headers of the instances of a study, read without their pixels and grouped into series.

Called from `pacs_node.steps.plan`, `pulmonode rule explain` and `pulmonode series analyse`.
"""

from __future__ import annotations

import io
import os
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from inference.errors import SeriesUnreadable
from inference.series.attributes import Attributes
from inference.series.files import DEFLATED, InflatedInstance, disk_errors, open_instance
from inference.series.frames import Place, frames_of, slices_of
from inference.series.head import head_of
from inference.series.slices import SeriesHeader, SliceHeader, most_common

KEYWORDS = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality Manufacturer StudyDescription SeriesDescription
    BodyPartExamined ContrastBolusAgent ContrastBolusAgentSequence SliceThickness ProtocolName GantryDetectorTilt
    ConvolutionKernel StudyInstanceUID SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber
    ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel NumberOfFrames Rows Columns
    PixelSpacing BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    RescaleIntercept RescaleSlope RescaleType SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
TAGS = [Tag(keyword) for keyword in KEYWORDS.split()]
"""all that is read of an instance; everything else is skipped in the file"""

NOT_DICOM = (
    InvalidDicomError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """The attributes of one file, of its first frame, and its slices."""

    top: Attributes
    frame: Attributes
    slices: tuple[SliceHeader, ...]


def read_headers(paths: Sequence[Path]) -> tuple[SeriesHeader, ...]:
    """Read the headers of DICOM files and group them by Study and Series Instance UID.

    The order of the files does not matter: series are ordered by their UIDs, slices by SOP Instance UID and frame.

    Raises
    ------
    SeriesUnreadable : a file is missing or is not DICOM; odd values do not raise, see `inference.series.slices`
    SeriesInaccessible : the disk fails
    """
    series: dict[tuple[str, str], list[_Instance]] = defaultdict(list)
    for path in paths:
        instance = _read_instance(path)
        series[instance.top.text("StudyInstanceUID"), instance.top.text("SeriesInstanceUID")].append(instance)
    return tuple(_series_header(series[key]) for key in sorted(series))


def _read_instance(path: Path) -> _Instance:
    with open_instance(path) as file, disk_errors():
        head = head_of(file)
        is_inflated = isinstance(file, InflatedInstance)
        length_bytes = None if is_inflated else os.fstat(file.fileno()).st_size
    try:
        dataset = dcmread(io.BytesIO(head.content), specific_tags=TAGS)
    except NOT_DICOM as error:
        raise SeriesUnreadable(f"a file of the series cannot be read as DICOM ({type(error).__name__})") from error
    top = Attributes(dataset)
    frames = frames_of(top)
    syntax = DEFLATED[0] if is_inflated else str(dataset.file_meta.get("TransferSyntaxUID", ""))
    place = Place(path=path, syntax=syntax, head=head, length_bytes=length_bytes)
    return _Instance(top=top, frame=frames[0], slices=slices_of(place, frames))


def _series_header(instances: Sequence[_Instance]) -> SeriesHeader:
    slices = [item for instance in instances for item in instance.slices]
    slices.sort(key=lambda item: (item.sop_instance_uid, item.frame, item.path))
    tops = sorted((instance.top for instance in instances), key=lambda top: top.text("SOPInstanceUID"))

    def text(keyword: str) -> str:
        return most_common(top.text(keyword) for top in tops) or ""

    return SeriesHeader(
        study_instance_uid=tops[0].text("StudyInstanceUID"),
        series_instance_uid=tops[0].text("SeriesInstanceUID"),
        modality=text("Modality"),
        sop_class_uids=tuple(sorted({item.sop_class_uid for item in slices})),
        image_type=most_common(item.image_type for item in slices) or (),
        body_part_examined=text("BodyPartExamined"),
        series_description=text("SeriesDescription"),
        study_description=text("StudyDescription"),
        protocol_name=text("ProtocolName"),
        convolution_kernel=most_common(instance.frame.text("ConvolutionKernel") for instance in instances) or "",
        manufacturer=text("Manufacturer"),
        series_number=most_common(top.integer("SeriesNumber") for top in tops),
        contrast=any(top.text("ContrastBolusAgent") or top.items("ContrastBolusAgentSequence") for top in tops),
        slices=tuple(slices),
    )
