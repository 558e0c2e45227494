"""Received instances and own results on disk. Names come from hashes and from ourselves, never from the network.

    <root>/instances/ab/cdef....dcm    what was received; the name is the SHA-256 of the SOP Instance UID
    <root>/conflicts/abcdef...-0123....dcm    refused: that UID is stored with another content, whose hash this is
    <root>/results/ab/<name>           what we composed
    <root>/incoming/<process>/...      drafts; those of dead processes are removed

An instance is durable once `FileDraft.commit` returns: file synced, renamed to its place (never over another), folder
synced. A stored instance never changes; only one that is about to be deleted, and comes again, is replaced by itself.
Called from `steps`; several processes may use one root.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pacs_node.archive import part10
from pacs_node.archive.content_hash import Hasher, digits, hash_of
from pacs_node.archive.direct import DirectFile
from pacs_node.archive.durable import (
    Workspace,
    locked,
    make_folder,
    make_folders,
    rename_new,
    sync_folder,
    translated,
    write_all,
)
from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyUid
from pacs_node.domain.instance import Receipt, StoreOutcome, StoreRequest
from pacs_node.domain.retention import DiskUse
from pacs_node.errors import InstanceConflict, InstanceUnreadable, NotFound, StorageFailed, StorageFull

_INSTANCE_KEY = re.compile(r"instances/[0-9a-f]{2}/[0-9a-f]{62}\.dcm")
_RESULT_KEY = re.compile(r"results/[0-9a-f]{2}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OPEN_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o640
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """A file of our own on disk."""

    file_key: str
    size_bytes: int
    written_at: datetime


class InstanceFiles:
    """The files of the archive.

    Parameters
    ----------
    root : created when first needed
    minimum_free_bytes : no draft is opened while the file system has less room
    """

    def __init__(self, root: Path, *, minimum_free_bytes: int = 0) -> None:
        self._root = root
        self._minimum_free_bytes = minimum_free_bytes
        self._workspace = Workspace(root / "incoming")
        self._is_prepared = False

    def clean(self) -> None:
        """Remove the drafts of processes that have died; raises StorageFailed."""
        with translated():
            self._workspace.clean()

    def draft(self, request: StoreRequest) -> FileDraft:
        """Begin an instance.

        Raises
        ------
        StorageFull : there is less room than the minimum
        StorageFailed : the file cannot be created
        """
        with translated():
            path = self._workspace.new_path()
            if not self._is_prepared:
                make_folders(self._root / "instances", [f"{number:02x}" for number in range(256)])
                self._is_prepared = True
            room = os.statvfs(self._root)
            if room.f_bavail * room.f_frsize < self._minimum_free_bytes:
                raise StorageFull
            return FileDraft(self._root, path, request)

    def path(self, file_key: str) -> Path:
        """The file of an instance or a result; raises NotFound if the key is not one that we make."""
        if not (_INSTANCE_KEY.fullmatch(file_key) or _RESULT_KEY.fullmatch(file_key)):
            raise NotFound("this is not the key of a stored file")
        return self._root / file_key

    def scan(self) -> Iterator[str]:
        """The keys of all stored instances."""
        for folder in sorted((self._root / "instances").glob("*")):
            for file in sorted(folder.glob("*.dcm")):
                yield f"instances/{folder.name}/{file.name}"

    def read_receipt(self, file_key: str) -> Receipt:
        """What was recorded when the instance was received.

        Raises
        ------
        NotFound : there is no such file
        InstanceUnreadable : it is damaged
        StorageFailed : it cannot be read
        """
        return _read_receipt(self._root, self.path(file_key))

    def find_receipt(self, sop_instance_uid: str) -> Receipt | None:
        """What was recorded when this instance was received; None if it is not there, or damaged.

        Raises
        ------
        StorageFailed : it cannot be read
        """
        try:
            return self.read_receipt(_key_of(sop_instance_uid))
        except (NotFound, InstanceUnreadable):
            return None

    def is_intact(self, file_key: str, content_hash: str) -> bool:
        """Whether an instance's dataset, as it lies on disk now, has this hash; raises as `read_receipt`."""
        path = self.path(file_key)
        receipt = _read_receipt(self._root, path)
        with translated(), path.open("rb") as file:
            file.seek(-receipt.size_bytes, os.SEEK_END)
            return hash_of(iter(partial(file.read, _PIECE_BYTES), b""), like=content_hash) == content_hash

    def store_result(self, name: str, content: bytes) -> str:
        """Store a file of our own durably, in place of one with the same name.

        Parameters
        ----------
        name : letters, digits, '.', '_' and '-'; at most 100 characters

        Returns
        -------
        its file key

        Raises
        ------
        StorageFull, StorageFailed
        """
        file_key = f"results/{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}"
        target = self.path(file_key)
        with translated():
            draft = self._workspace.new_path()
            try:
                make_folder(target.parent)
                _write_synced(draft, content)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(target.parent)
        return file_key

    def results(self) -> Iterator[ResultFile]:
        """All files of our own; raises StorageFailed."""
        with translated():
            for file in sorted((self._root / "results").glob("*/*")):
                with suppress(FileNotFoundError):
                    status = file.stat()
                    yield ResultFile(
                        file_key=file.relative_to(self._root).as_posix(),
                        size_bytes=status.st_size,
                        written_at=datetime.fromtimestamp(status.st_mtime, UTC),
                    )

    def size_bytes(self, file_key: str) -> int:
        """The length of a file, 0 if it is gone; raises StorageFailed."""
        with translated(), suppress(FileNotFoundError):
            return self.path(file_key).stat().st_size
        return 0

    def disk_use(self) -> DiskUse:
        """How full the file system is; raises StorageFailed."""
        with translated():
            room = os.statvfs(self._root)
        used = room.f_blocks - room.f_bfree
        return DiskUse(used_bytes=used * room.f_frsize, available_bytes=room.f_bavail * room.f_frsize)

    def remove(self, file_key: str) -> None:
        """Remove a file; nothing if it is gone. Raises StorageFailed."""
        with translated():
            self.path(file_key).unlink(missing_ok=True)

    def remove_received(self, receipts: Iterable[tuple[str, datetime]]) -> None:
        """Remove instances durably, each by its key and when it was received; nothing of those that are gone.

        What has come again under the same key is another receipt, and stays. Nobody else removes meanwhile, and nobody
        ever writes over an instance, so what is looked at is what is removed.

        Raises
        ------
        StorageFailed
        """
        folders = set()
        with translated(), locked(self._root / "instances"):
            for file_key, received_at in receipts:
                path = self.path(file_key)
                folders.add(path.parent)  # also of those that are gone: whoever removed them may not have come to this
                if _is_of(self._root, path, received_at):
                    path.unlink()
            for folder in sorted(folders):
                sync_folder(folder)


class FileDraft:
    """One dataset on its way to the disk. Made by `InstanceFiles.draft`; ends with `commit` or `discard`."""

    def __init__(self, root: Path, path: Path, request: StoreRequest) -> None:
        self._root = root
        self._path = path
        self._request = request
        self._hasher = Hasher()
        self._file = DirectFile(path)
        head = part10.head(request)
        self._head_bytes = len(head)
        self._file.write(head)
        self._is_draft = True

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the dataset; raises StorageFull or StorageFailed."""
        with translated():
            self._file.write(chunk)
        self._hasher.update(chunk)

    @contextmanager
    def dataset(self) -> Iterator[memoryview]:
        """The dataset written so far, to look at; raises StorageFull or StorageFailed."""
        with translated(), self._file.view(self._head_bytes) as view:
            yield view

    def commit(
        self,
        study_instance_uid: StudyUid,
        series_instance_uid: SeriesUid,
        received_at: datetime,
        is_leaving: Callable[[Receipt], bool] = lambda stored: False,
    ) -> tuple[StoreOutcome, Receipt]:
        """Make the dataset durable in its place.

        Parameters
        ----------
        is_leaving : asked about an instance that is stored already: whether its file is about to be removed, so that
            this one has to take its place; it may raise NodeError

        Returns
        -------
        the outcome, and the receipt of what is stored now

        Raises
        ------
        InstanceConflict : other content is stored under this UID; this one lies in `conflicts` now
        StorageFull, StorageFailed : it could not be written
        """
        receipt = self._receipt(study_instance_uid, series_instance_uid, received_at)
        target = self._root / receipt.file_key
        try:
            with translated():
                return self._placed(receipt, target, is_leaving)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written; harmless after commit."""
        self._file.close()
        if self._is_draft:
            self._is_draft = False
            with suppress(OSError):  # left over, it is removed with the workspace
                self._path.unlink(missing_ok=True)

    def _placed(
        self, receipt: Receipt, target: Path, is_leaving: Callable[[Receipt], bool]
    ) -> tuple[StoreOutcome, Receipt]:
        self._file.overwrite(self._head_bytes - part10.NOTE_BYTES, part10.note(receipt))
        if not target.exists():
            self._file.sync()
            with suppress(FileExistsError):
                rename_new(self._path, target)
                self._is_draft = False
                sync_folder(target.parent)
                return StoreOutcome.STORED, receipt
        sync_folder(target.parent)  # whoever stored it may not have come to this yet
        try:
            stored = _read_receipt(self._root, target)
        except NotFound:  # it has just been removed
            return self._placed(receipt, target, is_leaving)
        except InstanceUnreadable as error:
            raise StorageFailed("the stored instance with this UID is damaged") from error
        if stored.transfer_syntax_uid != receipt.transfer_syntax_uid or not self._has(stored.content_hash):
            self._keep_aside(receipt, target)
            raise InstanceConflict(stored_hash=stored.content_hash, refused_hash=receipt.content_hash)
        if not is_leaving(stored):
            return StoreOutcome.ALREADY_STORED, stored
        with locked(self._root / "instances"):  # nobody removes it meanwhile
            if _is_of(self._root, target, stored.received_at):
                self._file.sync()
                self._path.replace(target)
                sync_folder(target.parent)
                return StoreOutcome.STORED, receipt
        return self._placed(receipt, target, is_leaving)

    def _has(self, content_hash: str) -> bool:
        """Whether the dataset has a hash, which may be of the older kind."""
        if self._hasher.value() == content_hash:
            return True
        with self._file.view(self._head_bytes) as dataset:
            return hash_of([dataset], like=content_hash) == content_hash

    def _keep_aside(self, receipt: Receipt, target: Path) -> None:
        folder = self._root / "conflicts"
        make_folder(folder)
        self._file.sync()
        self._path.replace(folder / f"{target.parent.name}{target.stem}-{digits(receipt.content_hash)}.dcm")
        sync_folder(folder)

    def _receipt(self, study: StudyUid, series: SeriesUid, received_at: datetime) -> Receipt:
        return Receipt(
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=InstanceUid(self._request.sop_instance_uid),
            sop_class_uid=self._request.sop_class_uid,
            transfer_syntax_uid=self._request.transfer_syntax_uid,
            file_key=_key_of(self._request.sop_instance_uid),
            size_bytes=self._file.size_bytes - self._head_bytes,
            content_hash=self._hasher.value(),
            calling_ae_title=self._request.calling_ae_title,
            peer_address=self._request.peer_address,
            received_at=received_at,
        )


def _key_of(sop_instance_uid: str) -> str:
    digest = hashlib.sha256(sop_instance_uid.encode()).hexdigest()
    return f"instances/{digest[:2]}/{digest[2:]}.dcm"


def _is_of(root: Path, path: Path, received_at: datetime) -> bool:
    try:
        return _read_receipt(root, path).received_at == received_at
    except NotFound:
        return False
    except InstanceUnreadable:
        return True  # damaged since it was received; what has just come is not


def _read_receipt(root: Path, path: Path) -> Receipt:
    try:
        with path.open("rb", buffering=0) as file:
            start, file_bytes = file.read(part10.HEAD_BYTES), os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise NotFound("there is no such stored file") from error
    except OSError as error:
        raise StorageFailed from error
    return part10.read_receipt(start, path.relative_to(root).as_posix(), file_bytes)


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _OPEN_NEW, _MODE)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
