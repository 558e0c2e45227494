"""Decisions, destinations, repetition and the command line of one running node.

One node serves the module: a sender whose studies settle slowly, a PACS that lives and one that is dead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from pacs_node.archive.queries.machine import DELIVERIES, JOBS, STUDIES, history
from pacs_node.archive.session import Database
from pacs_node.config import Destination
from pacs_node.demo.pacs import free_port
from tests.support.ct_instances import uid
from tests.support.nodes import RunningNode, SmallPacs, eventually, pulmonode, running_node, small_pacs
from tests.support.series import Ball, a_chest_series, a_series

pytestmark = pytest.mark.slow

BALL = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
THIN, THICK, CAPTURE = uid("1", "thin"), uid("1", "thick"), uid("1", "capture")
SETTINGS = '[settle]\nquiet_s = 1.0\n\n[settle.calling]\nSLOW = 600.0\n\n[log]\nlevel = "DEBUG"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The node, whom it delivers to, and what was sent."""

    node: RunningNode
    pacs: SmallPacs
    ct: Path

    def study(self) -> dict[str, Any]:
        """What `study show --json` says about the study of three series."""
        shown: dict[str, Any] = self.node.asked("study", "show", uid("1"))
        return shown

    def result(self) -> dict[str, bytes]:
        """The files of the result by SOP Instance UID."""
        (job,) = self.study()["jobs"]
        return {
            item["sop_instance_uid"]: (self.node.config.data / item["file_key"]).read_bytes() for item in job["results"]
        }

    def changes(self) -> int:
        """How often the states of both studies and of the job have changed."""
        database = Database(self.node.config.database_url)
        try:
            with database.transaction() as tx:
                return sum(len(history(tx, *of)) for of in ((STUDIES, 1), (STUDIES, 2), (JOBS, 1)))
        finally:
            database.close()

    def await_delivery(self) -> None:
        """Until the job is done and the living PACS has the result."""
        eventually(lambda: self.node.states(JOBS) == {"done": 1}, timeout_s=120)
        eventually(lambda: self.node.states(DELIVERIES).get("delivered") == 1, timeout_s=120)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("rules")
    ct = folder / "ct"
    thick = a_chest_series(ct / "thick", slices=20, spacing_mm=5.0, balls=[BALL], series="thick")
    thin = a_chest_series(ct / "thin", slices=40, balls=[BALL], series="thin")
    capture = a_series(
        ct / "capture",
        slices=1,
        series="capture",
        SOPClassUID=SecondaryCaptureImageStorage,
        Modality="OT",
        SeriesDescription="DOSE",
    )
    late = a_chest_series(folder / "late", slices=20, study="late")
    dead = Destination(name="dead", ae_title="DEAD", host="127.0.0.1", port=free_port())
    with (
        small_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", settings=SETTINGS, destinations=[pacs.destination, dead]) as node,
    ):
        node.send(late, calling_ae_title="SLOW")
        node.send([*thick, *thin, *capture])
        seen = Running(node=node, pacs=pacs, ct=ct)
        seen.await_delivery()
        yield seen


def test_a_sender_may_settle_more_slowly_than_others(running: Running) -> None:
    assert running.node.states(STUDIES) == {"planned": 1, "receiving": 1}
    states = {item["study_instance_uid"]: item["state"] for item in running.node.asked("study", "list")}
    assert states == {uid("1"): "planned", uid("late"): "receiving"}


def test_the_best_series_is_chosen_and_the_others_have_their_reasons(running: Running) -> None:
    study = running.study()
    decisions = {item["series_instance_uid"]: item for item in study["decisions"]}
    assert {series: item["verdict"] for series, item in decisions.items()} == {
        THIN: "chosen",
        THICK: "not-best",
        CAPTURE: "no-rule",
    }
    assert "[series.not-best]" in decisions[THICK]["reasons"][-1]
    assert "[rule.modality]" in decisions[CAPTURE]["reasons"][0]
    (job,) = study["jobs"]
    assert job["series_instance_uid"] == THIN


def test_what_is_not_analysed_is_stored_and_said_so(running: Running) -> None:
    """20 thick slices, 40 thin ones and one secondary capture."""
    instances = running.study()["instances"]
    assert len(instances) == 20 + 40 + 1
    assert uid("1", "capture", 1) in instances


def test_each_destination_has_its_own_state(running: Running) -> None:
    eventually(lambda: running.node.states(DELIVERIES) == {"delivered": 1, "pending": 1})
    dead = _delivery(running, "dead")
    assert (dead["state"], dead["attempt"] >= 1) == ("pending", True)
    living = _delivery(running, running.pacs.destination.name)
    assert (living["state"], living["attempt"]) == ("delivered", 1)
    assert dead["next_at"] is not None
    assert set(running.pacs.held()) == set(running.result())


@pytest.mark.parametrize("command", [("job", "retry", "1"), ("study", "retry", uid("1"))])
def test_a_repetition_gives_the_same_instances_byte_for_byte(running: Running, command: tuple[str, ...]) -> None:
    before, changes = running.result(), running.changes()
    told = running.node.told(*command)
    assert (told.returncode, told.stderr) == (0, "")
    eventually(lambda: running.changes() > changes)
    assert len(running.study()["jobs"]) == 1
    eventually(lambda: running.node.states(STUDIES) == {"planned": 1, "receiving": 1})
    running.await_delivery()
    assert running.result() == before
    assert set(running.pacs.held()) == set(before)


def test_rules_are_explained_as_they_are_applied(running: Running) -> None:
    explained = running.node.asked("rule", "explain", str(running.ct))
    decided = {item["series_instance_uid"]: item for item in running.study()["decisions"]}
    assert {item["series_instance_uid"]: item["verdict"] for item in explained} == {
        series: item["verdict"] for series, item in decided.items()
    }
    assert all(item["reasons"] == decided[item["series_instance_uid"]]["reasons"] for item in explained)


def test_a_folder_is_analysed_as_the_node_analyses_it(running: Running, tmp_path: Path) -> None:
    (analysis,) = running.node.asked("series", "analyse", str(running.ct), "--out", str(tmp_path))
    (job,) = running.study()["jobs"]
    (mine,), (theirs,) = analysis["findings"], job["findings"]
    assert analysis["series_instance_uid"] == job["series_instance_uid"]
    assert mine["centre_lps_mm"] == theirs["centre_lps"]
    for name in ("volume_mm3", "long_axis_mm", "short_axis_mm", "mean_hu", "malignancy"):
        assert mine[name] == theirs[name]
    written = {Path(path).name for path in analysis["files"]}
    assert {"seg.dcm", "sr.dcm"} <= written


def test_the_doctor_names_the_dead_destination_and_nothing_else(running: Running) -> None:
    told = running.node.told("node", "check", "--json")
    assert told.returncode == 1
    faults = [item for item in json.loads(told.stdout) if not item["is_well"]]
    assert [item["part"] for item in faults] == ["destination dead"]
    assert "peer.unreachable" in faults[0]["text"]
    assert faults[0]["advice"]


def test_the_doctor_is_content_without_the_dead_destination(running: Running, tmp_path: Path) -> None:
    text = running.node.config_file.read_text()
    config = tmp_path / "node.toml"
    config.write_text(text.replace(', "dead"', "").partition('[[destination]]\nname = "dead"')[0])
    told = pulmonode("node", "check", "--config", str(config), "--json")
    assert told.returncode == 0, told.stdout
    assert [item["part"] for item in json.loads(told.stdout)] == [
        "database",
        "disk",
        "broker",
        "models",
        "inference",
        "destination pacs",
    ]


def test_models_are_listed_with_their_active_version(running: Running) -> None:
    models = {item["model"]: item for item in running.node.asked("model", "list")}
    assert models.keys() == {"jnsc", "jnsc_head"}
    assert all(
        (item["version"], item["active"], item["served"], item["file_is_whole"]) == (1, True, True, True)
        for item in models.values()
    )
    assert all(len(item["sha256"]) == 64 for item in models.values())


@pytest.mark.parametrize("command", [("study", "show", "1.2.3"), ("job", "show", "999"), ("job", "retry", "999")])
def test_what_does_not_exist_ends_with_1(running: Running, command: tuple[str, ...]) -> None:
    told = running.node.told(*command)
    assert (told.returncode, told.stdout) == (1, "")
    assert "archive.not-found" in told.stderr


@pytest.mark.parametrize(
    "command",
    [("nod", "status"), ("node", "stat"), ("job", "show"), ("job", "show", "one"), ("study", "list", "--jsn")],
)
def test_a_command_that_is_mistyped_ends_with_2(command: tuple[str, ...]) -> None:
    told = pulmonode(*command)
    assert (told.returncode, told.stdout) == (2, "")
    assert "Usage" in told.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("[scp]\nprot = 104", "did you mean 'port'"), ("[scp", "not TOML"), ("[settle]\nquiet_s = 0", "more than 0")],
)
def test_a_configuration_that_is_wrong_ends_with_2(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "node.toml"
    config.write_text(text)
    told = pulmonode("node", "status", "--config", str(config))
    assert (told.returncode, told.stdout) == (2, "")
    assert said in told.stderr


def _delivery(running: Running, destination: str) -> dict[str, Any]:
    (job,) = running.study()["jobs"]
    (found,) = [item for item in job["deliveries"] if item["destination"] == destination]
    return dict(found)
