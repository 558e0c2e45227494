"""An instance on its way in: what the sender announced, and what was stored.

`dimse` announces, `steps.receive` decides and stores, `archive` keeps; this is what they hand to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyUid


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """A C-STORE request and the association it came on; UIDs and AE titles as received, not yet checked."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An instance that is durable on disk.

    Parameters
    ----------
    file_key : where it lies, relative to the archive; made by `archive.files` from hashes only
    content_hash : of the dataset as received, without the file meta information; names its algorithm
    received_at : UTC, aware
    """

    study_instance_uid: StudyUid
    series_instance_uid: SeriesUid
    sop_instance_uid: InstanceUid
    sop_class_uid: str
    transfer_syntax_uid: str
    file_key: str
    size_bytes: int
    content_hash: str
    calling_ae_title: str
    peer_address: str
    received_at: datetime


class StoreOutcome(StrEnum):
    """How a C-STORE ended well; failures are errors."""

    STORED = "stored"
    ALREADY_STORED = "already-stored"


class Draft(Protocol):
    """One dataset while it is being received."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the dataset; raises StorageFull or StorageFailed."""
        ...

    def commit(self) -> StoreOutcome:
        """Make it durable.

        Raises
        ------
        InstanceConflict, InstanceMismatch, InstanceUnreadable : it is refused
        StorageFull, StorageFailed : it could not be written
        """
        ...

    def discard(self) -> None:
        """Forget it (abort, cancel, error); harmless after commit."""
        ...


class Inbox(Protocol):
    """Where `dimse.scp` puts what it receives."""

    def open(self, request: StoreRequest) -> Draft:
        """Begin one dataset; raises InstanceMismatch for illegal UIDs, StorageFull at the watermark of the disk."""
        ...
