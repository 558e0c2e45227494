"""The only table from an error to the status of a C-STORE response, and what a peer's status means to us."""

from __future__ import annotations

from pacs_node.errors import (
    InstanceConflict,
    InstanceMismatch,
    InstanceUnreadable,
    StorageFailed,
    StorageFull,
)

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
"""PS3.7 section C.5.21; also for what nobody expected."""

_OF_ERROR: tuple[tuple[type[Exception], int], ...] = (
    (StorageFull, 0xA700),  # PS3.4 table B.2-1: Refused, out of resources
    (InstanceMismatch, 0xA900),  # PS3.4 table B.2-1: Error, data set does not match SOP Class
    (InstanceUnreadable, 0xC000),  # PS3.4 table B.2-1: Error, cannot understand
    (InstanceConflict, 0x0111),  # PS3.7 section C.5.9: duplicate SOP Instance
    (StorageFailed, PROCESSING_FAILURE),
)

_DELIVERED = {
    SUCCESS,
    0x0001,  # PS3.7 section C.4: warning
    0x0107,  # PS3.7 section C.4: warning, attribute list error
    0x0116,  # PS3.7 section C.4: warning, attribute value out of range
    0x0111,  # the peer has this instance already
}
_TRY_AGAIN = {
    PROCESSING_FAILURE,
    0x0122,  # PS3.7 section C.5.6: SOP Class not supported; peers say so while they are being set up
    0x0124,  # PS3.7 section C.5: not authorised; the same
    0x0213,  # PS3.7 section C.5.22: resource limitation
}


def status_of(error: Exception) -> int:
    """What to answer to a C-STORE that ended with this error."""
    return next((status for kind, status in _OF_ERROR if isinstance(error, kind)), PROCESSING_FAILURE)


def is_delivered(status: int) -> bool:
    """Whether the peer holds the instance now: success, a warning (0xB000 to 0xBFFF), or it had it before."""
    return status in _DELIVERED or 0xB000 <= status <= 0xBFFF


def is_retryable(status: int) -> bool:
    """Whether the same instance may be taken later: out of resources (0xA7xx) and other states of the peer."""
    return status in _TRY_AGAIN or 0xA700 <= status <= 0xA7FF
