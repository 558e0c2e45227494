"""`pulmonode-train results` keeps what runs leave, and remakes the page from what is kept."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.unit.training.results.records import a_run
from training import catalogue, runs
from training.cli import app
from training.recipe_json import recipe_as_json
from training.results import as_text

ROOT = Path(__file__).parents[4]
RECORDS, PAGE = ROOT / "training/records", ROOT / "training/RESULTS.md"


def _results(folder: Path, *more: str) -> str:
    options = ["--records", str(folder / "records"), "--out", str(folder / "RESULTS.md")]
    done = CliRunner().invoke(app, ["results", *more, *options])
    assert done.exit_code == 0, done.output
    return (folder / "RESULTS.md").read_text()


def _leave_a_run(folder: Path, recipe: str) -> None:
    """As `fit` and `evaluate` leave it."""
    left = a_run(recipe)
    about = {**left.about, "recipe": recipe_as_json(catalogue.recipe(recipe))}
    (folder / recipe).mkdir(parents=True)
    (folder / recipe / runs.ABOUT).write_text(json.dumps(about))
    (folder / recipe / runs.EVALUATION).write_text(json.dumps(left.figures))


def test_runs_are_recorded_and_the_page_is_the_same_once_they_are_lost(tmp_path: Path) -> None:
    _leave_a_run(tmp_path / "runs", "hr_mpf_s")
    _leave_a_run(tmp_path / "runs", "hr_mpf_smoke")
    page = _results(tmp_path, str(tmp_path / "runs"))
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["hr_mpf_s.json"], "tests' recipes are not kept"
    assert "| 100 of 100 | 0.860 (0.800 to 0.900) | - | the same |" in page
    assert _results(tmp_path) == page


def test_a_record_whose_recipe_is_gone_stays_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records/hr_mpf_once.json").write_text(as_text(a_run("hr_mpf_once")))
    (line,) = [line for line in _results(tmp_path).splitlines() if line.startswith("| hr_mpf_once")]
    assert line.endswith("**is gone** |")


def test_the_committed_page_is_what_the_committed_records_give(tmp_path: Path) -> None:
    """After a change of records, recipes or papers: `pulmonode-train results`."""
    done = CliRunner().invoke(app, ["results", "--records", str(RECORDS), "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.md").read_text() == PAGE.read_text()


def test_every_committed_record_is_named_after_its_recipe_and_small() -> None:
    paths = sorted(RECORDS.glob("*.json"))
    assert paths
    for path in paths:
        content = json.loads(path.read_text())
        assert content["run"]["recipe"]["name"] == path.stem
        assert path.stat().st_size < 100_000, path.name
