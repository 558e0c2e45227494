"""Command sets as the library reads and writes them, and no surprise from malformed ones."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode

from pacs_node.dimse import command

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_the_library_reads_our_store_request() -> None:
    dataset = decode(BytesIO(command.store_request(7, CT, "1.2.3")), True, True)
    assert dataset.CommandField == 0x0001
    assert (dataset.AffectedSOPClassUID, dataset.AffectedSOPInstanceUID) == (CT, "1.2.3")
    assert (dataset.MessageID, dataset.CommandDataSetType, dataset.Priority) == (7, 0, 0)
    assert dataset.CommandGroupLength == len(command.store_request(7, CT, "1.2.3")) - 12


def test_the_library_reads_our_echo_request() -> None:
    dataset = decode(BytesIO(command.echo_request(9, "1.2.840.10008.1.1")), True, True)
    assert (dataset.CommandField, dataset.MessageID, dataset.CommandDataSetType) == (0x0030, 9, 0x0101)


def test_we_read_the_store_request_of_the_library() -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = 300, CT, "1.2.3"
    primitive.Priority, primitive.DataSet = 2, BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    fragment = next(message.encode_msg(1, 16382)).presentation_data_value_list[0][1]
    request = command.decode(bytes(fragment[1:]))
    assert command.number(request, command.COMMAND_FIELD) == command.C_STORE_REQUEST
    assert command.number(request, command.MESSAGE_ID) == 300
    assert command.text(request, command.AFFECTED_SOP_CLASS_UID) == CT
    assert command.text(request, command.AFFECTED_SOP_INSTANCE_UID) == "1.2.3"


def test_a_response_names_its_request_its_status_and_why() -> None:
    request = command.decode(command.store_request(7, CT, "1.2.3"))
    dataset = decode(BytesIO(command.store_response(request, 0xA700, "no room " * 20)), True, True)
    assert (dataset.CommandField, dataset.Status, dataset.MessageIDBeingRespondedTo) == (0x8001, 0xA700, 7)
    assert (dataset.AffectedSOPClassUID, dataset.AffectedSOPInstanceUID) == (CT, "1.2.3")
    assert dataset.ErrorComment == ("no room " * 20)[:64].rstrip()


def test_a_success_says_nothing_more() -> None:
    request = command.decode(command.store_request(7, CT, "1.2.3"))
    assert "ErrorComment" not in decode(BytesIO(command.store_response(request, 0, "")), True, True)


def test_absent_and_odd_values_are_nothing() -> None:
    request = command.decode(command.echo_request(1, "1.2.840.10008.1.1"))
    assert command.text(request, command.AFFECTED_SOP_INSTANCE_UID) == ""
    assert command.number(request, command.STATUS) is None
    assert command.number(request, command.AFFECTED_SOP_CLASS_UID) is None


def test_text_beyond_ascii_can_be_answered() -> None:
    request = {command.AFFECTED_SOP_INSTANCE_UID: b"1.2\xff", command.AFFECTED_SOP_CLASS_UID: b""}
    assert b"1.2?" in command.store_response(request, 0xA900, "")


@given(content=st.binary(max_size=300))
def test_any_bytes_give_a_command_or_the_one_error(content: bytes) -> None:
    try:
        request = command.decode(content)
    except command.CommandInvalid:
        return
    command.store_response(request, 0xA900, "")


@pytest.mark.parametrize("content", [b"\0", bytes(7), b"\x08" + bytes(7), b"\0\0\0\0\xff\0\0\0"])
def test_malformed_commands_are_refused(content: bytes) -> None:
    with pytest.raises(command.CommandInvalid):
        command.decode(content)
