"""`pulmonode-train jnsc-judge`: a published JNSC as a release with new figures; the networks stay as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.registry import ModelRepository
from inference.release import read_release
from training.cli import app, judge
from training.data.splits import SplitBroken
from training.errors import FolderTaken
from training.evaluation.outcome import Outcome
from training.sources import Sources

SHIPPED = Path(__file__).parents[4] / "model_repository"
FIGURES = {"data": "none", "real": {"operating_score": 0.91}, "cases": {"dice": [0.5]}}


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Calls the command on a repository; the judging itself is left out."""
    monkeypatch.setattr(judge.judging, "evaluate", lambda *given: Outcome(figures=FIGURES, cases=()))
    monkeypatch.setattr(Sources, "luna16_nodules", lambda own, patients: ())
    places = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache")]

    def call(models: Path, *more: str):  # type: ignore[no-untyped-def]
        return CliRunner().invoke(
            app, ["jnsc-judge", str(tmp_path / "release"), "--models", str(models), *places, *more]
        )

    return call


def test_the_release_has_the_same_networks_with_the_new_figures_and_score(called, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = called(SHIPPED)
    assert outcome.exit_code == 0, outcome.output
    assert "Next: pulmonode model publish" in outcome.output
    published = {contract.model: contract for contract in ModelRepository(SHIPPED).members("jnsc")}
    members = {member.contract.model: member.contract for member in read_release(tmp_path / "release")}
    assert {name: one.sha256 for name, one in members.items()} == {name: p.sha256 for name, p in published.items()}
    detector = members["jnsc"]
    assert detector.detection is not None and detector.detection.operating_score == 0.91
    for name, one in members.items():
        kept = {key: published[name].evaluation[key] for key in (*judge.TRAINED, *judge.PROVEN)}
        assert one.evaluation == {**kept, "data": "none", "real": {"operating_score": 0.91}}, "no list of cases"
        assert one.trained_on == published[name].trained_on


def test_the_record_of_the_recipe_gets_the_figures_with_their_cases(called, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "jnsc_one_pass.json"
    record = {"system": "jnsc", "purpose": "", "run": {"seed": 3}, "evaluation": {"old": 1}, "labels": {"auc": 2}}
    path.write_text(json.dumps(record))
    assert called(SHIPPED, "--records", str(tmp_path)).exit_code == 0
    now = json.loads(path.read_text())
    assert now["evaluation"].items() >= FIGURES.items() and "old" not in now["evaluation"]
    assert {**now, "evaluation": 0} == {**record, "evaluation": 0}


def test_a_version_that_was_trained_with_another_split_is_not_judged(called, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    models = tmp_path / "models"
    shutil.copytree(SHIPPED, models)
    version = ModelRepository(models).system("jnsc").active
    path = models / "jnsc" / str(version) / "contract.json"
    path.write_text(path.read_text().replace('"luna16": "', '"luna16": "0'))
    outcome = called(models)
    assert isinstance(outcome.exception, SplitBroken) and "another split" in str(outcome.exception)
    assert not (tmp_path / "release").exists()


def test_a_place_that_is_taken_is_found_before_the_work_and_not_after(
    called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(judge.judging, "evaluate", lambda *given: pytest.fail("it was judged"))
    (tmp_path / "release").mkdir()
    assert isinstance(called(SHIPPED).exception, FolderTaken)
