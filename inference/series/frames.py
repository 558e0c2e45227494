"""From the attributes of one instance to its slices: one for a single-frame instance, one per frame of an Enhanced CT.

Called from `inference.series.headers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from inference.series.attributes import Attributes
from inference.series.decoding import NATIVE
from inference.series.head import UNDEFINED_LENGTH, Head, PixelExtent
from inference.series.slices import PixelLayout, SliceHeader

GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "CTAcquisitionDetailsSequence",
    "CTReconstructionSequence",
)
"""functional groups of the Enhanced CT (PS3.3 A.38.1.4) that hold what a single-frame CT has at its top"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the frames of an instance lie.

    Parameters
    ----------
    syntax : Transfer Syntax UID
    length_bytes : of the file; None if it is deflated, and longer than it looks
    """

    path: Path
    syntax: str
    head: Head
    length_bytes: int | None


def frames_of(instance: Attributes) -> tuple[Attributes, ...]:
    """The attributes of each frame: its own functional groups first, then the shared ones, then the instance's."""
    per_frame = instance.items("PerFrameFunctionalGroupsSequence")
    shared = instance.items("SharedFunctionalGroupsSequence")
    if not per_frame:
        return (instance.within(*_groups(shared)),)
    common = _groups(shared)
    return tuple(instance.within(*_groups((frame,)), *common) for frame in per_frame)


def slices_of(place: Place, frames: tuple[Attributes, ...]) -> tuple[SliceHeader, ...]:
    """One slice per frame; `frames` from `frames_of`, at least one."""
    pixels = _pixel_layout(frames[0], place)
    first = 1 if frames[0].items("PerFrameFunctionalGroupsSequence") else 0
    return tuple(_slice(place, number, frame, pixels) for number, frame in enumerate(frames, start=first))


def held_length(extent: PixelExtent, syntax: str, file_bytes: int | None) -> int:
    """Bytes of pixels: where the stated length is undefined or too long, what the file holds if it is not inflated.

    0 where the length says that there are fragments, and the transfer syntax that there are none (PS3.5 A.4).
    """
    if extent.length is None and syntax in NATIVE:
        return 0
    held = None if file_bytes is None else max(file_bytes - extent.offset, 0)
    return min(length for length in (extent.length, held, UNDEFINED_LENGTH) if length is not None)


def _groups(items: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
    attributes = [Attributes(item, encoding="ascii") for item in items]
    return tuple(group for item in attributes for keyword in GROUPS for group in item.items(keyword)[:1])


def _slice(place: Place, number: int, frame: Attributes, pixels: PixelLayout | None) -> SliceHeader:
    position, orientation, spacing = (
        frame.numbers(keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    return SliceHeader(
        path=place.path,
        sop_instance_uid=frame.text("SOPInstanceUID"),
        sop_class_uid=frame.text("SOPClassUID"),
        transfer_syntax_uid=place.syntax,
        frame=number,
        modality=frame.text("Modality"),
        image_type=frame.texts("FrameType") or frame.texts("ImageType"),
        instance_number=frame.integer("InstanceNumber"),
        acquisition_number=frame.integer("AcquisitionNumber"),
        frame_of_reference_uid=frame.text("FrameOfReferenceUID"),
        position_lps=(position[0], position[1], position[2]) if len(position) == 3 else None,
        orientation=(*orientation[:3], *orientation[3:]) if len(orientation) == 6 else None,
        rows=frame.binary("Rows"),
        columns=frame.binary("Columns"),
        pixel_spacing_mm=(spacing[0], spacing[1]) if len(spacing) == 2 else None,
        slice_thickness_mm=frame.number("SliceThickness"),
        gantry_tilt_deg=frame.number("GantryDetectorTilt"),
        rescale_slope=frame.number("RescaleSlope"),
        rescale_intercept=frame.number("RescaleIntercept"),
        rescale_type=frame.text("RescaleType"),
        pixels=pixels,
        excess=place.head.excess,
    )


def _pixel_layout(instance: Attributes, place: Place) -> PixelLayout | None:
    extent = place.head.pixels
    samples, allocated, stored, high, representation = (
        instance.binary(keyword)
        for keyword in ("SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    )
    if extent is None or samples is None or allocated is None or stored is None or representation not in {0, 1}:
        return None
    signed = representation == 1
    return PixelLayout(
        offset=extent.offset,
        length=held_length(extent, place.syntax, place.length_bytes),
        frames=instance.integer("NumberOfFrames") or 1,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else high,
        signed=signed,
        padding=_padding(instance, signed=signed),
    )


def _padding(instance: Attributes, *, signed: bool) -> tuple[int, int] | None:
    value = instance.binary("PixelPaddingValue", signed=signed)
    limit = instance.binary("PixelPaddingRangeLimit", signed=signed)
    if value is None:
        return None
    limit = value if limit is None else limit
    return min(value, limit), max(value, limit)
