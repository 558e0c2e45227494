"""No patient data outside DICOM files: canaries go through the whole flow at DEBUG, its failures included.

A node of its own receives a study that is analysed, one with too few slices, one whose pixels are damaged, one that is
refused and one that conflicts with what is stored; one destination takes the answers, one is dead.
"""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from inference.errors import PredictorUnavailable
from inference.triton.wheel import find_wheel
from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.config import Destination
from pacs_node.demo.pacs import free_port
from pacs_node.errors import PeerRefusedInstance
from tests.support.ct_instances import edit, uid
from tests.support.nodes import RunningNode, eventually, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

CANARIES = {
    "PatientName": "CANARYNAME^ANNA",
    "PatientID": "CANARYPID77",
    "PatientBirthDate": "19010203",
    "AccessionNumber": "CANARYACC88",
    "ReferringPhysicianName": "CANARYREF^DOC",
    "InstitutionName": "CANARYHOSPITAL",
    "StudyDescription": "CANARYSTUDY",
    "SeriesDescription": "CANARYSERIES",
    "ProtocolName": "CANARYPROTOCOL",
    "PatientComments": "CANARYCOMMENT",
}
PRIVATE = "CANARYPRIVATE"
WORDS = [*(word for value in CANARIES.values() for word in value.split("^") if len(word) > 4), PRIVATE]
STUDIES = ("analysed", "short", "damaged", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What the node left behind, and the UIDs that went through it."""

    node: RunningNode
    uids: frozenset[str]

    @property
    def data(self) -> Path:
        """The node's data folder."""
        return self.node.config.data

    def files(self, folder: str = ".") -> list[Path]:
        """Every file below a folder of the data."""
        return [path for path in (self.data / folder).rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("flow")
    settings = f'[log]\nlevel = "DEBUG"\n\n[triton]\n{_triton()}\nthreads = 1'
    dead = Destination(name="dead", ae_title="DEAD", host="127.0.0.1", port=free_port())
    with (
        small_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", settings=settings, destinations=[pacs.destination, dead]) as node,
    ):
        sent = {study: _ct(folder / "ct" / study, study) for study in STUDIES}
        for study in ("analysed", "short", "damaged"):
            node.send(sent[study])
        with pytest.raises(PeerRefusedInstance):
            node.send([_with_another_uid(sent["refused"][0])])
        edit(sent["analysed"][0], lambda dataset: setattr(dataset, "PatientComments", "CANARYCOMMENT again"))
        node.send(sent["analysed"][:1])  # answered with 0x0111, which our own SCU takes for "it is there"
        eventually(lambda: node.states(DELIVERIES).get("delivered") == 3, timeout_s=240)
        eventually(lambda: "peer.unreachable" in node.log.read_text())
        instances = [dcmread(path, stop_before_pixels=True) for paths in sent.values() for path in paths]
    uids = {str(value) for item in instances for value in _uids(item)} - {str(instances[0].SOPClassUID)}
    yield Flow(node=node, uids=frozenset(uids))


def test_the_canaries_went_through_the_whole_flow(flow: Flow) -> None:
    """Else nothing below means anything."""
    log = flow.node.log.read_text()
    for event in ("study_planned", "job_analysed", "job_composed", "result_delivered", "result_not_delivered"):
        assert f'"{event}"' in log
    assert '"level": "debug"' in log
    received, results, conflicts = (
        b"".join(path.read_bytes() for path in flow.files(name)) for name in ("instances", "results", "conflicts")
    )
    for word in WORDS:
        assert word.encode() in received
    assert b"CANARYNAME" in results
    assert b"CANARYNAME" in conflicts
    rows = _dump(flow)
    for outcome in ("series.too-few-slices", "series.unreadable", "peer.unreachable"):
        assert outcome in rows


def test_no_log_has_a_patient_or_a_uid(flow: Flow) -> None:
    """Standard output and standard error of all processes, and what Triton wrote."""
    logs = [flow.node.log, *flow.files("triton")]
    _assert_absent([*WORDS, *flow.uids], [path.read_bytes() for path in logs])


def test_the_database_has_no_patient(flow: Flow) -> None:
    rows = _dump(flow)
    _assert_absent(WORDS, [rows.encode()])
    assert uid("analysed") in rows


def test_the_queue_has_no_patient_and_no_uid(flow: Flow) -> None:
    _assert_absent([*WORDS, *flow.uids], [path.read_bytes() for path in flow.files("queue")])


def test_no_file_or_folder_is_named_after_a_patient_or_a_uid(flow: Flow) -> None:
    names = [str(path.relative_to(flow.data)).encode() for path in flow.data.rglob("*")]
    _assert_absent([*WORDS, *flow.uids], names)


def test_only_dicom_files_have_a_patient(flow: Flow) -> None:
    """Findings between two steps are kept in compressed files; they are looked into as well."""
    others = [path for path in flow.files() if path.suffix != ".dcm"]
    contents = [path.read_bytes() for path in others]
    for path in others:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
    assert any(path.suffix == ".npz" for path in others)
    _assert_absent(WORDS, contents)


def test_nothing_that_the_node_keeps_is_open_to_other_users(flow: Flow) -> None:
    """But for the programs of Triton, which are copied as they are installed."""
    programs = flow.data / "triton/backends"
    paths = [path for path in flow.data.rglob("*") if not path.is_relative_to(programs)]
    assert {path.relative_to(flow.data).parts[0] for path in paths} >= {"instances", "pulmonode.sqlite", "queue"}
    assert [str(path.relative_to(flow.data)) for path in paths if path.stat().st_mode & 0o007] == []


def _assert_absent(words: list[str], contents: list[bytes]) -> None:
    """Text may be UTF-8 or, as NumPy keeps it, UTF-32."""
    assert contents
    found = {
        word
        for content in contents
        for word in words
        for text in (word.encode(), word.encode("utf-32-le"))
        if text.lower() in content.lower()
    }
    assert found == set()


def _triton() -> str:
    with suppress(PredictorUnavailable):
        find_wheel()
        return f'mode = "embedded"\nurl = "127.0.0.1:{free_port()}"'
    return 'mode = "onnx"'


def _ct(folder: Path, study: str) -> list[Path]:
    choices: dict[str, dict[str, Any]] = {
        "analysed": {"balls": [Ball(centre_lps=(70, 0, 0), diameter_mm=14)]},
        "short": {"slices": 10},
        "damaged": {"transfer_syntax": JPEGLSLossless},
        "refused": {"slices": 1},
    }
    options: dict[str, Any] = {"slices": 40, "study": study, **CANARIES, **choices[study]}
    paths = a_chest_series(folder, **options)
    for path in paths:
        edit(path, lambda dataset: dataset.private_block(0x0029, "CANARY MAKER", create=True).add_new(1, "LO", PRIVATE))
    if study == "damaged":
        for path in paths:
            edit(path, lambda dataset: setattr(dataset, "PixelData", _broken(dataset.PixelData)))
    return paths


def _broken(encapsulated: bytes) -> bytes:
    """The same fragment with noise after its markers; 8 bytes item tag and length, twice."""
    return encapsulated[:80] + b"\xff" * (len(encapsulated) - 88) + encapsulated[-8:]


def _with_another_uid(path: Path) -> Path:
    """A file whose C-STORE command will name another instance than its dataset does."""

    def change(dataset: Dataset) -> None:
        dataset.file_meta.MediaStorageSOPInstanceUID = uid("refused", "another")

    edit(path, change)
    return path


def _uids(dataset: Dataset) -> Iterator[str]:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    yield from (str(dataset[name].value) for name in names)


def _dump(flow: Flow) -> str:
    with closing(sqlite3.connect(flow.data / "pulmonode.sqlite")) as connection:
        return "\n".join(connection.iterdump())
