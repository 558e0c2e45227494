"""A site's corrected segmentations become training data, a run, and its figures, all through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.site import site_cases
from training.cli import app
from training.data.splits import SplitBroken
from training.errors import DataLacking, OtherRun

RUNNER = CliRunner()


def call(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CTs with segmentations of three patients in `site`, and what is made of them in `pack`."""
    folder = tmp_path_factory.mktemp("folder")
    site_cases(folder / "site", 3)
    answer = call("data", "pack", folder / "site", folder / "pack")
    assert answer.exit_code == 0, answer.output
    assert "6 of dicom" in answer.stdout
    assert "2 patients, 4 nodules, 4 slices" in answer.stdout
    assert "1 patients, 2 nodules, 2 slices" in answer.stdout
    assert "SITE-" not in answer.output
    return folder


def test_what_was_packed_is_checked(folder: Path) -> None:
    answer = call("data", "check", folder / "pack", "--json")
    assert answer.exit_code == 0
    found = {one["kind"]: one for one in json.loads(answer.stdout)}
    assert found.keys() == {"nodules", "slices"}
    assert all((one["nodules"], one["patients"], one["refusals"]) == (6, 3, []) for one in found.values())
    assert found["slices"]["split"]["validation"] == [1, 2]


@pytest.mark.slow
def test_a_recipe_trains_on_the_pack_and_is_measured_on_the_other_patients(folder: Path, tmp_path: Path) -> None:
    data = ("--data", folder / "pack", "--cache", tmp_path / "cache")
    trained = call("fit", "hr_mpf_smoke", tmp_path / "run", *data)
    assert trained.exit_code == 0, trained.output
    measured = call("evaluate", tmp_path / "run", *data)
    assert measured.exit_code == 0, measured.output
    figures = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert (figures["slices"], figures["patients"]) == (2, 1)
    assert 0 <= figures["segmentation"]["dice"]["value"] <= 1
    assert (figures["data"], figures["pack"]["nodules"]) == ("validation patients of a pack: 6 of dicom", {"dicom": 6})
    assert "malignancy" not in figures, "nobody has rated a segmented nodule"
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert (about["fold"], about["pack"]["nodules"]) == (None, {"dicom": 6})
    other = call("fit", "hr_mpf_smoke", tmp_path / "run", *data, "--fold", 2)
    assert isinstance(other.exception, OtherRun)
    leaking = call("fit", "hr_mpf_smoke", tmp_path / "next", *data, "--fold", 2, "--start", tmp_path / "run")
    assert isinstance(leaking.exception, SplitBroken), "its validation patients were trained on"
    assert not (tmp_path / "next").exists()
    tuned = call("fit", "hr_mpf_smoke", tmp_path / "next", *data, "--start", tmp_path / "run")
    assert tuned.exit_code == 0 and "0 have no counterpart" in " ".join(tuned.output.split())
    assert json.loads((tmp_path / "next/run.json").read_text())["start"] == "hr_mpf_smoke"


def test_a_recipe_that_needs_more_readers_says_what_it_needs_and_leaves_no_run(folder: Path, tmp_path: Path) -> None:
    for recipe, readers in (("dsnet_smoke", 4), ("mt_net_smoke", 2)):
        answer = call("fit", recipe, tmp_path / recipe, "--data", folder / "pack", "--cache", tmp_path / "cache")
        assert isinstance(answer.exception, DataLacking), answer.output
        assert f"{recipe} cannot be trained or measured on" in str(answer.exception)
        assert f"{readers} readers drew" in str(answer.exception)
        assert not (tmp_path / recipe).exists()


def test_a_pack_is_never_written_over(folder: Path) -> None:
    answer = call("data", "pack", folder / "site", folder / "pack")
    assert getattr(answer.exception, "code", None) == "pack.folder"
