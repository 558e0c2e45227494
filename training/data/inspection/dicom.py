"""Folders of DICOM files: LIDC-IDRI, CTs with segmentations, phantoms, and CTs that nobody marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.series import SeriesHeader
from training.data import dicom_pairs, lidc, lidc_sqlite, phantom_folder
from training.data.ct_series import Tell, eligibility_of, refusal_of, series_below
from training.data.dicom_pairs import SEG, DicomPair
from training.data.inspection.verdict import Fact, Inspection, concluded, fact_of
from training.data.kinds import Kind
from training.data.known import Refusal
from training.data.lidc import LidcSeries
from training.data.lidc_sqlite import LidcMissing, LidcScan
from training.data.phantom_folder import PhantomSeries

CT = "CT"


def inspect(folder: Path, tell: Tell) -> list[Inspection]:
    """What the series below a folder are; nothing if there are neither CTs nor segmentations."""
    series = series_below(folder, tell)
    scans = {scan.series_uid: scan for scan in _lidc(series)}
    known = [one for one in series if one.series_instance_uid in scans]
    others = [one for one in series if one.series_instance_uid not in scans]
    inspections = [_lidc_series(folder, known, list(scans.values()))] if known else []
    marked: set[str] = set()
    if any(one.modality == SEG for one in others):
        found = list(dicom_pairs.found_in(others))
        marked = {one.series_uid for one in found if isinstance(one, DicomPair)}
        inspections.append(_pairs(folder, found))
    bare = [one for one in others if one.modality == CT and one.series_instance_uid not in marked]
    return inspections + ([_bare(folder, bare)] if bare else [])


def phantoms(folder: Path, tell: Tell) -> Inspection:
    """Phantoms with their truth."""
    found = list(phantom_folder.find(folder))
    usable = [one for one in found if isinstance(one, PhantomSeries)]
    tell(len(found), len(found))
    return concluded(
        folder,
        Kind.PHANTOMS,
        [*(fact_of(nodule) for phantom in usable for nodule in phantom.nodules), *_refused(found)],
        series=[phantom.series_uid for phantom in usable],
        remarks=["synthetic: every figure from them must say so"],
    )


def _lidc(series: Sequence[SeriesHeader]) -> tuple[LidcScan, ...]:
    """What LIDC-IDRI knows of these series; nothing if it is not installed."""
    try:
        return lidc_sqlite.read(lidc_sqlite.database(), [one.series_instance_uid for one in series])
    except LidcMissing:
        return ()


def _lidc_series(folder: Path, series: Sequence[SeriesHeader], scans: Sequence[LidcScan]) -> Inspection:
    found = list(lidc.found_in(series, scans))
    usable = [one for one in found if isinstance(one, LidcSeries)]
    facts = [
        Fact(
            patient_id=one.scan.patient_id,
            series_uid=one.scan.series_uid,
            readers=len(annotations),
            ratings=tuple(annotation.ratings["malignancy"] for annotation in annotations),
        )
        for one in usable
        for annotations in lidc_sqlite.cluster(one.scan)
    ]
    uids = [one.scan.series_uid for one in usable]
    return concluded(folder, Kind.LIDC, [*facts, *_refused(found)], series=uids)


def _pairs(folder: Path, found: Sequence[DicomPair | Refusal]) -> Inspection:
    pairs = [one for one in found if isinstance(one, DicomPair)]
    facts = [
        Fact(patient_id=pair.patient_id, series_uid=pair.series_uid, readers=1)
        for pair in pairs
        for _ in range(pair.segments)
    ]
    automatic = sum(pair.automatic_segments for pair in pairs)
    remarks = [f"{automatic} segments say that no person has made or changed them: look at them first"]
    return concluded(folder, Kind.DICOM_PAIRS, [*facts, *_refused(found)], remarks=remarks if automatic else [])


def _bare(folder: Path, series: Sequence[SeriesHeader]) -> Inspection:
    """CTs that no mark belongs to: they may be backgrounds, never a set without nodules."""
    eligibilities = [(one, eligibility_of(one)) for one in series]
    refused = [refusal_of(one, eligibility) for one, eligibility in eligibilities if eligibility.grid is None]
    fine = [one for one, eligibility in eligibilities if eligibility.grid is not None]
    text = "nobody has marked the nodules of this CT: good for background only"
    unmarked = [Refusal(code="ct.no-marks", subject=one.series_instance_uid, text=text) for one in fine]
    return concluded(folder, Kind.BARE_CTS, [*refused, *unmarked])


def _refused(found: Sequence[object]) -> list[Refusal]:
    return [one for one in found if isinstance(one, Refusal)]
