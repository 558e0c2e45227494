"""The status of every error, and what peers' statuses mean: PS3.4 table B.2-1, PS3.7 annex C."""

from __future__ import annotations

import pytest

from pacs_node.dimse.status import status_of
from pacs_node.domain.status import is_delivered, is_retryable
from pacs_node.errors import (
    InstanceConflict,
    InstanceMismatch,
    InstanceTooLarge,
    InstanceUnreadable,
    StorageFailed,
    StorageFull,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFull(), 0xA700),
        (InstanceMismatch(), 0xA900),
        (InstanceUnreadable(), 0xC000),
        (InstanceTooLarge(), 0xC001),
        (InstanceConflict(), 0x0111),
        (StorageFailed(), 0x0110),
        (RuntimeError(), 0x0110),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("status", "delivered", "retryable"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB007, True, False),
        (0xBFFF, True, False),
        (0x0107, True, False),
        (0x0111, True, False),
        (0xA700, False, True),
        (0xA7FF, False, True),
        (0x0110, False, True),
        (0x0122, False, False),
        (0x0213, False, True),
        (0xA900, False, False),
        (0xC000, False, False),
        (0xFFFF, False, False),
    ],
)
def test_a_status_is_delivered_retryable_or_final(status: int, delivered: bool, retryable: bool) -> None:
    assert (is_delivered(status), is_retryable(status)) == (delivered, retryable)
