"""How much of each voxel belongs to a nodule, as a FRACTIONAL SEG in a series of its own.

The values are OCCUPANCY and not PROBABILITY: the networks that give them learned, by matting, the share of each pixel
that is nodule; their values do not say how sure they are. Viewers that show no fractions have the binary SEG beside it.
Called from `composing`.

References
----------
PS3.3 C.8.20.2.3.2: OCCUPANCY "Defines the proportion of the pixel volume occupied by the segmented property".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Finding, Result, SoftMask
from inference.geometry import Shape
from inference.volume import ByteArray
from pacs_node.domain.document import DocumentRole
from pacs_node.report.request import ReportRequest
from pacs_node.report.segmentation import Labelled, nodule_segment, segmentation
from pacs_node.report.source import slice_stand_in

_LARGEST = 255
"""All of the voxel, as in `SoftMask`."""


def soft_findings(result: Result) -> tuple[Finding, ...]:
    """The findings that there is a soft mask of."""
    return tuple(finding for finding in result.findings if finding.soft is not None)


def soft_segmentation(request: ReportRequest, result: Result) -> Dataset:
    """One segment for every finding with a soft mask; there must be at least one.

    Segments are numbered without a gap, as they must be; label, colour and tracking are those of the finding. A voxel
    that two nodules share is given to the one that has more of it: some viewers lose segments that overlap.
    """
    findings = soft_findings(result)
    slices_k, values, numbers = _shared(findings, result.grid.shape_kji)
    segments = [nodule_segment(request, finding, number) for number, finding in enumerate(findings, start=1)]
    document = segmentation(request, DocumentRole.SOFT, Labelled(slices_k=slices_k, labels=numbers), segments)
    frames = [np.where(numbers[row] == number, values[row], 0) for row, number in _frames(document, request, slices_k)]
    _write(document, np.stack(frames))
    return document


def _shared(findings: Sequence[Finding], shape_kji: Shape) -> tuple[tuple[int, ...], ByteArray, NDArray[np.uint16]]:
    """The slices that hold anything, and for each of their pixels the largest value and the number of its segment."""
    masks = [finding.soft for finding in findings if finding.soft is not None]
    slices_k = sorted({k for mask in masks for k in _occupied(mask)})
    values = np.zeros((len(slices_k), *shape_kji[1:]), np.uint8)
    numbers = np.zeros(values.shape, np.uint16)
    for number, mask in enumerate(masks, start=1):
        for k in _occupied(mask):
            window = (slices_k.index(k), *mask.box[1:])
            mine = mask.values[k - mask.start_kji[0]]
            is_more = mine > values[window]
            values[window][is_more] = mine[is_more]
            numbers[window][is_more] = number
    return tuple(slices_k), values, numbers


def _occupied(mask: SoftMask) -> list[int]:
    return [mask.start_kji[0] + int(k) for k in np.flatnonzero(mask.values.any(axis=(1, 2)))]


def _frames(document: Dataset, request: ReportRequest, slices_k: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The slice of each frame, by its place among `slices_k`, and its segment."""
    rows = {tuple(slice_stand_in(request, k).ImagePositionPatient): row for row, k in enumerate(slices_k)}
    (shared,) = document.SharedFunctionalGroupsSequence
    for frame in document.PerFrameFunctionalGroupsSequence:
        position = tuple(frame.PlanePositionSequence[0].ImagePositionPatient)
        group = frame if "SegmentIdentificationSequence" in frame else shared  # where there is one segment only
        yield rows[position], int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _write(document: Dataset, frames: ByteArray) -> None:
    """Shares in place of bits (PS3.3 C.8.20.2.1, C.8.20.2.3)."""
    document.SegmentationType = "FRACTIONAL"
    document.SegmentationFractionalType = "OCCUPANCY"
    document.MaximumFractionalValue = _LARGEST
    document.BitsAllocated, document.BitsStored, document.HighBit = 8, 8, 7
    document.add_new("PixelData", "OB", frames.tobytes())  # pydicom pads it to an even length
