"""Two scans with dense balls from a LUNA16 folder to figures that can be counted by hand.

By falling score: 0.76 a nodule, 0.64 nothing, 0.56 a nodule, 0.40 nothing; one nodule is not there to be found, and
one ball lies on an excluded finding. So the curve goes (0, 0), (0, 1/3), (1/2, 1/3), (1/2, 2/3), (1, 2/3).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.luna16 import Chest, a_dense_predictor, a_luna16_folder, dense_models
from tests.support.series import Ball
from training.data import luna16_mhd
from training.data.known import Refusal
from training.data.luna16_mhd import Luna16Scan, find
from training.evaluation import luna16_report as report
from training.evaluation.luna16_scans import Found, detected, open_ended

LEFT, RIGHT, BACK = (30.0, 1.0, 1.0), (-30.0, 9.0, 9.0), (-30.0, -9.0, -9.0)


def a_ball(centre_lps: tuple[float, float, float], hu: float) -> Ball:
    return Ball(centre_lps=centre_lps, diameter_mm=12.0, hu=hu)


CHESTS = {
    "1.1": Chest(
        balls=[a_ball(LEFT, 380), a_ball(RIGHT, 200)],
        nodules=[(LEFT, 12.0), ((30.0, 15.0, -9.0), 8.0)],
    ),
    "1.2": Chest(
        balls=[a_ball(LEFT, 320), a_ball(RIGHT, 280), a_ball(BACK, 360)],
        nodules=[(RIGHT, 12.0)],
        excluded=[((-30.0, -9.0, -13.5), -1.0)],  # 4.5 mm away; without a diameter it counts as 10 mm wide
    ),
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Luna16Scan]:
    folder = a_luna16_folder(tmp_path_factory.mktemp("luna16") / "scans", CHESTS)
    return [one for one in find(folder, {}) if isinstance(one, Luna16Scan)]


@pytest.fixture(scope="module")
def content(scans: list[Luna16Scan], found: dict[str, Found]) -> dict[str, Any]:
    left_out = [Refusal(code="patient.trained-on", subject=name, text="") for name in "ab"]
    return {"recipe": "toy"} | report.figures(scans, found, left_out)


@pytest.fixture(scope="module")
def found(scans: list[Luna16Scan]) -> dict[str, Found]:
    pipeline, predictor = open_ended(dense_models()), a_dense_predictor()
    return {scan.series_uid: detected(luna16_mhd.read(scan).volume, pipeline, predictor) for scan in scans}


def test_every_scan_is_judged_by_the_rules_of_the_challenge(scans: list[Luna16Scan], found: dict[str, Found]) -> None:
    first, second = report.cases_of(scans, found)
    assert first.hit_scores == pytest.approx((0.76, float("-inf")), abs=1e-5)
    assert first.false_scores == pytest.approx((0.40,), abs=1e-5), "below the operating score, and kept"
    assert second.hit_scores == pytest.approx((0.56,), abs=1e-5)
    assert second.false_scores == pytest.approx((0.64,), abs=1e-5), "0.72 lies on an excluded finding"


def test_sensitivities_and_cpm_are_those_counted_by_hand(content: dict[str, Any]) -> None:
    values = {rate: one["value"] for rate, one in content["sensitivity_at_false_per_scan"].items()}
    third, thirds = 0.3333, 0.6667
    assert values == {
        "0.125": third, "0.25": third, "0.5": thirds, "1.0": thirds, "2.0": thirds, "4.0": thirds, "8.0": thirds,
    }  # fmt: skip
    assert content["cpm"]["value"] == 0.5714, "(2 x 1/3 + 5 x 2/3) / 7 = 4/7"
    assert content["cpm"]["scans"] == 2
    # drawn twice, the first scan has (0, 1/2) for ever, the second (1, 0) and then (1, 1)
    assert content["cpm"]["interval_95"] == [0.5, pytest.approx((0.125 + 0.25 + 0.5 + 4) / 7, abs=0.2)]
    counts = {name: content[name] for name in ("scans", "patients", "nodules", "excluded_findings", "candidates")}
    assert counts == {"scans": 2, "patients": 2, "nodules": 3, "excluded_findings": 1, "candidates": 5}
    assert (content["failed"], content["left_out"]) == ({}, {"patient.trained-on": 2})


def test_figures_page_curve_and_series_are_written(
    tmp_path: Path, scans: list[Luna16Scan], found: dict[str, Found], content: dict[str, Any]
) -> None:
    report.write(content, scans, found, tmp_path)
    assert json.loads((tmp_path / "froc.json").read_text()) == content
    text = (tmp_path / "froc.md").read_text()
    assert "| sensitivity at 0.125 | 0.333 |" in text and "| CPM | 0.571 |" in text
    assert (tmp_path / "froc_seriesuids.csv").read_text() == "1.1\n1.2\n"
    with Image.open(tmp_path / "froc.png") as picture:
        assert picture.size == (720, 540)


def test_scans_without_any_nodule_have_no_sensitivity_and_still_a_page(tmp_path: Path) -> None:
    folder = a_luna16_folder(tmp_path / "scans", {"1.1": Chest()})
    empty = [one for one in find(folder, {}) if isinstance(one, Luna16Scan)]
    found = {"1.1": Found(marks=(), failure="series.no-lungs")}
    content = {"recipe": "toy"} | report.figures(empty, found, [])
    assert content["cpm"] == {"value": None, "interval_95": [None, None], "scans": 1}
    report.write(content, empty, found, tmp_path)
    assert "1 series.no-lungs" in (tmp_path / "froc.md").read_text()
