"""`pulmonode-train data check` tells people and programs the same, and its exit code says whether to go on."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.unit.training.data.test_deeplesion import ROW, a_folder
from training.cli import app

RUNNER = CliRunner()


def test_json_holds_counts_refusals_and_the_split(tmp_path: Path) -> None:
    other = ROW | {"File_name": "000007_02_01_103.png", "Patient_index": "8"}
    folder = a_folder(tmp_path, ROW, other, ROW | {"Possibly_noisy": "1"})
    answer = RUNNER.invoke(app, ["data", "check", str(folder), "--json"])
    assert answer.exit_code == 0
    (found,) = json.loads(answer.stdout)
    assert (found["kind"], found["nodules"], found["is_usable"]) == ("deeplesion", 2, True)
    assert found["readers"] == {"0": 2}
    assert found["refusals_by_code"] == {"recist.noisy": 1}
    assert found["refusals"][0]["code"] == "recist.noisy"


def test_people_read_the_same_and_nothing_usable_is_exit_code_1(tmp_path: Path) -> None:
    answer = RUNNER.invoke(app, ["data", "check", str(a_folder(tmp_path, ROW | {"Coarse_lesion_type": "2"}))])
    assert answer.exit_code == 1
    assert "deeplesion" in answer.stdout
    assert "1 x recist.not-lung" in answer.stdout
    assert "nothing here to learn from" in answer.stdout
