"""`pulmonode-train froc` from a finished run and a folder of LUNA16 to figures; and whom it turns away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.support.luna16 import Chest, a_luna16_folder
from tests.support.series import Ball
from training import catalogue, checkpoint, runs
from training.cli import app
from training.errors import NothingToJudge, OtherRun
from training.sources import Sources

CENTRE = (30.0, 1.0, 1.0)
CHEST = Chest(balls=[Ball(centre_lps=CENTRE, diameter_mm=12.0, hu=100.0)], nodules=[(CENTRE, 12.0)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose table knows two series: one of a training patient, one of a validation patient."""
    split = Sources(data=tmp_path, cache=tmp_path).luna16_split
    (tmp_path / "data" / "luna16_nodules").mkdir(parents=True)
    rows = f"1.1,{split.train[0]}\n1.2,{split.validation[0]}\n"
    (tmp_path / "data" / "luna16_nodules" / "nodules.csv").write_text(f"series_uid,patient_id\n{rows}")
    return tmp_path / "data"


def a_run(folder: Path, data: Path) -> Path:
    """As if a training had ended after one step, with weights that find nothing."""
    recipe, own = catalogue.recipe("jnsc_smoke"), Sources(data=data, cache=folder)
    runs.begin(folder, runs.about(recipe, own, folder), own.patients)
    state = checkpoint.fresh(recipe.system(own), seed=1)
    with torch.no_grad():
        for weights in state.model.parameters():
            weights.zero_()
    state.step = 1
    checkpoint.save(state, folder)
    return folder


def called(run: Path, data: Path, scans: Path):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(
        app, ["froc", str(run), "--scans", str(scans), "--data", str(data), "--cache", str(run / "cache")]
    )


def test_unseen_scans_are_judged_once_and_the_others_are_counted(tmp_path: Path, data: Path) -> None:
    scans = a_luna16_folder(tmp_path / "luna16", dict.fromkeys(("1.1", "1.2", "1.3"), CHEST))
    run = a_run(tmp_path / "run", data)
    first = called(run, data, scans)
    assert first.exit_code == 0, first.output
    assert "1 scans to do, 0 were done before" in first.output
    figures = json.loads((run / "froc.json").read_text())
    assert figures["recipe"] == "jnsc_smoke"
    assert (figures["scans"], figures["nodules"], figures["cpm"]["value"]) == (1, 1, 0.0), "it finds nothing"
    assert figures["left_out"] == {"patient.trained-on": 1, "patient.unknown": 1}
    assert (run / "froc_seriesuids.csv").read_text() == "1.2\n"
    assert {"froc.md", "froc.png", "froc_candidates.csv"} <= {path.name for path in run.iterdir()}
    assert "0 scans to do, 1 were done before" in called(run, data, scans).output


def test_nothing_is_judged_where_all_scans_were_trained_on_or_there_are_none(tmp_path: Path, data: Path) -> None:
    run = a_run(tmp_path / "run", data)
    answer = called(run, data, a_luna16_folder(tmp_path / "luna16", {"1.1": CHEST}))
    assert isinstance(answer.exception, NothingToJudge)
    assert "1 x patient.trained-on" in answer.output
    assert isinstance(called(run, data, tmp_path).exception, NothingToJudge)
    assert not (run / "froc.json").exists()


def test_a_run_that_cannot_say_whom_it_was_trained_on_is_turned_away(tmp_path: Path, data: Path) -> None:
    scans = a_luna16_folder(tmp_path / "luna16", {"1.1": CHEST})
    run = a_run(tmp_path / "run", data)
    (run / runs.PATIENTS).unlink()
    assert isinstance(called(run, data, scans).exception, NothingToJudge), "by the split of the data folder"
    runs.note(run, {"splits_sha256": {"luna16": "another"}})
    assert isinstance(called(run, data, scans).exception, OtherRun)
