"""Results in one folder against CTs in another. Called from `pulmonode result check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.contract import SeriesLimits
from inference.eligibility import judge
from inference.series import find_files, load, read_headers
from pacs_node.report.check.document import listed_evidence
from pacs_node.report.check.examination import check
from pacs_node.report.check.kinds import Kind, kind_of
from pacs_node.report.check.problem import UNREADABLE, Problem
from pacs_node.report.check.references import referenced

_ANY = SeriesLimits(
    slice_thickness_mm=(0.0, 1e6),
    slice_spacing_mm=(0.0, 1e6),
    pixel_spacing_mm=(0.0, 1e6),
    minimum_slices=1,
    minimum_coverage_mm=0.0,
)
"""Whatever the node found eligible is checked; the limits of its model are not known here."""


def check_directories(ct_directory: Path, result_directory: Path) -> tuple[Problem, ...]:
    """Check every result in one folder against the CT instances in another; subfolders included.

    A result is a report with the documents made along with it; or, where a destination wants images only, secondary
    captures with what was made along with them.

    Returns
    -------
    problems; their texts begin with the name of the file of the report or of the first of the other documents

    Raises
    ------
    SeriesUnreadable : a file of the CT is not DICOM, or its pixels cannot be decoded
    """
    stored = [_Stored(name=path.name, dataset=dcmread(path)) for path in find_files(result_directory)]
    paths = {_sop_instance_uid(path): path for path in find_files(ct_directory)}
    sets, orphans = _sets(stored)
    problems = [_named(items[0].name, problem) for items in sets for problem in _check_set(items, paths)]
    if not sets:
        problems.append(Problem(code="sr.document", text="There is no report."))
    return (*problems, *(_orphan(item) for item in orphans))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stored:
    """An instance and the name of its file."""

    name: str
    dataset: Dataset

    @property
    def kind(self) -> Kind:
        """What it is."""
        return kind_of(self.dataset)


def _named(name: str, problem: Problem) -> Problem:
    return Problem(code=problem.code, text=f"{name}: {problem.text}")


def _sop_instance_uid(path: Path) -> str:
    return str(
        dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True).get("SOPInstanceUID")
    )


def _sets(stored: Sequence[_Stored]) -> tuple[list[list[_Stored]], list[_Stored]]:
    """The results, each with its report (or, without one, a secondary capture) first; and what belongs to none."""
    sets = [[item] for item in stored if item.kind is Kind.REPORT]
    alone: dict[str, list[_Stored]] = {}
    for item in sorted((item for item in stored if item.kind is not Kind.REPORT), key=lambda item: item.name):
        mine = [others for others in sets if _is_of(item.dataset, others[0].dataset)]
        if mine:
            max(mine, key=lambda others: len(referenced(item.dataset) & _listed(others[0].dataset))).append(item)
        else:
            alone.setdefault(_made(item.dataset), []).append(item)
    images_only = [
        sorted(items, key=lambda item: item.kind is not Kind.CAPTURE)
        for items in alone.values()
        if any(item.kind is Kind.CAPTURE for item in items)
    ]
    placed = {id(item) for items in images_only for item in items}
    return [*sets, *images_only], [item for items in alone.values() for item in items if id(item) not in placed]


def _is_of(document: Dataset, report: Dataset) -> bool:
    """A SEG of nodules is of the report that lists it; anything else of the one that was made along with it."""
    if kind_of(document) is Kind.NODULES:
        return str(document.SOPInstanceUID) in _listed(report)
    return _made(document) == _made(report)


def _made(document: Dataset) -> str:
    """When and by what it was made: the same for all documents of a result."""
    keywords = ("ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber")
    equipment = [
        [str(item.get(keyword)) for keyword in keywords] for item in document.get("ContributingEquipmentSequence") or ()
    ]
    return str((str(document.get("InstanceCreationDate")), str(document.get("InstanceCreationTime")), equipment))


def _listed(report: Dataset) -> set[str]:
    """What a report lists as evidence; empty if it lists nothing, or nothing readable."""
    try:
        return {uid for uid, _ in listed_evidence(report)}
    except UNREADABLE:
        return set()


def _check_set(items: Sequence[_Stored], paths: Mapping[str, Path]) -> tuple[Problem, ...]:
    first, has_report = items[0].dataset, items[0].kind is Kind.REPORT
    wanted = _listed(first) if has_report else {uid for item in items for uid in referenced(item.dataset)}
    files = [paths[uid] for uid in sorted(wanted & set(paths))]
    if not files:
        return (Problem(code="source.missing", text="None of the instances that it was made from is there."),)
    return _check_files(files, [item.dataset for item in items], needs_report=has_report)


def _orphan(item: _Stored) -> Problem:
    if item.kind is Kind.NODULES:
        return Problem(code="sr.evidence", text=f"{item.name}: No report lists this SEG.")
    return Problem(code="set.series", text=f"{item.name}: It was made along with no report or secondary capture.")


def _check_files(files: Sequence[Path], documents: Sequence[Dataset], *, needs_report: bool) -> tuple[Problem, ...]:
    """Against the volume if the files are one series that makes a volume, else against their headers."""
    series = read_headers(files)
    eligibility = judge(series[0], _ANY) if len(series) == 1 else None
    if eligibility is None or eligibility.grid is None:
        source = [dcmread(path, stop_before_pixels=True) for path in files]
        return check(source, documents, needs_report=needs_report)
    headers = {path: dcmread(path, stop_before_pixels=True) for path in files}
    source = [headers[item.path] for item in eligibility.slices]
    frame_numbers = [item.frame for item in eligibility.slices if item.frame]
    volume = load(eligibility.slices, eligibility.grid)
    return check(source, documents, volume.volume_hu, frame_numbers, needs_report=needs_report)
