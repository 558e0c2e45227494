"""Command sets of C-STORE, C-ECHO, N-ACTION and N-EVENT-REPORT, to bytes and back. Others are the library's.

References: PS3.7 section 6.3 (encoding, always Implicit VR Little Endian), 9.3.1, 9.3.5, 10.3.1 and 10.3.4, annex E.
Called from `lane`, `requestor` and `commitment`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008

C_STORE_REQUEST, C_STORE_RESPONSE = 0x0001, 0x8001
C_ECHO_REQUEST = 0x0030
C_GET_REQUEST, C_FIND_REQUEST, C_MOVE_REQUEST = 0x0010, 0x0020, 0x0021
N_EVENT_REPORT_REQUEST, N_EVENT_REPORT_RESPONSE = 0x0100, 0x8100
N_ACTION_REQUEST, N_ACTION_RESPONSE = 0x0130, 0x8130
NO_DATA_SET = 0x0101
_LONGEST_COMMENT = 64
_HEAD, _NUMBER, _GROUP_LENGTH = struct.Struct("<HHI"), struct.Struct("<HHIH"), struct.Struct("<HHII")
"""Group, element and length of what follows; of a number of two bytes; of the one of four bytes."""
_PADDED_WITH_SPACE = {ERROR_COMMENT, MOVE_DESTINATION}


class CommandInvalid(Exception):
    """The bytes are not a command set."""


def decode(encoded: bytes) -> dict[int, bytes]:
    """Values by element number; raises CommandInvalid."""
    elements: dict[int, bytes] = {}
    at, end = 0, len(encoded)
    while at < end:
        if at + 8 > end:
            raise CommandInvalid
        group, element, length = _HEAD.unpack_from(encoded, at)
        at += 8 + length
        if group or at > end:
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


def query_request(message_id: int, field: int, sop_class_uid: str, *, destination: str = "") -> bytes:
    """A C-FIND-RQ or C-GET-RQ, or with a destination a C-MOVE-RQ, of medium priority; an identifier follows."""
    values: dict[int, int | str] = {
        AFFECTED_SOP_CLASS_UID: sop_class_uid,
        COMMAND_FIELD: field,
        MESSAGE_ID: message_id,
        PRIORITY: 0,
        DATA_SET_TYPE: 0,
    }
    if destination:
        values[MOVE_DESTINATION] = destination
    return _encoded(values)


def action_request(message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type: int) -> bytes:
    """An N-ACTION-RQ with action information."""
    return _encoded(
        {
            REQUESTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: N_ACTION_REQUEST,
            MESSAGE_ID: message_id,
            DATA_SET_TYPE: 0,
            REQUESTED_SOP_INSTANCE_UID: sop_instance_uid,
            ACTION_TYPE_ID: action_type,
        }
    )


def event_report_request(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int) -> bytes:
    """An N-EVENT-REPORT-RQ with event information."""
    return _encoded(
        {
            AFFECTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: N_EVENT_REPORT_REQUEST,
            MESSAGE_ID: message_id,
            DATA_SET_TYPE: 0,
            AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
            EVENT_TYPE_ID: event_type,
        }
    )


def normalized_response(request: Mapping[int, bytes], status: int) -> bytes:
    """The response to an N-ACTION-RQ or N-EVENT-REPORT-RQ, without a dataset."""
    is_action = number(request, COMMAND_FIELD) == N_ACTION_REQUEST
    requested = (REQUESTED_SOP_CLASS_UID, REQUESTED_SOP_INSTANCE_UID, ACTION_TYPE_ID)
    affected = (AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, EVENT_TYPE_ID)
    sop_class, sop_instance, kind = requested if is_action else affected
    values: dict[int, int | str] = {
        AFFECTED_SOP_CLASS_UID: text(request, sop_class),
        COMMAND_FIELD: N_ACTION_RESPONSE if is_action else N_EVENT_REPORT_RESPONSE,
        MESSAGE_ID_BEING_RESPONDED_TO: number(request, MESSAGE_ID) or 0,
        DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
        AFFECTED_SOP_INSTANCE_UID: text(request, sop_instance),
    }
    if (type_id := number(request, kind)) is not None:
        values[kind] = type_id
    return _encoded(values)


def _encoded(values: Mapping[int, int | str]) -> bytes:
    elements = b"".join([_element(element, values[element]) for element in sorted(values)])
    return _GROUP_LENGTH.pack(0, 0, 4, len(elements)) + elements


def _element(element: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return _NUMBER.pack(0, element, 2, value)
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += b" " if element in _PADDED_WITH_SPACE else b"\0"
    return _HEAD.pack(0, element, len(encoded)) + encoded
