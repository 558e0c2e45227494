"""What the documents of a result are compared with: the source, the segments, and the report. Used by `check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from pacs_node.report.check.frames import Frame, Source
from pacs_node.report.check.polygons import Pixels, pixels_of, union
from pacs_node.report.check.tree import Node
from pacs_node.report.check.values import measure_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A nodule as its SEG has it; `pixels` by slice."""

    number: int
    tracking_uid: str
    tracking_id: str
    volume_mm3: float
    pixels: Mapping[int, Pixels]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """One result and its source.

    Parameters
    ----------
    source : geometry of the series; None if it has none
    segments : of the nodules; None if nothing tells them: there is no SEG (that can be read), nor a report without any
    report : tree of the report; None if there is none
    """

    headers: Sequence[Dataset]
    documents: Sequence[Dataset]
    source: Source | None
    segments: tuple[Segment, ...] | None
    report: Node | None

    @property
    def pixels(self) -> dict[int, Pixels]:
        """Of all nodules together, by slice."""
        return union([segment.pixels for segment in self.segments or ()])

    def slice_of(self, reference: Dataset) -> tuple[int, ...]:
        """Slices (index) that a reference to an instance, and to frames of it, names."""
        number = reference.get("ReferencedFrameNumber")
        numbers = {None} if number is None else {int(n) for n in ([number] if isinstance(number, int) else number)}
        uid = str(reference.ReferencedSOPInstanceUID)
        slices = self.source.slices if self.source is not None else ()
        mine = [place for place in slices if place.sop_instance_uid == uid]
        return tuple(place.index for place in mine if numbers == {None} or place.frame_number in numbers)


def read_segments(seg: Dataset, frames: Sequence[Frame], source: Source) -> tuple[Segment, ...]:
    """The segments of a SEG with the pixels of the source that they lie on."""
    segments = []
    for item in seg.SegmentSequence:
        number = int(item.SegmentNumber)
        measured = measure_segment([frame for frame in frames if frame.segment == number], source, None)
        segment = Segment(
            number=number,
            tracking_uid=str(item.get("TrackingUID", "")),
            tracking_id=str(item.get("TrackingID", "")),
            volume_mm3=measured.volume_mm3,
            pixels=pixels_of(measured.planes),
        )
        segments.append(segment)
    return tuple(segments)
