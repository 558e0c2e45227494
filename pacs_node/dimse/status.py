"""The only table from an error to the status of a C-STORE response; what a peer's means is in `domain.status`."""

from __future__ import annotations

from pacs_node.errors import (
    InstanceConflict,
    InstanceMismatch,
    InstanceTooLarge,
    InstanceUnreadable,
    StorageFailed,
    StorageFull,
)

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
"""PS3.7 section C.5.21; also for what nobody expected."""

OF_ERROR: tuple[tuple[type[Exception], int], ...] = (
    (StorageFull, 0xA700),  # PS3.4 table B.2-1: Refused, out of resources
    (InstanceMismatch, 0xA900),  # PS3.4 table B.2-1: Error, data set does not match SOP Class
    (InstanceUnreadable, 0xC000),  # PS3.4 table B.2-1: Error, cannot understand
    (InstanceTooLarge, 0xC001),  # of the same range; 0xA700 would be sent again and again
    (InstanceConflict, 0x0111),  # PS3.7 section C.5.9: duplicate SOP Instance
    (StorageFailed, PROCESSING_FAILURE),
)


def status_of(error: Exception) -> int:
    """What to answer to a C-STORE that ended with this error."""
    return next((status for kind, status in OF_ERROR if isinstance(error, kind)), PROCESSING_FAILURE)
