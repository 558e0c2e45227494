"""Orthanc as the PACS: CT sent by DCMTK, the answer read back by DICOMweb and C-FIND.

One node and one Orthanc for the whole module; four studies are sent, and the tests look at what came of them. Results
go to it twice, every document by C-STORE and some again by STOW-RS, which must be as if they had gone once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.config import Destination
from tests.support.ct_instances import uid
from tests.support.nodes import RunningNode, eventually, pulmonode, running_node
from tests.support.peers import Orthanc, dcmtk, orthanc
from tests.support.series import Ball, a_chest_series

pytestmark = [pytest.mark.services, pytest.mark.slow]

BALL = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
STUDIES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "plain": ([], {"balls": [BALL]}),
    "JPEG-LS": (["-xt"], {"balls": [BALL], "transfer_syntax": JPEGLSLossless}),
    "no nodule, JPEG 2000": (["-xv"], {"transfer_syntax": JPEG2000Lossless}),
    "too few slices": ([], {"balls": [BALL], "slices": 10}),
}
"""Options of `storescu`, which proposes no compression by itself, and the CT."""
PROFILE = ("full", "soft", "cad", "pdf", "structures")
"""Every document that this detector gives rise to, which has no soft masks."""
OF_ALL = {"sr", "cad", "captures", "pdf"}
OF_NODULES = {"seg", "presentation", "structures"}
ROLES = {
    "plain": OF_ALL | OF_NODULES | {"lungs"},
    "JPEG-LS": OF_ALL | OF_NODULES | {"lungs"},
    "no nodule, JPEG 2000": OF_ALL | {"lungs"},
    "too few slices": OF_ALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """All studies after their answers have been delivered."""

    ct: Path
    node: RunningNode
    pacs: Orthanc

    def files(self, study: str) -> dict[str, bytes]:
        """The instances that Orthanc holds, by SOP Instance UID, retrieved by WADO-RS."""
        whole = _got(f"{self.pacs.url}/dicom-web/studies/{uid(study)}", 'multipart/related; type="application/dicom"')
        boundary = whole.lstrip().split(b"\r\n", 1)[0]
        parts = [part.partition(b"\r\n\r\n")[2] for part in whole.split(b"\r\n" + boundary) if b"DICM" in part]
        return {str(dcmread(BytesIO(part)).SOPInstanceUID): part for part in parts}

    def results(self, study: str) -> list[tuple[str, str, Path]]:
        """Role, SOP Instance UID and file of every document of the result as the node stored it."""
        (job,) = self.node.asked("study", "show", uid(study))["jobs"]
        return [
            (item["role"], item["sop_instance_uid"], self.node.config.data / item["file_key"])
            for item in job["results"]
        ]

    def result(self, study: str, role: str) -> Path:
        """The file of the only document of a role."""
        (path,) = [path for of, _, path in self.results(study) if of == role]
        return path


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answered]:
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc(folder / "pacs", DicomAlwaysAllowFind=True) as pacs:
        peer = pacs.peer
        by_network = Destination(
            name=peer.name, ae_title=peer.ae_title, host=peer.host, port=peer.port, profile=PROFILE
        )
        by_web = Destination(name="web", url=f"{pacs.url}/dicom-web")
        with running_node(folder / "node", destinations=[by_network, by_web]) as node:
            address = ["-aec", node.config.scp.ae_title, "127.0.0.1", str(node.config.scp.port)]
            for study, (options, ct) in STUDIES.items():
                paths = a_chest_series(folder / "ct" / study, **{"slices": 40, "study": study, **ct})
                dcmtk("storescu", *options, *address, *paths)
            eventually(lambda: node.states(DELIVERIES) == {"delivered": 2 * len(STUDIES)}, timeout_s=180)
            yield Answered(ct=folder / "ct", node=node, pacs=pacs)


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_is_answered_with_all_documents_that_have_something_to_say(answered: Answered, study: str) -> None:
    assert {role for role, _, _ in answered.results(study)} == ROLES[study]


def test_each_destination_has_a_state_of_its_own(answered: Answered) -> None:
    (job,) = answered.node.asked("study", "show", uid("plain"))["jobs"]
    assert [(item["destination"], item["state"]) for item in job["deliveries"]] == [
        ("orthanc", "delivered"),
        ("web", "delivered"),
    ]


def test_compressed_instances_are_kept_as_they_were_sent(answered: Answered) -> None:
    stored = [dcmread(path) for path in (answered.node.config.data / "instances").rglob("*.dcm")]
    syntaxes = {item.StudyInstanceUID: item.file_meta.TransferSyntaxUID for item in stored}
    assert syntaxes[uid("JPEG-LS")] == JPEGLSLossless
    assert syntaxes[uid("no nodule, JPEG 2000")] == JPEG2000Lossless


@pytest.mark.parametrize("study", STUDIES)
def test_what_is_read_back_is_what_the_node_stored(answered: Answered, study: str) -> None:
    back, results = answered.files(study), answered.results(study)
    assert back.keys() == {sop_instance_uid for _, sop_instance_uid, _ in results}
    for role, sop_instance_uid, path in results:
        assert _content(back[sop_instance_uid]) == _content(path.read_bytes()), role


def test_the_same_findings_come_of_a_compressed_ct(answered: Answered) -> None:
    plain, compressed = (answered.node.asked("study", "show", uid(study))["jobs"] for study in ("plain", "JPEG-LS"))
    both = [{**finding, "tracking_uid": None} for (job,) in (plain, compressed) for finding in job["findings"]]
    assert len(both) == 2
    assert both[0] == both[1]


def test_metadata_by_dicomweb_name_the_patient_and_the_frames(answered: Answered) -> None:
    seg = dcmread(answered.result("plain", "seg"))
    series = f"studies/{uid('plain')}/series/{seg.SeriesInstanceUID}"
    (found,) = json.loads(_got(f"{answered.pacs.url}/dicom-web/{series}/metadata"))
    del found["7FE00010"]  # only says where the pixels are
    metadata = Dataset.from_json(found)
    assert metadata.PatientID == seg.PatientID
    assert metadata.NumberOfFrames == seg.NumberOfFrames
    assert metadata.SegmentSequence == seg.SegmentSequence
    assert metadata.PerFrameFunctionalGroupsSequence == seg.PerFrameFunctionalGroupsSequence


def test_frames_by_dicomweb_are_the_masks(answered: Answered) -> None:
    """280 x 280 bits are whole bytes, so a frame is a slice of the pixel data (PS3.5 8.1.1)."""
    seg = dcmread(answered.result("plain", "seg"))
    frame_bytes = seg.Rows * seg.Columns // 8
    place = f"studies/{seg.StudyInstanceUID}/series/{seg.SeriesInstanceUID}/instances/{seg.SOPInstanceUID}"
    for number in (1, int(seg.NumberOfFrames)):
        accept = 'multipart/related; type="application/octet-stream"'
        answer = _got(f"{answered.pacs.url}/dicom-web/{place}/frames/{number}", accept)
        frame = answer.partition(b"\r\n\r\n")[2][:frame_bytes]
        assert frame == seg.PixelData[(number - 1) * frame_bytes : number * frame_bytes]
        assert any(frame)


def test_c_find_finds_segmentation_and_report(answered: Answered) -> None:
    peer = answered.pacs.peer
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={uid('plain')}", "Modality", "SeriesDescription"]
    options = [word for key in keys for word in ("-k", key)]
    said = dcmtk("findscu", "-v", "-S", *options, "-aec", peer.ae_title, peer.host, str(peer.port))
    assert "CS [SEG ]" in said
    assert "CS [SR]" in said


@pytest.mark.parametrize("study", STUDIES)
def test_the_checks_find_nothing_in_what_is_read_back(answered: Answered, study: str, tmp_path: Path) -> None:
    for sop_instance_uid, content in answered.files(study).items():
        path = tmp_path / f"{sop_instance_uid}.dcm"
        path.write_bytes(content)
        validator = Path(sys.executable).with_name("dciodvfy")
        said = subprocess.run([validator, "-new", path], capture_output=True, text=True, check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []
    checked = pulmonode("result", "check", str(answered.ct / study), str(tmp_path))
    assert (checked.returncode, checked.stdout.strip()) == (0, "No problem was found.")


def test_the_reports_say_no_nodule_and_not_analysed(answered: Answered) -> None:
    texts = {study: _texts(dcmread(answered.result(study, "sr"))) for study in STUDIES}
    assert "No nodule found in the part of the lungs that was covered." in texts["no nodule, JPEG 2000"]
    assert not any(text.startswith("No nodule found") for text in texts["plain"])
    assert "Not analysed: the series has 10 slices, at least 20 are needed" in texts["too few slices"]


def _got(url: str, accept: str = "application/dicom+json") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content: bytes = answer.read()
    return content


def _content(file: bytes) -> bytes:
    """The bytes of the dataset, without the file meta information, which every PACS writes anew (PS3.10 7.1)."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def _texts(item: Dataset) -> list[str]:
    own = [str(item.TextValue)] if "TextValue" in item else []
    return own + [text for child in item.get("ContentSequence", []) for text in _texts(child)]
