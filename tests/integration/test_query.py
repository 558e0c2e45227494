"""C-FIND, C-MOVE and C-GET with DCMTK's archive, and with archives that answer oddly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, JPEG2000Lossless
from pynetdicom import AE, evt

from pacs_node.dimse import scu
from pacs_node.dimse.query import FIND, GET, MOVE, Wanted, count_series, get_series, move_series
from pacs_node.domain.completeness import SeriesCount
from pacs_node.domain.identifiers import SeriesUid, StudyUid
from pacs_node.errors import NodeError, PeerRefused, PeerRefusedContext, PeerTimeout
from tests.support.archives import dcmqrscp
from tests.support.instances import STUDY_UID, a_file, a_uid, an_instance
from tests.support.peers import ReceivingNode, receiving_node
from tests.support.steps import uid_of

ONE, TWO = SeriesUid("1.2.826.0.1.77.1"), SeriesUid("1.2.826.0.1.77.2")
STUDY = StudyUid(STUDY_UID)
US = "PULMONODE"
WANTED = Wanted(
    sop_class_uids=(str(CTImageStorage),),
    transfer_syntax_uids=("1.2.840.10008.1.2.1", str(JPEG2000Lossless)),
    maximum_instance_bytes=1 << 20,
)
Handler = Callable[[Any], Iterator[tuple[int, Dataset | None]]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[SeriesUid, list[Path]]:
    folder = tmp_path_factory.mktemp("files")
    return {
        uid: [
            a_file(folder, an_instance(a_uid(), SeriesInstanceUID=uid, PatientID="P", StudyDate="20260101", **ids))
            for _ in range(count)
        ]
        for uid, count, ids in ((ONE, 3, {"SeriesNumber": 1}), (TWO, 2, {"SeriesNumber": 2}))
    }


@pytest.fixture
def archive(tmp_path: Path, files: dict[SeriesUid, list[Path]]) -> Iterator[tuple[scu.Peer, ReceivingNode]]:
    """An archive with two series, and the node that it moves to."""
    with receiving_node(tmp_path / "node") as node:
        every = [path for group in files.values() for path in group]
        with dcmqrscp(tmp_path / "archive", node.server.port, every) as peer:
            yield peer, node


def test_the_archive_says_how_many_instances_its_series_have(archive: tuple[scu.Peer, ReceivingNode]) -> None:
    counts = count_series(archive[0], STUDY, calling_ae_title=US, timeout_s=20)
    assert sorted((count.series_instance_uid, count.modality, count.instance_count) for count in counts) == [
        (ONE, "CT", 3),
        (TWO, "CT", 2),
    ]
    assert count_series(archive[0], StudyUid("1.2.3"), calling_ae_title=US, timeout_s=20) == ()


def test_a_series_is_moved_to_the_node(
    archive: tuple[scu.Peer, ReceivingNode], files: dict[SeriesUid, list[Path]]
) -> None:
    peer, node = archive
    move_series(peer, STUDY, ONE, calling_ae_title=US, timeout_s=20)
    assert node.receiver.flush()
    assert {receipt.sop_instance_uid for receipt in node.receipts} == {uid_of(path) for path in files[ONE]}


def test_a_series_is_got_over_the_association_that_asks_for_it(
    archive: tuple[scu.Peer, ReceivingNode], files: dict[SeriesUid, list[Path]]
) -> None:
    peer, node = archive
    get_series(peer, STUDY, ONE, node.receiver, WANTED, calling_ae_title=US, timeout_s=20)
    assert node.receiver.flush()
    assert {receipt.sop_instance_uid for receipt in node.receipts} == {uid_of(path) for path in files[ONE]}
    assert {receipt.calling_ae_title for receipt in node.receipts} == {"ARCHIVE"}
    assert {receipt.peer_address for receipt in node.receipts} == {"127.0.0.1"}
    path = files[ONE][0]
    assert pydicom.dcmread(path).PixelData in node.stored(uid_of(path))


@contextmanager
def _answering(sop_class: str, event: Any, handler: Handler) -> Iterator[scu.Peer]:
    """An archive that answers as the test says."""
    entity = AE(ae_title="ODD")
    entity.add_supported_context(sop_class)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(event, handler)])
    try:
        yield scu.Peer(name="odd", ae_title="ODD", host="127.0.0.1", port=server.server_address[1])
    finally:
        server.shutdown()


def _match(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_an_archive_that_does_not_count_is_asked_for_the_instances() -> None:
    def answer(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.QueryRetrieveLevel == "SERIES":
            yield 0xFF00, _match(SeriesInstanceUID=ONE, Modality="CT")
        else:
            assert event.identifier.SeriesInstanceUID == ONE
            yield from ((0xFF00, _match(SOPInstanceUID=a_uid())) for _ in range(7))

    with _answering(FIND, evt.EVT_C_FIND, answer) as peer:
        (count,) = count_series(peer, STUDY, calling_ae_title=US, timeout_s=20)
    assert count == SeriesCount(series_instance_uid=ONE, modality="CT", instance_count=7)


def test_series_without_a_legal_uid_are_passed_over() -> None:
    def answer(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, _match(Modality="CT", NumberOfSeriesRelatedInstances=4)
        yield 0xFF01, _match(SeriesInstanceUID=TWO, NumberOfSeriesRelatedInstances=5)

    with _answering(FIND, evt.EVT_C_FIND, answer) as peer:
        (count,) = count_series(peer, STUDY, calling_ae_title=US, timeout_s=20)
    assert (count.series_instance_uid, count.modality, count.instance_count) == (TWO, "", 5)


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0xFE00])
def test_a_query_that_fails_is_a_refusal(status: int) -> None:
    def answer(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield status, None

    with _answering(FIND, evt.EVT_C_FIND, answer) as peer, pytest.raises(PeerRefused, match=f"0x{status:04X}"):
        count_series(peer, STUDY, calling_ae_title=US, timeout_s=20)


def test_an_archive_that_goes_on_and_on_is_left_when_the_time_is_over() -> None:
    def answer(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        while not event.is_cancelled and event.assoc.is_established:
            time.sleep(0.02)
            yield 0xFF00, _match(SeriesInstanceUID=a_uid(), NumberOfSeriesRelatedInstances=1)

    with _answering(FIND, evt.EVT_C_FIND, answer) as peer, pytest.raises(PeerTimeout):
        count_series(peer, STUDY, calling_ae_title=US, timeout_s=0.5)


@pytest.mark.parametrize("act", ["find", "move", "get"])
def test_an_archive_that_knows_no_queries_refuses_the_context(tmp_path: Path, act: str) -> None:
    with receiving_node(tmp_path) as node, pytest.raises(PeerRefusedContext) as caught:
        if act == "find":
            count_series(node.peer, STUDY, calling_ae_title=US, timeout_s=20)
        elif act == "move":
            move_series(node.peer, STUDY, ONE, calling_ae_title=US, timeout_s=20)
        else:
            get_series(node.peer, STUDY, ONE, node.receiver, WANTED, calling_ae_title=US, timeout_s=20)
    assert isinstance(caught.value, NodeError)
    assert caught.value.sop_class_uid == {"find": FIND, "move": MOVE, "get": GET}[act]
