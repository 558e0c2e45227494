"""Both ends of storage commitment: the node's SCP over its steps, and a peer made with pynetdicom."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from pacs_node.dimse import scp, scu
from pacs_node.domain.commitment import Reference
from pacs_node.node import Node
from pacs_node.steps.commit import CommitmentDesk
from pacs_node.steps.receive import Receiver

TRANSACTION = "1.2.826.0.1.77.9.1"
ABSENT = Reference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.826.0.1.77.404")


@contextmanager
def serving(node: Node) -> Iterator[scu.Peer]:
    """The node's SCP in this process, with storage commitment."""
    receiver = Receiver(node.files, record=lambda receipts: None, now=node.now)
    desk = CommitmentDesk(node)
    settings = scp.ScpSettings(ae_title="PULMONODE", host="127.0.0.1", port=0)
    server = scp.serve(settings, receiver, lambda name, values: None, desk=desk)
    try:
        yield scu.Peer(name="node", ae_title="PULMONODE", host="127.0.0.1", port=server.port)
    finally:
        server.stop(grace_s=0.5)
        desk.close()
        receiver.close()


def references_to(paths: Sequence[Path]) -> tuple[Reference, ...]:
    """What a request names these instances by."""
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return tuple(Reference(sop_class_uid=item.SOPClassUID, sop_instance_uid=item.SOPInstanceUID) for item in found)


def action_information(references: Sequence[Reference], transaction_uid: str = TRANSACTION) -> Dataset:
    """An N-ACTION's dataset, as anybody would write it."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ReferencedSOPSequence = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
        dataset.ReferencedSOPSequence.append(item)
    return dataset


@dataclass(slots=True)
class Asker:
    """A sender that asks for commitment with pynetdicom, and keeps the reports that it is sent."""

    status_of_reports: int = 0x0000
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    _is_told: bool = False
    _answered: threading.Event = field(default_factory=threading.Event)

    def take(self, event: Any) -> tuple[int, None]:
        """The handler of N-EVENT-REPORT."""
        self.reports.append((event.event_type, event.event_information))
        self._is_told = True
        return self.status_of_reports, None

    def watch(self, event: Any) -> None:
        """The handler of PDUs that were sent: the answer to a report has left, so the association may end."""
        if self._is_told:
            self._answered.set()

    def asked(self, peer: scu.Peer, information: Dataset, **command: Any) -> int | None:
        """The status of an N-ACTION; the association stays open until a report came, if it is a success."""
        entity = AE(ae_title="CT1")
        entity.add_requested_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.take), (evt.EVT_PDU_SENT, self.watch)]
        self._is_told = False
        self._answered.clear()
        association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title, evt_handlers=handlers)
        assert association.is_established
        settings = {
            "action_type": 1,
            "class_uid": StorageCommitmentPushModel,
            "instance_uid": StorageCommitmentPushModelInstance,
        } | command
        answer, _ = association.send_n_action(information, **settings)
        status = answer.get("Status")
        if status == 0:
            assert self._answered.wait(20)
        association.release()
        return status  # type: ignore[no-any-return]

    @property
    def last(self) -> tuple[int, set[str], dict[str, int]]:
        """Event type, committed instances, and failed ones with their reasons, of the last report."""
        return self.content(self.reports[-1])

    @staticmethod
    def content(report: tuple[int, Dataset]) -> tuple[int, set[str], dict[str, int]]:
        """Event type, committed instances, and failed ones with their reasons."""
        kind, dataset = report
        committed = {str(item.ReferencedSOPInstanceUID) for item in dataset.get("ReferencedSOPSequence", [])}
        items = dataset.get("FailedSOPSequence", [])
        return kind, committed, {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in items}


@contextmanager
def listening(asker: Asker) -> Iterator[int]:
    """The port on which a sender takes reports on associations that the node opens as SCP."""
    entity = AE(ae_title="CT1")
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, asker.take)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
