"""A folder of DICOM CTs with Segmentations of their nodules, such as radiologists have corrected and a PACS has kept.

Each segmentation is put on the grid of the very CT that it was drawn on, or refused with the reason; nothing is
resampled. Called from `training.data.inspection` and `training.data.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.eligibility import Eligibility
from inference.geometry import Grid
from inference.measure import equivalent_diameter_mm
from inference.series import SeriesHeader
from inference.volume import BoolArray
from training.data.ct_series import eligibility_of, series_below, volume_of
from training.data.dicom_seg import BINARY, FRACTIONAL, Frame, Segmentation, SegUnreadable, masks, pseudonym
from training.data.dicom_seg import read as read_seg
from training.data.known import KnownNodule, KnownSeries, Refusal, centre_lps, cropped
from training.data.luna16 import DEMO_PATIENTS

SEG = "SEG"
DEMO = frozenset(map(pseudonym, DEMO_PATIENTS))

BESIDE_SLICE = 0.25
"""A frame further from a slice than this part of the slice distance does not lie on it."""

BESIDE_PIXEL = 0.1
SAME = 1e-3
"""Direction cosines and, relatively, pixel spacings that differ by less are the same: they are rounded decimals."""


class SegmentationRefused(Exception):
    """The segmentation cannot be used; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DicomPair:
    """A CT and the segmentations of its nodules; `read` gives voxels and masks."""

    series_uid: str
    patient_id: str
    eligibility: Eligibility
    segmentations: tuple[Segmentation, ...]

    @property
    def segments(self) -> int:
        """How many segments are nodules."""
        return sum(segment.is_nodule for one in self.segmentations for segment in one.segments)

    @property
    def automatic_segments(self) -> int:
        """How many of them no person made or changed, so they say."""
        return sum(s.is_nodule and s.is_automatic for one in self.segmentations for s in one.segments)


def find(folder: Path) -> Iterator[DicomPair | Refusal]:
    """All CTs below a folder that segmentations of nodules belong to; pixels are not read.

    Of several series of segmentations of one CT only the newest is used: a correction replaces what it corrects.
    CTs without any segmentation are passed over.
    """
    return found_in(series_below(folder))


def found_in(series: Sequence[SeriesHeader]) -> Iterator[DicomPair | Refusal]:
    """The same for series that have been read."""
    cts = {one.series_instance_uid: one for one in series if one.modality == "CT"}
    fitting: dict[str, tuple[Eligibility, list[Segmentation]]] = {}
    for path in sorted({item.path for one in series if one.modality == SEG for item in one.slices}):
        try:
            segmentation = read_seg(path)
            ct = ct_of(segmentation, cts)
            eligibility, others = fitting.get(ct.series_instance_uid) or (eligibility_of(ct), [])
            check(segmentation, eligibility)
        except SegUnreadable as error:
            yield Refusal(code=error.code, subject=path.name, text=str(error))
        except SegmentationRefused as error:
            yield Refusal(code=error.code, subject=path.name, text=str(error))
        else:
            fitting[ct.series_instance_uid] = eligibility, [*others, segmentation]
    for uid, (eligibility, segmentations) in sorted(fitting.items()):
        yield from _newest(uid, eligibility, segmentations)


def _newest(
    series_uid: str, eligibility: Eligibility, segmentations: Sequence[Segmentation]
) -> Iterator[DicomPair | Refusal]:
    """The pair of a CT with its newest series of segmentations, after a refusal of each older one."""
    newest = max(segmentations, key=lambda one: (one.made_at, one.series_uid))
    for one in segmentations:
        if one.series_uid != newest.series_uid:
            text = "a newer series of segmentations of the same CT is there"
            yield Refusal(code="seg.superseded", subject=one.path.name, text=text)
    yield DicomPair(
        series_uid=series_uid,
        patient_id=newest.patient_id,
        eligibility=eligibility,
        segmentations=tuple(one for one in segmentations if one.series_uid == newest.series_uid),
    )


def ct_of(segmentation: Segmentation, cts: Mapping[str, SeriesHeader]) -> SeriesHeader:
    """The CT that a segmentation was drawn on: the one it names, else the only one in its Frame of Reference.

    Parameters
    ----------
    cts : by series UID

    Raises
    ------
    SegmentationRefused : seg.ct-missing, seg.other-frame-of-reference, seg.ambiguous
    """
    named = [cts[uid] for uid in sorted(segmentation.referenced_series) if uid in cts]
    if segmentation.referenced_series and not named:
        raise SegmentationRefused(
            "seg.ct-missing", "the series that it was drawn on is not among the CTs of the folder"
        )
    frame = segmentation.frame_of_reference_uid
    alike = [ct for ct in named or cts.values() if frame and {frame} == {s.frame_of_reference_uid for s in ct.slices}]
    if not alike:
        raise SegmentationRefused("seg.other-frame-of-reference", "its Frame of Reference is not that of the CT")
    if len(alike) > 1:
        raise SegmentationRefused("seg.ambiguous", f"{len(alike)} series share its Frame of Reference")
    return alike[0]


def check(segmentation: Segmentation, eligibility: Eligibility) -> None:
    """Refuse what does not lie on the CT's own voxels or names no nodule.

    Raises
    ------
    SegmentationRefused : the code of the CT's first ground if it is ineligible; seg.no-patient, patient.demo,
        seg.type, seg.no-nodule, seg.other-grid, seg.slice-missing, seg.source-mismatch
    """
    if eligibility.grid is None:
        texts = "; ".join(reason.text for reason in eligibility.reasons)
        raise SegmentationRefused(eligibility.reasons[0].code, f"its CT cannot be used: {texts}")
    if not segmentation.patient_id:
        raise SegmentationRefused("seg.no-patient", "without a Patient ID it cannot be kept on one side of a split")
    if segmentation.patient_id in DEMO:
        raise SegmentationRefused("patient.demo", "the patient of the demo is never trained or validated on")
    if segmentation.kind not in {BINARY, FRACTIONAL}:
        raise SegmentationRefused("seg.type", f"segmentations of type {segmentation.kind} are not read")
    if not any(segment.is_nodule for segment in segmentation.segments):
        kinds = ", ".join(sorted({segment.kind for segment in segmentation.segments}))
        raise SegmentationRefused("seg.no-nodule", f"no segment is a nodule or lesion, only: {kinds}")
    if segmentation.shape_ji != eligibility.grid.shape_kji[1:]:
        raise SegmentationRefused("seg.other-grid", "its frames have other rows or columns than the CT")
    for frame in segmentation.frames:
        k = slice_of(frame, eligibility.grid)
        if frame.source_uids and eligibility.slices[k].sop_instance_uid not in frame.source_uids:
            raise SegmentationRefused("seg.source-mismatch", "a frame names another slice than the one where it lies")


def slice_of(frame: Frame, grid: Grid) -> int:
    """Index of the slice that a frame lies on.

    Raises
    ------
    SegmentationRefused : seg.other-grid, seg.slice-missing
    """
    _, column, row = grid.directions
    if np.abs(np.subtract((frame.column, frame.row), (column, row))).max() > SAME:
        raise SegmentationRefused("seg.other-grid", "its frames are turned against the slices of the CT")
    if np.abs(np.divide(frame.spacing_mm, grid.spacing_mm[1:]) - 1).max() > SAME:
        raise SegmentationRefused("seg.other-grid", "its pixels are of another size than those of the CT")
    k, j, i = map(float, grid.kji_from_lps(frame.position_lps))
    if max(abs(j), abs(i)) > BESIDE_PIXEL:
        raise SegmentationRefused("seg.other-grid", "its frames do not begin where the slices of the CT begin")
    if abs(k - round(k)) > BESIDE_SLICE or not 0 <= round(k) < grid.shape_kji[0]:
        raise SegmentationRefused("seg.slice-missing", "a frame lies where the CT has no slice")
    return round(k)


def read(pair: DicomPair) -> KnownSeries:
    """The voxels of a CT and its nodules, one per segment; segments without a pixel are left out.

    Raises
    ------
    SeriesUnreadable : the pixels of the CT cannot be read
    SegUnreadable : those of a segmentation cannot
    """
    volume = volume_of(pair.eligibility)
    nodules = [nodule for one in pair.segmentations for nodule in _nodules(pair, one, volume.grid)]
    return KnownSeries(patient_id=pair.patient_id, series_uid=pair.series_uid, volume=volume, nodules=tuple(nodules))


def _nodules(pair: DicomPair, segmentation: Segmentation, grid: Grid) -> Iterator[KnownNodule]:
    frames_NJI = masks(segmentation)
    for segment in segmentation.segments:
        if not segment.is_nodule:
            continue
        drawn = [
            (slice_of(frame, grid), mask)
            for frame, mask in zip(segmentation.frames, frames_NJI, strict=True)
            if frame.segment == segment.number
        ]
        mask = cropped(*_stacked(drawn, segmentation.shape_ji))
        if mask is not None:
            yield KnownNodule(
                nodule_id=f"seg:{segmentation.instance_uid}:{segment.number}",
                patient_id=pair.patient_id,
                series_uid=pair.series_uid,
                centre_lps=centre_lps(mask.voxels, mask.start_kji, grid),
                diameter_mm=equivalent_diameter_mm(mask.voxels, grid.spacing_mm),
                mask=mask,
                is_automatic=segment.is_automatic,
            )


def _stacked(
    drawn: Sequence[tuple[int, BoolArray]], shape_ji: tuple[int, int]
) -> tuple[BoolArray, tuple[int, int, int]]:
    """Masks of single slices as one, and the index of its first voxel."""
    slices: Iterable[int] = [k for k, _ in drawn] or [0]
    first = min(slices)
    stack = np.zeros((max(slices) - first + 1, *shape_ji), bool)
    for k, mask in drawn:
        stack[k - first] |= mask
    return stack, (first, 0, 0)
