"""The frames of a SEG document: bits, and for each of them where it lies and which slice it comes from.

highdicom looks for every segment in every slice and builds each frame with care, which takes most of the time of a
result; here only the frames that there are get written. Called from `segmentation`.

References
----------
PS3.3 C.7.6.16 (functional groups), C.7.6.17 (dimensions); PS3.5 section 8.1.1 (bits without a gap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_node.report.request import ReportRequest
from pacs_node.report.source import SliceReference, image_position, reference_item, slice_reference

Labels = NDArray[np.unsignedinteger[Any]]

_BYTES = 8
"""So many frames are whole bytes together, whatever the size of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """A segment in a slice; `row` is its place among the slices that hold anything."""

    segment: int
    row: int
    slice_k: int


def write_frames(document: Dataset, request: ReportRequest, slices_k: Sequence[int], labels: Labels) -> None:
    """Replace the frames of a document, and its references to slices, in place.

    The order is that of highdicom: segment by segment, each from the last slice to the first.

    Parameters
    ----------
    document : with at least one frame, whose derivation codes all others share
    slices_k : ascending; the slices that hold anything
    labels : shape (slice, row, column): for each pixel of these slices the number of its segment, 0 = none
    """
    frames = _frames(slices_k, labels)
    template = document.PerFrameFunctionalGroupsSequence[0]
    references = [slice_reference(request, frame.slice_k) for frame in frames]
    instances = [_instance(item) for item in {item.sop_instance_uid: item for item in references}.values()]
    document.PerFrameFunctionalGroupsSequence = [
        _groups(template, request, frame, number_of_slices=len(slices_k)) for frame in frames
    ]
    document.NumberOfFrames = len(frames)
    document.PixelData = _packed(labels, frames)
    document.SourceImageSequence = instances
    document.ReferencedSeriesSequence[0].ReferencedInstanceSequence = instances


def _frames(slices_k: Sequence[int], labels: Labels) -> list[_Frame]:
    frames = [
        _Frame(segment=int(number), row=row, slice_k=slices_k[row])
        for row, plane in enumerate(labels)
        for number in np.unique(plane[plane != 0])
    ]
    return sorted(frames, key=lambda frame: (frame.segment, -frame.row))


def _groups(template: Dataset, request: ReportRequest, frame: _Frame, *, number_of_slices: int) -> Dataset:
    """The functional groups of one frame; a document of one segment names it for all frames together."""
    content, position, item = Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [frame.segment, number_of_slices - frame.row]
    position.ImagePositionPatient = image_position(request, frame.slice_k)
    item.FrameContentSequence, item.PlanePositionSequence = [content], [position]
    item.DerivationImageSequence = [_derivation(template.DerivationImageSequence[0], request, frame)]
    if "SegmentIdentificationSequence" in template:
        segment = Dataset()
        segment.ReferencedSegmentNumber = frame.segment
        item.SegmentIdentificationSequence = [segment]
    return item


def _derivation(template: Dataset, request: ReportRequest, frame: _Frame) -> Dataset:
    source, derivation = reference_item(slice_reference(request, frame.slice_k)), Dataset()
    source.SpatialLocationsPreserved = "YES"
    source.PurposeOfReferenceCodeSequence = template.SourceImageSequence[0].PurposeOfReferenceCodeSequence
    derivation.SourceImageSequence = [source]
    derivation.DerivationCodeSequence = template.DerivationCodeSequence
    return derivation


def _packed(labels: Labels, frames: Sequence[_Frame]) -> bytes:
    packed = b"".join(
        np.packbits([labels[f.row] == f.segment for f in frames[start : start + _BYTES]], bitorder="little").tobytes()
        for start in range(0, len(frames), _BYTES)
    )
    return packed + bytes(len(packed) % 2)


def _instance(reference: SliceReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
