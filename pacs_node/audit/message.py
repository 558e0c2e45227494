"""Audit messages: what is told, as a line of JSON and as the XML of PS3.15 section A.5. Pure; called from `trail`.

No message names a patient: see deploy/docs/decisions/audit-without-patients.md.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any
from xml.etree import ElementTree


class Kind(StrEnum):
    """What has happened."""

    STARTED = "application started"
    STOPPED = "application stopped"
    CONFIGURED = "configuration changed"
    REFUSED = "peer refused"
    RECEIVING = "receiving instances"
    RECEIVED = "instances received"
    SENDING = "sending instances"
    SENT = "instances sent"
    EXPORTED = "result exported"
    DELETED = "study deleted"


class Outcome(IntEnum):
    """EventOutcomeIndicator (PS3.15 section A.5.1)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8


class Role(StrEnum):
    """RoleIDCode of a participant (PS3.16 CID 402)."""

    APPLICATION = "110150"
    DESTINATION = "110152"
    SOURCE = "110153"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A process at either end; `address` is a host name or address, or a URL."""

    user_id: str
    role: Role
    address: str = ""
    is_requestor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One audited event.

    Parameters
    ----------
    source : which process of which node tells it
    at : UTC
    study_instance_uid, instances : of a transfer, else "" and 0
    detail : a code, or the names of settings; never text of a peer
    """

    kind: Kind
    source: str
    at: datetime
    participants: tuple[Participant, ...]
    outcome: Outcome = Outcome.SUCCESS
    study_instance_uid: str = ""
    instances: int = 0
    detail: str = ""


class MessageUnreadable(ValueError):
    """A line of the audit trail is none: a process was killed while it wrote it."""


_ACTIVITY = ("110100", "Application Activity")
_ALERT = ("110113", "Security Alert")
_TRANSFERRED = ("110104", "DICOM Instances Transferred")
_BEGINS = ("110102", "Begin Transferring DICOM Instances")
_EVENTS: dict[Kind, tuple[tuple[str, str], tuple[str, str] | None, str]] = {
    Kind.STARTED: (_ACTIVITY, ("110120", "Application Start"), "E"),
    Kind.STOPPED: (_ACTIVITY, ("110121", "Application Stop"), "E"),
    Kind.CONFIGURED: (_ALERT, ("110131", "Software Configuration"), "E"),
    Kind.REFUSED: (_ALERT, ("110126", "Node Authentication"), "E"),
    Kind.RECEIVING: (_BEGINS, None, "E"),
    Kind.RECEIVED: (_TRANSFERRED, None, "C"),
    Kind.SENDING: (_BEGINS, None, "E"),
    Kind.SENT: (_TRANSFERRED, None, "R"),
    Kind.EXPORTED: (("110106", "Export"), None, "R"),
    Kind.DELETED: (("110105", "DICOM Study Deleted"), None, "D"),
}
"""EventID, EventTypeCode and EventActionCode (PS3.15 section A.5.3, PS3.16 CID 400 and 401)."""
_ROLE_NAMES = {Role.APPLICATION: "Application", Role.DESTINATION: "Destination Role ID", Role.SOURCE: "Source Role ID"}
_IP_ADDRESS_OR_NAME = {True: "2", False: "1"}
_APPLICATION_SERVER = "4"


def kinds() -> tuple[str, ...]:
    """The events of the standard that there are messages of."""
    events = ((event, kind) for event, kind, _ in _EVENTS.values())
    return tuple(dict.fromkeys(f"{event[1]}{f' ({kind[1]})' if kind else ''}" for event, kind in events))


def as_json(message: Message) -> str:
    """One line; `from_json` reads it."""
    return json.dumps(asdict(message) | {"at": message.at.isoformat()}, ensure_ascii=True)


def from_json(line: str) -> Message:
    """Read a line again; raises MessageUnreadable."""
    try:
        values: dict[str, Any] = json.loads(line)
        participants = tuple(Participant(**item | {"role": Role(item["role"])}) for item in values.pop("participants"))
        at, kind, outcome = (values.pop(name) for name in ("at", "kind", "outcome"))
        return Message(
            **values,
            at=datetime.fromisoformat(at),
            kind=Kind(kind),
            outcome=Outcome(outcome),
            participants=participants,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MessageUnreadable from error


def as_xml(message: Message) -> str:
    """The message in the schema of PS3.15 section A.5.1."""
    root = ElementTree.Element("AuditMessage")
    event, kind, action = _EVENTS[message.kind]
    identification = ElementTree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(int(message.outcome)),
    )
    _coded(identification, "EventID", *event)
    if kind is not None:
        _coded(identification, "EventTypeCode", *kind)
    for participant in message.participants:
        _add_participant(root, participant)
    source = ElementTree.SubElement(root, "AuditSourceIdentification", AuditSourceID=message.source)
    ElementTree.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    if message.study_instance_uid:
        _add_study(root, message)
    elif message.detail:
        _add_detail(_object(root, "configuration" if message.kind is Kind.CONFIGURED else "port", "13"), message)
    return ElementTree.tostring(root, encoding="unicode")


def _add_participant(root: ElementTree.Element, participant: Participant) -> None:
    attributes = {"UserID": participant.user_id, "UserIsRequestor": str(participant.is_requestor).lower()}
    if participant.address:
        is_number = participant.address.replace(".", "").isdecimal() or ":" in participant.address
        is_web = "://" in participant.address
        attributes["NetworkAccessPointTypeCode"] = "5" if is_web else _IP_ADDRESS_OR_NAME[is_number]
        attributes["NetworkAccessPointID"] = participant.address
    element = ElementTree.SubElement(root, "ActiveParticipant", attributes)
    _coded(element, "RoleIDCode", participant.role.value, _ROLE_NAMES[participant.role])


def _add_study(root: ElementTree.Element, message: Message) -> None:
    study = _object(root, message.study_instance_uid, "3", ("110180", "Study Instance UID"))
    if message.detail:
        _add_detail(study, message)
    if message.instances:
        description = ElementTree.SubElement(study, "ParticipantObjectDescription")
        ElementTree.SubElement(description, "SOPClass", NumberOfInstances=str(message.instances))


def _object(
    root: ElementTree.Element, identifier: str, role: str, kind: tuple[str, str] | None = None
) -> ElementTree.Element:
    attributes = {"ParticipantObjectID": identifier, "ParticipantObjectTypeCode": "2"}
    element = ElementTree.SubElement(
        root, "ParticipantObjectIdentification", attributes | {"ParticipantObjectTypeCodeRole": role}
    )
    if kind is None:
        uri = {"csd-code": "12", "codeSystemName": "RFC-3881", "originalText": "URI"}
        ElementTree.SubElement(element, "ParticipantObjectIDTypeCode", uri)
    else:
        _coded(element, "ParticipantObjectIDTypeCode", *kind)
    return element


def _add_detail(element: ElementTree.Element, message: Message) -> None:
    value = base64.b64encode(message.detail.encode()).decode("ascii")
    ElementTree.SubElement(element, "ParticipantObjectDetail", type="Alert Description", value=value)


def _coded(parent: ElementTree.Element, name: str, code: str, meaning: str) -> None:
    attributes = {"csd-code": code, "codeSystemName": "DCM", "originalText": meaning}
    ElementTree.SubElement(parent, name, attributes)
