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
from pacs_node.report.check.document import SR_CLASSES
from pacs_node.report.check.examination import SEG_CLASS, check
from pacs_node.report.check.problem import Problem
from pacs_node.report.check.segments import is_nodules

_ANY = SeriesLimits(
    slice_thickness_mm=(0.0, 1e6),
    slice_spacing_mm=(0.0, 1e6),
    pixel_spacing_mm=(0.0, 1e6),
    minimum_slices=1,
    minimum_coverage_mm=0.0,
)
"""Whatever the node found eligible is checked; the limits of its model are not known here."""


def check_directories(ct_directory: Path, result_directory: Path) -> tuple[Problem, ...]:
    """Check every report in one folder, with its SEGs, against the CT instances in another; subfolders included.

    Returns
    -------
    problems; their texts begin with the name of the file of the report or SEG

    Raises
    ------
    SeriesUnreadable : a file of the CT is not DICOM, or its pixels cannot be decoded
    """
    results = [_Stored(name=path.name, dataset=dcmread(path)) for path in find_files(result_directory)]
    reports = [item for item in results if str(item.dataset.get("SOPClassUID")) in SR_CLASSES]
    segs = [item for item in results if item.dataset.get("SOPClassUID") == SEG_CLASS]
    paths = {_sop_instance_uid(path): path for path in find_files(ct_directory)}
    problems = [_named(report.name, item) for report in reports for item in _check_result(report, segs, paths)]
    if not reports:
        problems.append(Problem(code="sr.document", text="There is no report."))
    return (*problems, *_orphans(reports, segs))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stored:
    """An instance and the name of its file."""

    name: str
    dataset: Dataset


def _named(name: str, problem: Problem) -> Problem:
    return Problem(code=problem.code, text=f"{name}: {problem.text}")


def _sop_instance_uid(path: Path) -> str:
    return str(
        dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True).get("SOPInstanceUID")
    )


def _check_result(report: _Stored, segs: Sequence[_Stored], paths: Mapping[str, Path]) -> tuple[Problem, ...]:
    evidence = set(_evidence(report.dataset))
    files = [paths[uid] for uid in sorted(evidence & set(paths))]
    if not files:
        return (Problem(code="source.missing", text="None of the instances that the report was made from is there."),)
    mine = [seg.dataset for seg in segs if _belongs(seg.dataset, evidence)]
    return _check_files(files, [*mine, report.dataset])


def _belongs(seg: Dataset, evidence: set[str]) -> bool:
    """Listed by the report; the lungs, which no report lists, drawn on the same instances."""
    return seg.SOPInstanceUID in evidence or (not is_nodules(seg) and _drawn_on(seg) <= evidence)


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


def _orphans(reports: Sequence[_Stored], segs: Iterable[_Stored]) -> Iterator[Problem]:
    """SEGs of nodules that no report speaks of; the lungs need none."""
    listed = {uid for report in reports for uid in _evidence(report.dataset)}
    for seg in segs:
        if is_nodules(seg.dataset) and seg.dataset.SOPInstanceUID not in listed:
            yield Problem(code="sr.evidence", text=f"{seg.name}: No report lists this SEG.")
