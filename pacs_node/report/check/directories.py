"""Results in one folder against CTs in another. Called from `pulmonode result check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_node.report.check.ct import UNDECODABLE, read_ct
from pacs_node.report.check.document import listed_evidence
from pacs_node.report.check.examination import check
from pacs_node.report.check.kinds import Kind, kind_of
from pacs_node.report.check.problem import UNREADABLE, Problem
from pacs_node.report.check.references import referenced


def check_directories(ct_directory: Path, result_directory: Path) -> tuple[Problem, ...]:
    """Check every result in one folder against the CT instances in another; subfolders included.

    A result is a report with the documents made along with it; or, where a destination wants images only, secondary
    captures with what was made along with them.

    Returns
    -------
    problems; their texts begin with the name of the file of the report or of the first of the other documents
    """
    stored = [_Stored(name=path.name, dataset=dcmread(path)) for path in _instances(result_directory)]
    paths = {_sop_instance_uid(path): path for path in _instances(ct_directory)}
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


def _instances(directory: Path) -> list[Path]:
    """All DICOM files below a directory but directories of media (PS3.10 section 8.6), in order of paths."""
    return [path for path in sorted(directory.rglob("*")) if path.is_file() and _is_instance(path)]


def _is_instance(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(128)  # PS3.10 section 7.1
        return file.read(4) == b"DICM" and path.name != "DICOMDIR"


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
    """Against the pixels where there are nodules, which always lie on a volume; else against the headers."""
    problems: tuple[Problem, ...] = ()
    if any(kind_of(document) is Kind.NODULES for document in documents):
        try:
            ct = read_ct(files)
        except UNDECODABLE as error:
            text = f"The pixels of the CT cannot be read ({type(error).__name__}), so nothing is compared with them."
            problems = (Problem(code="source.pixels", text=text),)
        else:
            return check(ct.headers, documents, ct.volume_hu, ct.frame_numbers, needs_report=needs_report)
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    return (*problems, *check(headers, documents, needs_report=needs_report))
