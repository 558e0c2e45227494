"""Headers of the instances of a study, read without their pixels and grouped into series.

Called from `pacs_node.steps.plan`, `pulmonode rule explain` and `pulmonode series analyse`.
"""

from __future__ import annotations

import io
import os
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from inference.errors import SeriesUnreadable
from inference.series.attributes import BROKEN_SEQUENCE, Attributes, integer_of, numbers_of, text_of
from inference.series.files import DEFLATED, InflatedInstance, disk_errors, open_instance
from inference.series.frames import Place, frames_of, held_length, slices_of
from inference.series.head import CHUNK_BYTES, head_of
from inference.series.repeated import (
    IMAGE_POSITION,
    INSTANCE_NUMBER,
    PLAIN_SYNTAXES,
    SOP_INSTANCE,
    PlainHead,
    PlainHeads,
    remember,
)
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

MOST_HEADS = 64
"""of which what they said is remembered; a series in which something changes now and then has some"""

NOT_DICOM = (InvalidDicomError, *BROKEN_SEQUENCE, zlib.error)
"""what pydicom raises on broken heads"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What one file says of its series."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    body_part_examined: str
    series_description: str
    study_description: str
    protocol_name: str
    convolution_kernel: str
    manufacturer: str
    series_number: int | None
    contrast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """One file: what it says of its series, its slices, and the codec of its texts."""

    sop_instance_uid: str
    facts: _Facts
    slices: tuple[SliceHeader, ...]
    encoding: str


def read_headers(paths: Sequence[Path]) -> tuple[SeriesHeader, ...]:
    """Read the headers of DICOM files and group them by Study and Series Instance UID.

    The order of the files does not matter: series are ordered by their UIDs, slices by SOP Instance UID and frame.

    Raises
    ------
    SeriesUnreadable : a file is missing or is not DICOM; odd values do not raise, see `inference.series.slices`
    SeriesInaccessible : the disk fails
    """
    series: dict[tuple[str, str], list[_Instance]] = defaultdict(list)
    reader = _Reader()
    for path in paths:
        instance = reader.read(path)
        series[instance.facts.study_instance_uid, instance.facts.series_instance_uid].append(instance)
    return tuple(_series_header(series[key]) for key in sorted(series))


class _Reader:
    """Reads files one after the other; parses only those that say something new (`inference.series.repeated`)."""

    def __init__(self) -> None:
        self._heads = PlainHeads(TAGS)
        self._read: dict[tuple[bytes, ...], _Instance] = {}

    def read(self, path: Path) -> _Instance:
        content, length_bytes = _beginning(path)
        head = self._heads.taken(content)
        if head is None:
            return _read_instance(path)
        known = self._read.get(head.common)
        if known is not None:
            return _repeated(known, head, path, length_bytes)
        instance = _read_instance(path)
        if instance.slices[0].transfer_syntax_uid in PLAIN_SYNTAXES:
            remember(self._read, head.common, instance, MOST_HEADS)
        return instance


def _beginning(path: Path) -> tuple[bytes, int]:
    """What a file begins with, and its length; empty if it cannot be read, which the slow way has an error for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b"", 0
    try:
        return os.read(file, CHUNK_BYTES), os.fstat(file).st_size
    except OSError:
        return b"", 0
    finally:
        os.close(file)


def _repeated(known: _Instance, head: PlainHead, path: Path, length_bytes: int) -> _Instance:
    """An instance that says what a known one says, but for what is its own."""
    (item,) = known.slices
    own = {tag: text_of(value, known.encoding) for tag, value in head.own.items()}
    position = numbers_of(own.get(IMAGE_POSITION, ""))
    pixels = item.pixels and replace(
        item.pixels,
        offset=head.pixels.offset,
        length=held_length(head.pixels, item.transfer_syntax_uid, length_bytes),
    )
    uid = own.get(SOP_INSTANCE, "")
    item = replace(
        item,
        path=path,
        sop_instance_uid=uid,
        instance_number=integer_of(own.get(INSTANCE_NUMBER, "")),
        position_lps=(position[0], position[1], position[2]) if len(position) == 3 else None,
        pixels=pixels,
    )
    return replace(known, sop_instance_uid=uid, slices=(item,))


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
    return _Instance(
        sop_instance_uid=top.text("SOPInstanceUID"),
        facts=_facts(top, frames[0]),
        slices=slices_of(place, frames),
        encoding=top.encoding,
    )


def _facts(top: Attributes, frame: Attributes) -> _Facts:
    return _Facts(
        study_instance_uid=top.text("StudyInstanceUID"),
        series_instance_uid=top.text("SeriesInstanceUID"),
        modality=top.text("Modality"),
        body_part_examined=top.text("BodyPartExamined"),
        series_description=top.text("SeriesDescription"),
        study_description=top.text("StudyDescription"),
        protocol_name=top.text("ProtocolName"),
        convolution_kernel=frame.text("ConvolutionKernel"),
        manufacturer=top.text("Manufacturer"),
        series_number=top.integer("SeriesNumber"),
        contrast=bool(top.text("ContrastBolusAgent") or top.items("ContrastBolusAgentSequence")),
    )


def _series_header(instances: Sequence[_Instance]) -> SeriesHeader:
    slices = [item for instance in instances for item in instance.slices]
    slices.sort(key=lambda item: (item.sop_instance_uid, item.frame, item.path))
    said = [instance.facts for instance in sorted(instances, key=lambda instance: instance.sop_instance_uid)]
    return SeriesHeader(
        study_instance_uid=said[0].study_instance_uid,
        series_instance_uid=said[0].series_instance_uid,
        modality=most_common(facts.modality for facts in said) or "",
        sop_class_uids=tuple(sorted({item.sop_class_uid for item in slices})),
        image_type=most_common(item.image_type for item in slices) or (),
        body_part_examined=most_common(facts.body_part_examined for facts in said) or "",
        series_description=most_common(facts.series_description for facts in said) or "",
        study_description=most_common(facts.study_description for facts in said) or "",
        protocol_name=most_common(facts.protocol_name for facts in said) or "",
        convolution_kernel=most_common(facts.convolution_kernel for facts in said) or "",
        manufacturer=most_common(facts.manufacturer for facts in said) or "",
        series_number=most_common(facts.series_number for facts in said),
        contrast=any(facts.contrast for facts in said),
        slices=tuple(slices),
    )
