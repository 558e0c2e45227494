"""What the node tells the audit trail, in its own words. Called from the steps and the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from inference.errors import InferenceError
from pacs_node.audit.message import Kind, Message, Outcome, Participant, Role
from pacs_node.audit.trail import Record
from pacs_node.config import Config, Destination
from pacs_node.domain.transfers import Transfer
from pacs_node.errors import NodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Builds messages and has them recorded.

    Parameters
    ----------
    record : takes a message, and never fails
    now : UTC, aware
    """

    config: Config
    record: Record
    now: Callable[[], datetime]

    def started(self, process: str) -> None:
        """A process of the node has started."""
        self._tell(Kind.STARTED, self._application(process))

    def stopped(self, process: str) -> None:
        """It stops."""
        self._tell(Kind.STOPPED, self._application(process))

    def configured(self, sections: Sequence[str]) -> None:
        """These tables of the configuration are not what they were when the node was last started."""
        self._tell(Kind.CONFIGURED, self._application("serve"), detail=", ".join(sections))

    def refused(self, address: str, calling_ae_title: str, code: str) -> None:
        """A peer was refused a connection or an association; the AE title may be unknown."""
        peer = Participant(user_id=calling_ae_title or address, role=Role.SOURCE, address=address, is_requestor=True)
        self._tell(Kind.REFUSED, peer, self._ourselves(Role.DESTINATION), outcome=Outcome.MINOR_FAILURE, detail=code)

    def receiving(self, transfer: Transfer) -> None:
        """The first instance of a study has come from a peer."""
        self._tell_transfer(Kind.RECEIVING, transfer)

    def received(self, transfer: Transfer) -> None:
        """No more instances of it come."""
        self._tell_transfer(Kind.RECEIVED, transfer)

    @contextmanager
    def sending(self, destination: Destination, study_instance_uid: str, instances: int) -> Iterator[None]:
        """Instances of a study are sent in this block; if it fails, they were not."""
        ends = self._ourselves(Role.SOURCE, is_requestor=True), _other_end(destination)
        self._tell(Kind.SENDING, *ends, study=study_instance_uid, instances=instances)
        try:
            yield
        except (NodeError, InferenceError) as error:
            failed = Outcome.SERIOUS_FAILURE
            self._tell(Kind.SENT, *ends, study=study_instance_uid, outcome=failed, detail=error.code)
            raise
        self._tell(Kind.SENT, *ends, study=study_instance_uid, instances=instances)

    def exported(self, destination: Destination, study_instance_uid: str, instances: int) -> None:
        """A result is at its destination."""
        ends = self._ourselves(Role.SOURCE, is_requestor=True), _other_end(destination)
        self._tell(Kind.EXPORTED, *ends, study=study_instance_uid, instances=instances)

    def deleted(self, study_instance_uid: str, instances: int, code: str) -> None:
        """Retention has deleted the instances of a study."""
        ours = self._application("serve")
        self._tell(Kind.DELETED, ours, study=study_instance_uid, instances=instances, detail=code)

    def _tell_transfer(self, kind: Kind, transfer: Transfer) -> None:
        peer = Participant(
            user_id=transfer.calling_ae_title, role=Role.SOURCE, address=transfer.address, is_requestor=True
        )
        ends = peer, self._ourselves(Role.DESTINATION)
        self._tell(kind, *ends, study=transfer.study_instance_uid, instances=transfer.instances)

    def _application(self, process: str) -> Participant:
        return Participant(user_id=f"pulmonode node {process}", role=Role.APPLICATION)

    def _ourselves(self, role: Role, *, is_requestor: bool = False) -> Participant:
        return Participant(user_id=self.config.scp.ae_title, role=role, is_requestor=is_requestor)

    def _tell(
        self,
        kind: Kind,
        *participants: Participant,
        study: str = "",
        instances: int = 0,
        outcome: Outcome = Outcome.SUCCESS,
        detail: str = "",
    ) -> None:
        self.record(
            Message(
                kind=kind,
                source=self.config.scp.ae_title,
                at=self.now(),
                participants=participants,
                outcome=outcome,
                study_instance_uid=study,
                instances=instances,
                detail=detail,
            )
        )


def _other_end(destination: Destination) -> Participant:
    name, address = destination.ae_title or destination.name, destination.url or destination.host
    return Participant(user_id=name, role=Role.DESTINATION, address=address)
