from __future__ import annotations

import base64
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from pacs_node.audit.message import (
    Kind,
    Message,
    MessageUnreadable,
    Outcome,
    Participant,
    Role,
    as_json,
    as_xml,
    from_json,
)
from pacs_node.audit.syslog import frame

AT = datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)
SENDER = Participant(user_id="CT1", role=Role.SOURCE, address="10.0.0.7", is_requestor=True)
NODE = Participant(user_id="PULMONODE", role=Role.DESTINATION)


def a_message(kind: Kind = Kind.RECEIVED, **changes: object) -> Message:
    values: dict[str, object] = {
        "kind": kind,
        "source": "PULMONODE",
        "at": AT,
        "participants": (SENDER, NODE),
        "study_instance_uid": "1.2.3",
        "instances": 300,
    }
    return Message(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Kind)
def test_a_line_of_json_is_read_as_it_was_written(kind: Kind) -> None:
    message = a_message(kind, outcome=Outcome.MINOR_FAILURE, detail="a\nb")
    assert from_json(as_json(message)) == message
    assert "\n" not in as_json(message)


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"participants": [{}]}', as_json(a_message())[:-9]])
def test_a_torn_line_is_said_to_be_one(line: str) -> None:
    with pytest.raises(MessageUnreadable):
        from_json(line)


@pytest.mark.parametrize(
    ("kind", "event", "kind_code", "action"),
    [
        (Kind.STARTED, "110100", "110120", "E"),
        (Kind.DELETED, "110105", None, "D"),
        (Kind.STOPPED, "110100", "110121", "E"),
        (Kind.CONFIGURED, "110113", "110131", "E"),
        (Kind.REFUSED, "110113", "110126", "E"),
        (Kind.RECEIVING, "110102", None, "E"),
        (Kind.RECEIVED, "110104", None, "C"),
        (Kind.SENDING, "110102", None, "E"),
        (Kind.SENT, "110104", None, "R"),
        (Kind.EXPORTED, "110106", None, "R"),
    ],
)
def test_every_kind_has_the_codes_of_the_standard(kind: Kind, event: str, kind_code: str | None, action: str) -> None:
    """PS3.15 section A.5.3; PS3.16 CID 400 and 401."""
    root = ElementTree.fromstring(as_xml(a_message(kind)))
    found = root.find("EventIdentification/EventID")
    assert found is not None
    assert (found.get("csd-code"), found.get("codeSystemName")) == (event, "DCM")
    types = [element.get("csd-code") for element in root.findall("EventIdentification/EventTypeCode")]
    assert types == ([kind_code] if kind_code else [])
    assert root.find("EventIdentification").get("EventActionCode") == action  # type: ignore[union-attr]


def test_a_transfer_names_both_ends_the_study_and_how_many() -> None:
    root = ElementTree.fromstring(as_xml(a_message()))
    identification = root.find("EventIdentification")
    assert identification is not None
    assert identification.get("EventDateTime") == "2026-03-04T05:06:07.089Z"
    assert identification.get("EventOutcomeIndicator") == "0"
    sender, node = root.findall("ActiveParticipant")
    assert (sender.get("UserID"), sender.get("UserIsRequestor")) == ("CT1", "true")
    assert (sender.get("NetworkAccessPointID"), sender.get("NetworkAccessPointTypeCode")) == ("10.0.0.7", "2")
    assert node.get("NetworkAccessPointID") is None
    roles = [element.get("csd-code") for element in root.findall("ActiveParticipant/RoleIDCode")]
    assert roles == ["110153", "110152"]
    study = root.find("ParticipantObjectIdentification")
    assert study is not None
    assert (study.get("ParticipantObjectID"), study.get("ParticipantObjectTypeCodeRole")) == ("1.2.3", "3")
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"  # type: ignore[union-attr]
    assert study.find("ParticipantObjectDescription/SOPClass").get("NumberOfInstances") == "300"  # type: ignore[union-attr]


def test_what_a_peer_calls_itself_cannot_break_out_of_the_xml() -> None:
    evil = Participant(user_id='A"><x a="&<>', role=Role.SOURCE)
    root = ElementTree.fromstring(as_xml(a_message(participants=(evil,))))
    assert root.find("ActiveParticipant").get("UserID") == evil.user_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("address", "code"), [("h.example", "1"), ("10.0.0.1", "2"), ("fe80::1", "2"), ("https://h/x", "5")]
)
def test_the_kind_of_an_address_is_told(address: str, code: str) -> None:
    participant = Participant(user_id="X", role=Role.SOURCE, address=address)
    root = ElementTree.fromstring(as_xml(a_message(participants=(participant,))))
    assert root.find("ActiveParticipant").get("NetworkAccessPointTypeCode") == code  # type: ignore[union-attr]


def test_a_refusal_tells_its_code() -> None:
    root = ElementTree.fromstring(as_xml(a_message(Kind.REFUSED, study_instance_uid="", detail="tls.expired")))
    detail = root.find("ParticipantObjectIdentification/ParticipantObjectDetail")
    assert detail is not None
    assert base64.b64decode(detail.get("value", "")) == b"tls.expired"


@pytest.mark.parametrize(("outcome", "priority"), [(Outcome.SUCCESS, b"<85>1 "), (Outcome.SERIOUS_FAILURE, b"<84>1 ")])
def test_the_frame_is_that_of_the_rfcs(outcome: Outcome, priority: bytes) -> None:
    """RFC 5425 section 4.3: length and space; RFC 5424 section 6: header, no structured data, byte order mark."""
    message = a_message(outcome=outcome)
    length, _, rest = frame(message, "host.example").partition(b" ")
    assert int(length) == len(rest)
    head = priority + b"2026-03-04T05:06:07.089Z host.example PulmoNode - DICOM+RFC3881 - \xef\xbb\xbf<AuditMessage>"
    assert rest.startswith(head)
    assert rest.endswith(b"</AuditMessage>")
