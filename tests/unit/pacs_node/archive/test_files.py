"""What lies on disk after a commit, a duplicate, a conflict, a full disk and a crash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
)

from pacs_node.archive import durable, part10
from pacs_node.archive.durable import Workspace, rename_new, translated
from pacs_node.archive.files import InstanceFiles
from pacs_node.domain.identifiers import SeriesUid, StudyUid
from pacs_node.domain.instance import Receipt, StoreOutcome, StoreRequest
from pacs_node.errors import InstanceConflict, InstanceUnreadable, NotFound, StorageFailed, StorageFull
from tests.support.instances import SERIES_UID, STUDY_UID, a_request, an_instance, encoded, hash_of

CT, MR, EXPLICIT, JPEG = CTImageStorage, MRImageStorage, ExplicitVRLittleEndian, JPEGLSLossless
AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def stored(files: InstanceFiles, request: StoreRequest, content: bytes) -> tuple[StoreOutcome, Receipt]:
    """Write in two pieces and commit."""
    draft = files.draft(request)
    draft.write(content[:100])
    draft.write(memoryview(content)[100:])
    return draft.commit(StudyUid(STUDY_UID), SeriesUid(SERIES_UID), AT)


def as_older_nodes_did(path: Path, content: bytes) -> None:
    """Put the hash into the note of a stored file that nodes wrote before it named its algorithm."""
    file = path.read_bytes()
    start = part10.head_length(file) - part10.NOTE_BYTES
    values = json.loads(file[start : start + part10.NOTE_BYTES])
    del values["content_hash"]
    note = json.dumps({**values, "sha256": hashlib.sha256(content).hexdigest()}).encode().ljust(part10.NOTE_BYTES)
    path.chmod(0o600)
    path.write_bytes(file[:start] + note + file[start + part10.NOTE_BYTES :])


def everything(root: Path) -> dict[str, bytes]:
    """All files below the root with their contents."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_stored_instance_is_a_dicom_file_with_the_dataset_as_received(tmp_path: Path) -> None:
    dataset = an_instance()
    content = encoded(dataset, JPEGLSLossless)
    outcome, receipt = stored(InstanceFiles(tmp_path), a_request(dataset, JPEGLSLossless), content)
    file = (tmp_path / receipt.file_key).read_bytes()
    read = pydicom.dcmread(tmp_path / receipt.file_key)
    assert outcome is StoreOutcome.STORED
    assert file[:132] == bytes(128) + b"DICM"
    assert file[132 + 12 + read.file_meta.FileMetaInformationGroupLength :] == content
    assert read.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID == dataset.SOPInstanceUID
    assert read.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert read.file_meta.SourceApplicationEntityTitle == "CT1"


def test_every_file_names_its_own_sender_class_and_syntax(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    for number, (sender, sop_class, syntax) in enumerate(2 * list(product(("CT1", "CT2"), (CT, MR), (EXPLICIT, JPEG)))):
        request = replace(
            a_request(an_instance(f"1.2.{number}"), syntax), calling_ae_title=sender, sop_class_uid=sop_class
        )
        _, receipt = stored(files, request, encoded(an_instance(f"1.2.{number}")))
        meta = pydicom.filereader.read_file_meta_info(tmp_path / receipt.file_key)
        assert (meta.SourceApplicationEntityTitle, meta.MediaStorageSOPClassUID) == (sender, sop_class)
        assert (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID) == (syntax, f"1.2.{number}")
        assert files.read_receipt(receipt.file_key) == receipt


def test_a_file_is_named_by_the_hash_of_its_uid(tmp_path: Path) -> None:
    request = a_request(an_instance("1.2.3"))
    digest = hashlib.sha256(b"1.2.3").hexdigest()
    _, receipt = stored(InstanceFiles(tmp_path), request, b"x" * 200)
    assert receipt.file_key == f"instances/{digest[:2]}/{digest[2:]}.dcm"
    assert list(everything(tmp_path)) == [receipt.file_key]


def test_the_receipt_says_what_was_received_and_can_be_read_again(tmp_path: Path) -> None:
    request = a_request(an_instance("1.2.3"), DeflatedExplicitVRLittleEndian)
    _, receipt = stored(InstanceFiles(tmp_path), request, b"x" * 201)
    assert (receipt.size_bytes, receipt.content_hash) == (201, hash_of(b"x" * 201))
    assert (receipt.study_instance_uid, receipt.series_instance_uid) == (STUDY_UID, SERIES_UID)
    assert (receipt.calling_ae_title, receipt.peer_address, receipt.received_at) == ("CT1", "192.0.2.7", AT)
    another = InstanceFiles(tmp_path)
    assert [another.read_receipt(key) for key in another.scan()] == [receipt]


def test_the_dataset_can_be_looked_at_before_commit(tmp_path: Path) -> None:
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))
    with draft.dataset() as nothing:
        assert bytes(nothing) == b""
    draft.write(b"abc")
    draft.write(b"def")
    with draft.dataset() as content:
        assert bytes(content) == b"abcdef"
    draft.discard()


def test_the_same_instance_again_changes_nothing(tmp_path: Path) -> None:
    files, request = InstanceFiles(tmp_path), a_request(an_instance())
    _, first = stored(files, request, b"x" * 200)
    before, inode = everything(tmp_path), (tmp_path / first.file_key).stat().st_ino
    outcome, second = stored(files, request, b"x" * 200)
    assert (outcome, second) == (StoreOutcome.ALREADY_STORED, first)
    assert everything(tmp_path) == before
    assert (tmp_path / first.file_key).stat().st_ino == inode


def test_other_content_under_the_same_uid_is_kept_aside(tmp_path: Path) -> None:
    files, request = InstanceFiles(tmp_path), a_request(an_instance("1.2.3"))
    _, receipt = stored(files, request, b"x" * 200)
    before = everything(tmp_path)
    hashes = [hash_of(content) for content in (b"x" * 200, b"y" * 200)]
    with pytest.raises(InstanceConflict) as conflict:
        stored(files, request, b"y" * 200)
    assert [conflict.value.stored_hash, conflict.value.refused_hash] == hashes
    after = everything(tmp_path)
    aside = f"conflicts/{hashlib.sha256(b'1.2.3').hexdigest()}-{hashes[1].removeprefix('blake3:')}.dcm"
    assert after.pop(aside).endswith(b"y" * 200)
    assert after == before
    assert list(files.scan()) == [receipt.file_key]


@pytest.mark.parametrize("size_bytes", [200, (1 << 20) + 200], ids=["in memory", "longer than a buffer"])
def test_what_an_older_node_stored_is_known_when_it_comes_again(tmp_path: Path, size_bytes: int) -> None:
    files, request, content = InstanceFiles(tmp_path), a_request(an_instance()), b"x" * size_bytes
    _, receipt = stored(files, request, content)
    as_older_nodes_did(tmp_path / receipt.file_key, content)
    before = everything(tmp_path)
    outcome, again = stored(files, request, content)
    assert (outcome, again) == (StoreOutcome.ALREADY_STORED, files.read_receipt(receipt.file_key))
    assert again.content_hash == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert everything(tmp_path) == before


def test_other_content_than_an_older_node_stored_is_refused(tmp_path: Path) -> None:
    files, request = InstanceFiles(tmp_path), a_request(an_instance())
    _, receipt = stored(files, request, b"x" * 200)
    as_older_nodes_did(tmp_path / receipt.file_key, b"x" * 200)
    with pytest.raises(InstanceConflict) as conflict:
        stored(files, request, b"y" * 200)
    hashes = [f"sha256:{hashlib.sha256(b'x' * 200).hexdigest()}", hash_of(b"y" * 200)]
    assert [conflict.value.stored_hash, conflict.value.refused_hash] == hashes
    assert (tmp_path / receipt.file_key).read_bytes().endswith(b"x" * 200)


@pytest.mark.parametrize("is_older", [False, True])
def test_one_changed_bit_is_seen_by_the_hash(tmp_path: Path, is_older: bool) -> None:
    files, content = InstanceFiles(tmp_path), bytes(3 << 20)
    _, receipt = stored(files, a_request(an_instance()), content)
    path = tmp_path / receipt.file_key
    if is_older:
        as_older_nodes_did(path, content)
    content_hash = files.read_receipt(receipt.file_key).content_hash
    assert files.is_intact(receipt.file_key, content_hash)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert not files.is_intact(receipt.file_key, content_hash)


def test_a_hash_of_an_unknown_kind_is_no_note_of_ours(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    _, receipt = stored(files, a_request(an_instance()), b"x" * 200)
    path = tmp_path / receipt.file_key
    path.write_bytes(path.read_bytes().replace(b"blake3:", b"blake4:"))
    with pytest.raises(InstanceUnreadable):
        files.read_receipt(receipt.file_key)


def test_the_same_bytes_in_another_transfer_syntax_are_other_content(tmp_path: Path) -> None:
    files, dataset = InstanceFiles(tmp_path), an_instance()
    stored(files, a_request(dataset, ExplicitVRLittleEndian), b"x" * 200)
    with pytest.raises(InstanceConflict):
        stored(files, a_request(dataset, JPEGLSLossless), b"x" * 200)


def test_of_many_at_once_one_is_stored(tmp_path: Path) -> None:
    files, request = [InstanceFiles(tmp_path), InstanceFiles(tmp_path)], a_request(an_instance())
    outcomes: list[StoreOutcome] = []
    start = threading.Barrier(8)

    def send(number: int) -> None:
        draft = files[number % 2].draft(request)
        draft.write(b"x" * 200)
        start.wait()
        outcomes.append(draft.commit(StudyUid(STUDY_UID), SeriesUid(SERIES_UID), AT)[0])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [StoreOutcome.ALREADY_STORED] * 7 + [StoreOutcome.STORED]
    assert len(everything(tmp_path)) == 1


def test_a_discarded_draft_leaves_nothing(tmp_path: Path) -> None:
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))
    draft.write(b"abc")
    draft.discard()
    draft.discard()
    assert everything(tmp_path) == {}


def test_nothing_is_begun_below_the_watermark(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        InstanceFiles(tmp_path, minimum_free_bytes=1 << 62).draft(a_request(an_instance()))
    assert everything(tmp_path) == {}


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system is told to be full where a commit syncs."""
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))
    draft.write(b"x" * 200)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(os, "fsync", full)
        draft.commit(StudyUid(STUDY_UID), SeriesUid(SERIES_UID), AT)
    assert everything(tmp_path) == {}


def test_a_disk_that_is_full_when_the_dataset_is_looked_at_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into the buffer is written first."""
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))
    draft.write(b"x" * ((1 << 20) + 200))

    def full(descriptor: int, content: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(os, "write", full)
        with draft.dataset():
            pass
    draft.discard()
    assert everything(tmp_path) == {}


def test_a_disk_that_is_full_while_the_dataset_comes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))

    def full(descriptor: int, content: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(os, "write", full)
        draft.write(b"x" * ((1 << 20) + 200))
    draft.discard()
    assert everything(tmp_path) == {}


def test_a_draft_that_has_its_place_is_discarded_without_harm(tmp_path: Path) -> None:
    draft = InstanceFiles(tmp_path).draft(a_request(an_instance()))
    draft.write(b"x" * 200)
    _, receipt = draft.commit(StudyUid(STUDY_UID), SeriesUid(SERIES_UID), AT)
    draft.discard()
    assert list(everything(tmp_path)) == [receipt.file_key]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EIO, StorageFailed),
        (errno.EROFS, StorageFailed),
    ],
)
def test_errors_of_the_disk_are_full_or_failed(number: int, expected: type[Exception]) -> None:
    with pytest.raises(expected), translated():
        raise OSError(number, os.strerror(number))


def test_a_name_that_is_taken_is_no_failure_of_the_disk() -> None:
    with pytest.raises(FileExistsError), translated():
        raise FileExistsError(errno.EEXIST, "taken")


def test_drafts_of_dead_processes_are_removed_and_those_of_live_ones_are_not(tmp_path: Path) -> None:
    dead = tmp_path / "incoming" / "4711-abcdef"
    dead.mkdir(parents=True)
    (dead / "draft").write_bytes(b"x")
    living = InstanceFiles(tmp_path)
    draft = living.draft(a_request(an_instance()))
    draft.write(b"x" * 200)
    InstanceFiles(tmp_path).clean()
    assert not dead.exists()
    assert draft.commit(StudyUid(STUDY_UID), SeriesUid(SERIES_UID), AT)[0] is StoreOutcome.STORED


def test_a_file_that_lost_its_end_is_not_indexed(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    _, receipt = stored(files, a_request(an_instance()), b"x" * 200)
    os.truncate(tmp_path / receipt.file_key, 1300)
    with pytest.raises(InstanceUnreadable):
        files.read_receipt(receipt.file_key)


@pytest.mark.parametrize("content", [b"", b"x" * 3000, bytes(128) + b"DICM", bytes(128) + b"DICM" + bytes(3000)])
def test_a_file_that_is_not_ours_is_not_indexed(tmp_path: Path, content: bytes) -> None:
    files = InstanceFiles(tmp_path)
    key = f"instances/ab/{'c' * 62}.dcm"
    (tmp_path / key).parent.mkdir(parents=True)
    (tmp_path / key).write_bytes(content)
    assert list(files.scan()) == [key]
    with pytest.raises(InstanceUnreadable):
        files.read_receipt(key)


def test_a_damaged_instance_is_neither_confirmed_nor_overwritten(tmp_path: Path) -> None:
    files, request = InstanceFiles(tmp_path), a_request(an_instance())
    _, receipt = stored(files, request, b"x" * 200)
    os.truncate(tmp_path / receipt.file_key, 1300)
    before = everything(tmp_path)
    with pytest.raises(StorageFailed):
        stored(files, request, b"x" * 200)
    assert everything(tmp_path) == before


def test_the_longest_receipt_fits_into_its_note(tmp_path: Path) -> None:
    uid = "1." + "2" * 62
    request = StoreRequest(
        sop_class_uid=uid,
        sop_instance_uid=uid,
        transfer_syntax_uid=uid,
        calling_ae_title='"' * 16,
        called_ae_title="PULMONODE",
        peer_address="f" * 64,
    )
    files = InstanceFiles(tmp_path)
    draft = files.draft(request)
    draft.write(b"x" * 200)
    _, receipt = draft.commit(StudyUid(uid), SeriesUid(uid), AT)
    assert len(part10.note(receipt)) == part10.NOTE_BYTES
    assert files.read_receipt(receipt.file_key) == receipt


@pytest.mark.parametrize(
    "key",
    [
        "../secret",
        "/etc/passwd",
        "instances/ab/../../secret.dcm",
        f"instances/ab/{'C' * 62}.dcm",
        "results/ab/../x",
        "results/ab/.hidden",
        "results/ab/a/b",
        "results/ab/a\n",
        "",
    ],
)
def test_a_key_that_we_do_not_make_is_not_a_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(NotFound):
        InstanceFiles(tmp_path).path(key)


def test_a_result_is_stored_again_in_place_of_itself(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    key = files.store_result("job-7-seg.dcm", b"first")
    assert files.store_result("job-7-seg.dcm", b"second") == key
    assert everything(tmp_path) == {key: b"second"}
    assert files.path(key).read_bytes() == b"second"


@pytest.mark.parametrize("name", ["", ".x", "../x", "a/b", "a b", "x" * 101])
def test_a_result_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        InstanceFiles(tmp_path).store_result(name, b"x")


def test_a_removed_file_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    key = files.store_result("x", b"x")
    files.remove(key)
    files.remove(key)
    assert everything(tmp_path) == {}
    with pytest.raises(NotFound):
        files.read_receipt(f"instances/ab/{'c' * 62}.dcm")


def test_an_empty_archive_has_no_instances(tmp_path: Path) -> None:
    assert list(InstanceFiles(tmp_path / "nothing").scan()) == []


def test_a_rename_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "a", tmp_path / "b")
    rename_new(tmp_path / "a", tmp_path / "c")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"b": "b", "c": "a"}


def test_a_rename_never_replaces_a_file_where_the_kernel_cannot_promise_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_renameat2", lambda source, target: errno.EINVAL)  # as on NFS
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "a", tmp_path / "b")
    rename_new(tmp_path / "a", tmp_path / "c")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"b": "b", "c": "a"}


def test_a_workspace_gives_every_draft_a_path_of_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "incoming")
    paths = {workspace.new_path() for _ in range(100)}
    assert len(paths) == 100
    assert len({path.parent for path in paths}) == 1
