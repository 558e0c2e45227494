"""Receive: what is checked before an instance is durable, and what happens while the index cannot be written."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from pacs_node.archive.files import InstanceFiles
from pacs_node.domain.instance import Receipt, StoreOutcome, StoreRequest
from pacs_node.errors import DatabaseUnavailable, InstanceConflict, InstanceMismatch, InstanceUnreadable, StorageFailed
from pacs_node.steps.receive import Receiver
from tests.support.instances import a_request, an_instance, encoded

AT = datetime(2026, 3, 4, tzinfo=UTC)


class Index:
    """Keeps receipts; fails as often as the test says."""

    def __init__(self, failures: int = 0) -> None:
        self.groups: list[tuple[Receipt, ...]] = []
        self.failures = failures
        self.is_open = threading.Event()
        self.is_open.set()

    def record(self, receipts: tuple[Receipt, ...]) -> None:
        self.is_open.wait()
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable
        self.groups.append(receipts)

    @property
    def uids(self) -> list[str]:
        return [receipt.sop_instance_uid for group in self.groups for receipt in group]


@contextmanager
def a_receiver(root: Path, record: Callable[[tuple[Receipt, ...]], None]) -> Iterator[Receiver]:
    receiver = Receiver(InstanceFiles(root), record=record, now=lambda: AT)
    try:
        yield receiver
    finally:
        receiver.close(timeout_s=5)


def received(receiver: Receiver, dataset: Dataset, request: StoreRequest | None = None) -> StoreOutcome:
    draft = receiver.open(request or a_request(dataset))
    try:
        draft.write(encoded(dataset))
        return draft.commit()
    finally:
        draft.discard()


def files_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_an_instance_is_stored_and_indexed(tmp_path: Path) -> None:
    index, dataset = Index(), an_instance()
    with a_receiver(tmp_path, index.record) as receiver:
        assert received(receiver, dataset) is StoreOutcome.STORED
        assert receiver.flush()
    [receipt] = index.groups[0]
    assert (tmp_path / receipt.file_key).read_bytes().endswith(encoded(dataset))
    assert (receipt.study_instance_uid, receipt.series_instance_uid, receipt.received_at) == (
        dataset.StudyInstanceUID,
        dataset.SeriesInstanceUID,
        AT,
    )


def test_the_same_instance_again_is_told_again_as_it_was_received_first(tmp_path: Path) -> None:
    index, dataset = Index(), an_instance()
    with a_receiver(tmp_path, index.record) as receiver:
        outcomes = [received(receiver, dataset), received(receiver, dataset)]
    assert outcomes == [StoreOutcome.STORED, StoreOutcome.ALREADY_STORED]
    first, again = (receipt for group in index.groups for receipt in group)
    assert again == first


def test_an_instance_that_was_in_its_place_when_storing_it_failed_is_indexed_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender heard of the failure, and then of success."""
    index, dataset = Index(), an_instance()

    def failing(folder: Path) -> None:
        raise OSError(errno.EIO, "the folder cannot be synced")

    with a_receiver(tmp_path, index.record) as receiver:
        with monkeypatch.context() as patch:
            patch.setattr("pacs_node.archive.files.sync_folder", failing)
            with pytest.raises(StorageFailed):
                received(receiver, dataset)
        assert received(receiver, dataset) is StoreOutcome.ALREADY_STORED
    assert index.uids == [dataset.SOPInstanceUID]


def test_a_conflict_is_refused_and_not_indexed(tmp_path: Path) -> None:
    index, dataset = Index(), an_instance("1.2.3")
    with a_receiver(tmp_path, index.record) as receiver:
        received(receiver, dataset)
        with pytest.raises(InstanceConflict):
            received(receiver, an_instance("1.2.3", Rows=9))
    assert index.uids == ["1.2.3"]


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "1.2.3/4", "1..2", "1." + "2" * 63, "1.2\n", "1.2\x00"])
def test_an_illegal_instance_uid_is_refused_before_anything_is_written(tmp_path: Path, uid: str) -> None:
    with a_receiver(tmp_path, Index().record) as receiver, pytest.raises(InstanceMismatch):
        received(receiver, an_instance(), _request(sop_instance_uid=uid))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("field", ["sop_class_uid", "transfer_syntax_uid", "calling_ae_title"])
def test_an_illegal_announcement_is_refused_before_anything_is_written(tmp_path: Path, field: str) -> None:
    with a_receiver(tmp_path, Index().record) as receiver, pytest.raises(InstanceMismatch):
        received(receiver, an_instance(), _request(**{field: "a/../b\\"}))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SOPClassUID"])
def test_a_dataset_that_contradicts_its_command_is_refused(tmp_path: Path, keyword: str) -> None:
    index, dataset = Index(), an_instance()
    request = a_request(dataset)
    setattr(dataset, keyword, MRImageStorage)
    with a_receiver(tmp_path, index.record) as receiver, pytest.raises(InstanceMismatch):
        received(receiver, dataset, request)
    assert (files_in(tmp_path), index.groups) == ([], [])


@pytest.mark.parametrize("changes", [{"StudyInstanceUID": None}, {"SeriesInstanceUID": "1.2/3"}])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_dataset_without_study_or_series_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    index = Index()
    with a_receiver(tmp_path, index.record) as receiver, pytest.raises(InstanceUnreadable):
        received(receiver, an_instance(None, **changes))
    assert (files_in(tmp_path), index.groups) == ([], [])


def test_the_sender_does_not_wait_for_the_index(tmp_path: Path) -> None:
    index = Index()
    index.is_open.clear()
    with a_receiver(tmp_path, index.record) as receiver:
        outcomes = [received(receiver, an_instance()) for _ in range(5)]
        assert not receiver.flush(timeout_s=0.01)
        index.is_open.set()
        assert receiver.flush()
    assert outcomes == [StoreOutcome.STORED] * 5
    assert len(index.uids) == 5


def test_what_arrives_meanwhile_is_indexed_together(tmp_path: Path) -> None:
    index = Index()
    index.is_open.clear()
    with a_receiver(tmp_path, index.record) as receiver:
        for _ in range(20):
            received(receiver, an_instance())
        index.is_open.set()
        assert receiver.flush()
    assert len(index.uids) == 20
    assert len(index.groups) <= 2


def test_receipts_wait_in_their_order_until_the_index_is_back(tmp_path: Path) -> None:
    index, uids = Index(failures=1), [f"1.2.{number}" for number in range(10)]
    with a_receiver(tmp_path, index.record) as receiver:
        for uid in uids:
            received(receiver, an_instance(uid))
        assert receiver.flush(timeout_s=5)
    assert index.uids == uids


def test_receipts_that_were_forgotten_are_told_by_the_files_once_the_index_is_back(tmp_path: Path) -> None:
    files, index, told = InstanceFiles(tmp_path), Index(failures=1), Index(failures=1)

    def catch_up() -> None:
        told.record(tuple(files.read_receipt(key) for key in files.scan()))

    index.is_open.clear()
    receiver = Receiver(files, record=index.record, now=lambda: AT, catch_up=catch_up, most_waiting=3)
    outcomes = [received(receiver, an_instance(f"1.2.{number}")) for number in range(5)]
    assert not receiver.flush(timeout_s=0.01)
    index.is_open.set()
    assert receiver.flush(timeout_s=10)
    receiver.close()
    assert outcomes == [StoreOutcome.STORED] * 5
    assert index.uids == ["1.2.0", "1.2.1", "1.2.2"]
    assert sorted(told.uids) == [f"1.2.{number}" for number in range(5)]
    assert told.failures == 0


def test_files_are_not_asked_while_nothing_was_forgotten(tmp_path: Path) -> None:
    asked: list[None] = []
    index = Index(failures=1)
    receiver = Receiver(
        InstanceFiles(tmp_path), record=index.record, now=lambda: AT, catch_up=lambda: asked.append(None)
    )
    received(receiver, an_instance())
    assert receiver.flush(timeout_s=10)
    receiver.close()
    assert asked == []


def test_an_index_that_stays_away_does_not_hold_up_the_end(tmp_path: Path) -> None:
    index = Index(failures=1000)
    receiver = Receiver(InstanceFiles(tmp_path), record=index.record, now=lambda: AT)
    received(receiver, an_instance())
    receiver.close(timeout_s=0.05)
    files = InstanceFiles(tmp_path)
    assert len([files.read_receipt(key) for key in files.scan()]) == 1


def _request(**changes: str) -> StoreRequest:
    values = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": "1.2.3",
        "transfer_syntax_uid": str(ExplicitVRLittleEndian),
        "calling_ae_title": "CT1",
        "called_ae_title": "PULMONODE",
        "peer_address": "192.0.2.7",
    }
    return StoreRequest(**{**values, **changes})
