"""Command sets of C-STORE and C-ECHO, to bytes and back. Other commands are the library's.

References: PS3.7 section 6.3 (encoding, always Implicit VR Little Endian), sections 9.3.1 and 9.3.5, annex E.
Called from `lane` and `requestor`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000

C_STORE_REQUEST, C_STORE_RESPONSE = 0x0001, 0x8001
C_ECHO_REQUEST = 0x0030
NO_DATA_SET = 0x0101
_LONGEST_COMMENT = 64


class CommandInvalid(Exception):
    """The bytes are not a command set."""


def decode(encoded: bytes) -> dict[int, bytes]:
    """Values by element number; raises CommandInvalid."""
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        if at + 8 > len(encoded):
            raise CommandInvalid
        group, element, length = struct.unpack_from("<HHI", encoded, at)
        at += 8 + length
        if group or at > len(encoded):
            raise CommandInvalid
        elements[element] = encoded[at - length : at]
    return elements


def number(command: Mapping[int, bytes], element: int) -> int | None:
    """An US value, None if it is absent or no US."""
    value = command.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def text(command: Mapping[int, bytes], element: int) -> str:
    """A value as text without padding, empty if it is absent; bytes beyond ASCII become '?'."""
    return command.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace").replace("\ufffd", "?")


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """A C-ECHO-RQ."""
    return _encoded(
        {
            AFFECTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: C_ECHO_REQUEST,
            MESSAGE_ID: message_id,
            DATA_SET_TYPE: NO_DATA_SET,
        }
    )


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """A C-STORE-RQ of medium priority."""
    return _encoded(
        {
            AFFECTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: C_STORE_REQUEST,
            MESSAGE_ID: message_id,
            PRIORITY: 0,
            DATA_SET_TYPE: 0,
            AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }
    )


def store_response(request: Mapping[int, bytes], status: int, comment: str) -> bytes:
    """The C-STORE-RSP to a request; `comment` is empty or says in words what the status means."""
    values: dict[int, int | str] = {
        AFFECTED_SOP_CLASS_UID: text(request, AFFECTED_SOP_CLASS_UID),
        COMMAND_FIELD: C_STORE_RESPONSE,
        MESSAGE_ID_BEING_RESPONDED_TO: number(request, MESSAGE_ID) or 0,
        DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
        AFFECTED_SOP_INSTANCE_UID: text(request, AFFECTED_SOP_INSTANCE_UID),
    }
    if comment:
        values[ERROR_COMMENT] = comment[:_LONGEST_COMMENT]
    return _encoded(values)


def _encoded(values: Mapping[int, int | str]) -> bytes:
    elements = b"".join(_element(element, _bytes(element, values[element])) for element in sorted(values))
    return _element(0x0000, struct.pack("<I", len(elements))) + elements


def _bytes(element: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack("<H", value)
    encoded = value.encode("ascii", "replace")
    return encoded + (b" " if element == ERROR_COMMENT else b"\0") * (len(encoded) % 2)


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, element, len(value)) + value
