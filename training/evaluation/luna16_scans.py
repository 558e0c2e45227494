"""Whole LUNA16 scans that a run has not seen, and what the pipeline that is served finds in them.

Called from `training.cli.froc`; what is found is kept by `training.evaluation.luna16_candidates`.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path

from inference.contract import Contract
from inference.errors import LungsNotFound, ModelNotFound
from inference.pipeline import Pipeline, run
from inference.predictor import Predictor
from inference.systems import Choice, assembled, detector_among
from inference.volume import Volume
from training.data import lidc_sqlite
from training.data.dicom_seg import pseudonym
from training.data.known import Refusal
from training.data.lidc_sqlite import LidcMissing
from training.data.luna16_mhd import Luna16Scan
from training.errors import NoDetector
from training.metrics.luna16 import Mark


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one scan.

    Parameters
    ----------
    marks : every finding, however uncertain
    failure : code of the error that the scan ends with when it is served; empty if there was none
    """

    marks: tuple[Mark, ...]
    failure: str = ""


def patients_by_series(nodules: Path) -> dict[str, str]:
    """LIDC patients by series: of the data folder's table, and of all LIDC-IDRI where its annotations are installed.

    Parameters
    ----------
    nodules : `nodules.csv` of the packed LUNA16 nodules; may be absent
    """
    try:
        known = lidc_sqlite.patients(lidc_sqlite.database())
    except LidcMissing:
        known = {}
    if nodules.exists():
        rows = csv.DictReader(nodules.read_text(encoding="utf-8").splitlines())
        known |= {row["series_uid"]: row["patient_id"] for row in rows}
    return known


def unseen(
    found: Iterable[Luna16Scan | Refusal], trained: Collection[str]
) -> tuple[tuple[Luna16Scan, ...], tuple[Refusal, ...]]:
    """The scans that a run may be judged on, and all others with the reason.

    A scan whose patient nobody can tell is left out, too: it could be another one of a patient that was trained on.

    Parameters
    ----------
    found : what `training.data.luna16_mhd.find` gives
    trained : the patients that the run was trained on, by their names or by their pseudonyms
    """
    sorted_out = [_judged(one, trained) for one in found]
    scans = tuple(one for one in sorted_out if isinstance(one, Luna16Scan))
    return scans, tuple(one for one in sorted_out if isinstance(one, Refusal))


def open_ended(active: Iterable[Contract]) -> Pipeline:
    """The pipeline that these models are served as, but for the operating score: findings of every score are kept.

    Raises
    ------
    NoDetector : none of them detects
    """
    contracts = tuple(active)
    try:
        detector = detector_among(contracts)
    except ModelNotFound as error:
        raise NoDetector("this run's system outlines what a detector found; a FROC needs a run of JNSC") from error
    assert detector.detection is not None
    detection = dataclasses.replace(detector.detection, operating_score=0.0)
    pipeline = assembled(Choice(pipeline=detector.system), contracts)
    return dataclasses.replace(pipeline, detector=dataclasses.replace(detector, detection=detection))


def detected(volume: Volume, pipeline: Pipeline, predictor: Predictor) -> Found:
    """What the pipeline finds in a scan; nothing where it sees no lungs, as such a scan gets no result in service."""
    try:
        findings = run(volume, pipeline, predictor).findings
    except LungsNotFound as error:
        return Found(marks=(), failure=error.code)
    return Found(marks=tuple(Mark(centre_mm=finding.centre_lps, score=finding.score) for finding in findings))


def _judged(one: Luna16Scan | Refusal, trained: Collection[str]) -> Luna16Scan | Refusal:
    if isinstance(one, Refusal):
        return one
    if one.patient_id == one.series_uid:
        text = "nobody knows whose it is, so it may be of a patient that was trained on"
        return Refusal(code="patient.unknown", subject=one.series_uid, text=text)
    if one.patient_id in trained or pseudonym(one.patient_id) in trained:
        text = "the run was trained on this patient"
        return Refusal(code="patient.trained-on", subject=one.series_uid, text=text)
    return one
