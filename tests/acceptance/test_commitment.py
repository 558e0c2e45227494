"""Orthanc as a PACS that commits, asks for commitment, counts and moves; one study for the whole module."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.config import Destination
from pacs_node.dimse import scu
from tests.support.commitment import ABSENT, references_to
from tests.support.nodes import RunningNode, eventually, running_node
from tests.support.peers import Orthanc, orthanc
from tests.support.series import Ball, a_chest_series

pytestmark = [pytest.mark.services, pytest.mark.slow]

SETTINGS = """
[[scp.callers]]
ae_title = "CT1"
[[scp.callers]]
ae_title = "TEST"
[[scp.callers]]
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
[[query]]
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
calling_ae_title = ["CT1"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The node after a study of which it was sent three quarters has been answered."""

    ct: list[Path]
    node: RunningNode
    pacs: Orthanc
    shown: dict[str, Any]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Committed]:
    folder = tmp_path_factory.mktemp("commitment")
    ct = a_chest_series(folder / "ct", slices=40, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])
    with orthanc(folder / "pacs", DicomAlwaysAllowFind=True) as pacs:
        peer = pacs.peer
        scu.store(peer, ct, calling_ae_title="CT1")
        destination = Destination(
            name="orthanc", ae_title=peer.ae_title, host=peer.host, port=peer.port, commitment=True
        )
        settings = SETTINGS.format(port=peer.port)
        with running_node(folder / "node", settings=settings, destinations=[destination]) as node:
            known = {"AET": node.config.scp.ae_title, "Host": "127.0.0.1", "Port": node.config.scp.port}
            _asked(f"{pacs.url}/modalities/node", known, method="PUT")
            node.send(ct[:30])
            study = _study_of(ct)
            shown = eventually(lambda: _if_committed(node, study), timeout_s=150, every_s=2)
            yield Committed(ct=ct, node=node, pacs=pacs, shown=shown)


def test_the_missing_quarter_is_fetched_and_everything_is_analysed_once(committed: Committed) -> None:
    assert committed.shown["progress"] == {
        "received": 40,
        "promised": 0,
        "expected": 40,
        "missing": 0,
        "jobs": 1,
        "analysed": 1,
        "deliveries": 1,
        "delivered": 1,
        "committed": 1,
    }


def test_orthanc_commits_to_the_result(committed: Committed) -> None:
    (job,) = committed.shown["jobs"]
    (delivery,) = job["deliveries"]
    assert (delivery["state"], len(delivery["sent"])) == ("committed", 2)


def test_orthanc_is_told_what_the_node_keeps(committed: Committed) -> None:
    asked = {(item.sop_class_uid, item.sop_instance_uid) for item in (*references_to(committed.ct[:3]), ABSENT)}
    request = {"DicomInstances": [list(pair) for pair in asked]}
    path = _asked(f"{committed.pacs.url}/modalities/node/storage-commitment", request)["Path"]
    report = eventually(lambda: _if_reported(f"{committed.pacs.url}{path}"), timeout_s=30)
    assert report["Status"] == "Failure"
    assert {item["SOPInstanceUID"] for item in report["Success"]} == {
        item.sop_instance_uid for item in references_to(committed.ct[:3])
    }
    assert [(item["SOPInstanceUID"], item["FailureReason"]) for item in report["Failures"]] == [
        (ABSENT.sop_instance_uid, 0x0112)
    ]


def _study_of(ct: list[Path]) -> str:
    return str(pydicom.dcmread(ct[0], stop_before_pixels=True).StudyInstanceUID)


def _if_committed(node: RunningNode, study: str) -> dict[str, Any] | None:
    if "committed" not in node.states(DELIVERIES):
        return None
    shown = node.asked("study", "show", study)
    return shown if shown["progress"]["committed"] else None


def _if_reported(url: str) -> dict[str, Any] | None:
    report = _asked(url)
    return None if report["Status"] == "Pending" else report


def _asked(url: str, content: object = None, method: str | None = None) -> Any:
    data = None if content is None else json.dumps(content).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=30) as answer:
        body = answer.read()
        return json.loads(body) if body else None
