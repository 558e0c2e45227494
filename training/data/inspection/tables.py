"""LUNA16 and DeepLesion as they are distributed: volumes or slices with tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.data import deeplesion, lidc_sqlite, luna16_mhd
from training.data.ct_series import Tell
from training.data.deeplesion import DeepLesionSeries
from training.data.inspection.verdict import Fact, Inspection, concluded, fact_of
from training.data.kinds import Kind
from training.data.known import Refusal
from training.data.lidc import OutlinesMisplaced
from training.data.lidc_sqlite import LidcMissing
from training.data.luna16_mhd import Luna16Scan


def luna16_folder(folder: Path, tell: Tell) -> Inspection:
    """Volumes with marks; masks and ratings where the outlines of LIDC-IDRI are installed."""
    patients, missing = _patients()
    found = list(luna16_mhd.find(folder, patients))
    counted: list[Fact | Refusal] = [one for one in found if isinstance(one, Refusal)]
    usable = [one for one in found if isinstance(one, Luna16Scan)]
    drawn = lidc_sqlite.read(lidc_sqlite.database(), [one.series_uid for one in usable]) if patients else ()
    scans = {scan.series_uid: scan for scan in drawn}
    for number, scan in enumerate(usable, start=1):
        try:
            nodules, _ = luna16_mhd.nodules_of(scan, scans.get(scan.series_uid))
            counted += map(fact_of, nodules)
        except OutlinesMisplaced as error:
            counted.append(Refusal(code=error.code, subject=scan.series_uid, text=str(error)))
        tell(number, len(usable))
    return concluded(
        folder,
        Kind.LUNA16,
        counted,
        series=[scan.series_uid for scan in usable],
        remarks=[*missing, *_remarks(folder, found, usable)],
    )


def deeplesion_folder(folder: Path, tell: Tell) -> Inspection:
    """Slices with RECIST axes of lung lesions."""
    found = list(deeplesion.find(folder))
    usable = [one for one in found if isinstance(one, DeepLesionSeries)]
    tell(len(usable), len(usable))
    facts = [
        Fact(patient_id=series.patient_id, series_uid=series.folder.name, readers=0)
        for series in usable
        for _ in series.lesions
    ]
    return concluded(
        folder,
        Kind.DEEPLESION,
        [*facts, *(one for one in found if isinstance(one, Refusal))],
        remarks=["lesions are measured, not drawn: `pulmonode-train label soft-masks` makes masks of them"],
    )


def _patients() -> tuple[dict[str, str], list[str]]:
    """The patients of LIDC-IDRI by series, and a remark if they are not installed."""
    try:
        return lidc_sqlite.patients(lidc_sqlite.database()), []
    except LidcMissing as error:
        return {}, [f"no masks, no ratings, and each series counts as a patient: {error}"]


def _remarks(folder: Path, found: list[Luna16Scan | Refusal], usable: list[Luna16Scan]) -> Iterator[str]:
    here = {one.series_uid if isinstance(one, Luna16Scan) else one.subject for one in found}
    absent = set(luna16_mhd.marks_of(folder)) - {name.removesuffix(".mhd") for name in here}
    if absent:
        yield f"the tables mark {len(absent)} series that are not here"
    excluded = sum(not mark.is_nodule for scan in usable for mark in scan.marks)
    yield f"{excluded} exclusions count neither as nodules nor as false findings"
    candidates = luna16_mhd.candidates_of(folder)
    if candidates is not None:
        yield f"{candidates.places} candidates, {candidates.nodules} of them nodules"
    subsets = {scan.subset for scan in usable} - {None}
    if subsets:
        yield f"{len(subsets)} official subsets by the names of the folders"
