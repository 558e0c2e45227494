"""Results in one folder against CTs in another. Called from `pulmonode result check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.contract import SeriesLimits
from inference.eligibility import judge
from inference.series import find_files, load, read_headers
from pacs_node.report.check import SEG_CLASS, Problem, check
from pacs_node.report.check.document import SR_CLASSES
from pacs_node.report.check.segments import is_nodules

_ANY = SeriesLimits(
    slice_thickness_mm=(0.0, 1e6),
    slice_spacing_mm=(0.0, 1e6),
    pixel_spacing_mm=(0.0, 1e6),
    minimum_slices=1,
    minimum_coverage_mm=0.0,
)
"""Whatever the node found eligible is checked; the limits of its model are not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedResult:
    """A report with its SEGs, and what is wrong with them."""

    report_uid: str
    problems: tuple[Problem, ...]


def check_directories(ct_directory: Path, result_directory: Path) -> tuple[CheckedResult, ...]:
    """Check every report in one folder, with its SEGs, against the CT instances in another; subfolders included.

    Raises
    ------
    SeriesUnreadable : a file of the CT is not DICOM, or its pixels cannot be decoded
    """
    results = [dcmread(path) for path in find_files(result_directory)]
    reports = [item for item in results if str(item.get("SOPClassUID")) in SR_CLASSES]
    segs = [item for item in results if item.get("SOPClassUID") == SEG_CLASS]
    paths = {_sop_instance_uid(path): path for path in find_files(ct_directory)}
    checked = [_check_result(report, segs, paths) for report in reports]
    return (*checked, *_orphans(reports, segs))


def _sop_instance_uid(path: Path) -> str:
    return str(
        dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True).get("SOPInstanceUID")
    )


def _check_result(report: Dataset, segs: Sequence[Dataset], paths: Mapping[str, Path]) -> CheckedResult:
    evidence = set(_evidence(report))
    files = [paths[uid] for uid in sorted(evidence & set(paths))]
    if not files:
        missing = Problem(code="source.missing", text="None of the instances that the report was made from is there.")
        return CheckedResult(report_uid=str(report.SOPInstanceUID), problems=(missing,))
    mine = [
        seg for seg in segs if seg.SOPInstanceUID in evidence or (not is_nodules(seg) and _drawn_on(seg) <= evidence)
    ]
    return CheckedResult(report_uid=str(report.SOPInstanceUID), problems=_check_files(files, [*mine, report]))


def _check_files(files: Sequence[Path], documents: Sequence[Dataset]) -> tuple[Problem, ...]:
    """Against the volume if the files are one series that makes a volume, else against their headers."""
    series = read_headers(files)
    eligibility = judge(series[0], _ANY) if len(series) == 1 else None
    if eligibility is None or eligibility.grid is None:
        return check([dcmread(path, stop_before_pixels=True) for path in files], documents)
    headers = {path: dcmread(path, stop_before_pixels=True) for path in files}
    source = [headers[item.path] for item in eligibility.slices]
    frame_numbers = [item.frame for item in eligibility.slices if item.frame]
    volume = load(eligibility.slices, eligibility.grid)
    return check(source, documents, volume.volume_hu, frame_numbers)


def _evidence(report: Dataset) -> Iterator[str]:
    for study in report.get("CurrentRequestedProcedureEvidenceSequence", ()):
        for series in study.get("ReferencedSeriesSequence", ()):
            for item in series.get("ReferencedSOPSequence", ()):
                yield str(item.get("ReferencedSOPInstanceUID"))


def _drawn_on(seg: Dataset) -> set[str]:
    """The instances that a SEG says it was made from."""
    return {str(item.get("ReferencedSOPInstanceUID")) for item in seg.get("SourceImageSequence", ())}


def _orphans(reports: Sequence[Dataset], segs: Iterable[Dataset]) -> Iterator[CheckedResult]:
    """SEGs of nodules that no report speaks of; the lungs need none."""
    listed = {uid for report in reports for uid in _evidence(report)}
    for seg in segs:
        if is_nodules(seg) and seg.SOPInstanceUID not in listed:
            orphan = Problem(code="sr.evidence", text="No report lists this SEG.")
            yield CheckedResult(report_uid=str(seg.SOPInstanceUID), problems=(orphan,))
