"""Only scans of patients that are known not to have been trained on are judged, by the pipeline that is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.geometry import Grid
from inference.volume import Volume
from tests.support.luna16 import a_dense_predictor, dense_models
from tests.support.predictors import a_slice_model
from tests.support.volumes import a_grid, a_volume
from training.data.dicom_seg import pseudonym
from training.data.known import Refusal
from training.data.luna16_mhd import Luna16Scan
from training.errors import NoDetector
from training.evaluation.luna16_scans import Found, detected, open_ended, patients_by_series, unseen


def a_scan(series_uid: str, patient_id: str) -> Luna16Scan:
    grid: Grid = a_grid((4, 4, 4), (1.0, 1.0, 1.0))
    return Luna16Scan(
        path=Path("x.mhd"), series_uid=series_uid, patient_id=patient_id, subset=None, grid=grid, marks=()
    )


def test_scans_of_training_patients_and_of_nobody_knows_whom_are_left_out_with_the_reason() -> None:
    broken = Refusal(code="luna16.header", subject="c.mhd", text="the header is broken")
    found = [a_scan("1", "P-1"), a_scan("2", "P-2"), a_scan("3", "P-3"), a_scan("4", "4"), broken]
    scans, left_out = unseen(found, trained=("P-1", pseudonym("P-3")))
    assert [scan.series_uid for scan in scans] == ["2"]
    assert [(refusal.code, refusal.subject) for refusal in left_out] == [
        ("patient.trained-on", "1"),
        ("patient.trained-on", "3"),
        ("patient.unknown", "4"),
        ("luna16.header", "c.mhd"),
    ]


def test_patients_are_those_of_lidc_and_of_the_data_folder(tmp_path: Path) -> None:
    table = tmp_path / "nodules.csv"
    before = patients_by_series(table)
    assert len(before) == 1018, "the scans of LIDC-IDRI"
    table.write_text("file,series_uid,patient_id\nx,1.2.3,P-1\ny,1.2.3,P-1\n")
    assert patients_by_series(table) == before | {"1.2.3": "P-1"}


def test_findings_of_every_score_are_kept_and_nothing_else_is_changed() -> None:
    detector, head = dense_models()
    pipeline = open_ended([head, detector])
    assert pipeline.detector.detection is not None and detector.detection is not None
    assert (detector.detection.operating_score, pipeline.detector.detection.operating_score) == (0.5, 0.0)
    assert pipeline.head == head
    assert (pipeline.segmentation, pipeline.malignancy) == ((), ()), "the detector's own masks, as JNSC is served"


def test_a_system_that_only_outlines_cannot_be_judged_so() -> None:
    with pytest.raises(NoDetector, match="JNSC") as caught:
        open_ended([a_slice_model()])
    assert caught.value.code == "run.no-detector"


def test_a_scan_without_lungs_has_no_candidates_and_is_named_as_failed() -> None:
    air: Volume = a_volume(lambda points_lps: np.full(points_lps.shape[:-1], -1000.0), a_grid((40, 40, 40), (2, 2, 2)))
    pipeline = open_ended(dense_models())
    assert detected(air, pipeline, a_dense_predictor()) == Found(marks=(), failure="series.no-lungs")
