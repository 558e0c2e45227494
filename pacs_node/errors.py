"""Everything that the node itself raises.

    NodeError
    |- ConfigInvalid          config.invalid           permanent
    |  `- TlsInvalid          tls.invalid              retryable: whoever corrects a file need not restart
    |- InstanceConflict       instance.conflict        permanent: same SOP Instance UID, other content
    |- InstanceMismatch       instance.mismatch        permanent: dataset contradicts its C-STORE command
    |- InstanceTooLarge       instance.too-large       permanent: longer than the configuration allows
    |- InstanceUnreadable     instance.unreadable      permanent: no usable identifiers in the dataset
    |- StorageFull            storage.full             retryable
    |- StorageFailed          storage.failed           retryable
    |- PduInvalid             pdu.invalid              permanent: a sender breaks the protocol
    |- AssociationStalled     association.stalled      permanent: a sender took too long
    |- InvalidTransition      state.invalid-transition permanent: a programming error
    |- NotFound               archive.not-found        permanent
    |- DatabaseUnavailable    database.unavailable     retryable
    |  |- DatabaseLocked      database.locked          retryable
    |  `- DatabaseReadOnly    database.read-only       retryable: another server takes over
    |- BrokerUnavailable      broker.unavailable       retryable
    |- SeriesChanged          series.changed           retryable
    |- ModelRetired           model.retired            retryable: its study is planned again
    |- StepTimeout            step.timeout             retryable: once
    |- WorkerLost             job.worker-lost          permanent
    |- Quarantined            job.quarantined          permanent: until somebody asks for another run
    |- UnexpectedFailure      step.unexpected          permanent
    |- ResultInvalid          result.invalid           permanent: the own check refused a result
    |- ResultPending          result.pending           retryable: it is being made anew
    |- PeerUnreachable        peer.unreachable         retryable
    |  `- PeerTimeout         peer.timeout             retryable
    |- PeerRefused            peer.refused             retryable: association rejected or aborted
    |  |- CommitmentRefused   commitment.refused       retryable: a peer refused a message of storage commitment
    |  `- PeerTlsFailed       peer.tls-failed          retryable: certificates are renewed
    |- PeerRefusedContext     peer.refused-context     permanent: the peer does not take this SOP class
    |- PeerTakesNothing       peer.takes-nothing       retryable: it is asked again each time
    |- TransactionDuplicate   commitment.duplicate     permanent: a sender used a Transaction UID twice
    |- CallerAddressMissing   commitment.no-address    permanent: the configuration does not say where a sender listens
    `- PeerRefusedInstance    peer.refused-instance    by status: 0xA7xx retryable, others permanent

The class docstring is the default message. `code` is stable; messages may be reworded and never carry patient data.
"""

from __future__ import annotations

from typing import ClassVar


class NodeError(Exception):
    """The node could not do what it was asked."""

    code: ClassVar[str] = "node.failed"
    retryable: bool = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__class__.__doc__ or "").strip().partition("\n")[0])


class ConfigInvalid(NodeError):
    """The configuration cannot be used."""

    code = "config.invalid"


class TlsInvalid(ConfigInvalid):
    """A certificate or key cannot be used."""

    code = "tls.invalid"
    retryable = True


class InstanceConflict(NodeError):
    """An instance with this SOP Instance UID but other content is already stored; the stored one is kept."""

    code = "instance.conflict"

    def __init__(self, message: str | None = None, *, stored_hash: str = "", refused_hash: str = "") -> None:
        super().__init__(message)
        self.stored_hash = stored_hash
        self.refused_hash = refused_hash


class InstanceMismatch(NodeError):
    """The dataset does not carry the SOP Class and Instance UID that its C-STORE command names."""

    code = "instance.mismatch"


class InstanceTooLarge(NodeError):
    """The dataset is longer than `scp.maximum_instance_bytes` allows."""

    code = "instance.too-large"


class InstanceUnreadable(NodeError):
    """The dataset has no readable Study, Series and SOP Instance UID."""

    code = "instance.unreadable"


class StorageFull(NodeError):
    """There is not enough room on the disk of the archive."""

    code = "storage.full"
    retryable = True


class StorageFailed(NodeError):
    """The archive could not use its disk."""

    code = "storage.failed"
    retryable = True


class PduInvalid(NodeError):
    """The peer sent what is no DICOM, or what must not come now."""

    code = "pdu.invalid"


class AssociationStalled(NodeError):
    """Nothing was completed on the association for too long."""

    code = "association.stalled"


class InvalidTransition(NodeError):
    """This event is not allowed in this state."""

    code = "state.invalid-transition"


class NotFound(NodeError):
    """There is no such record."""

    code = "archive.not-found"


class DatabaseUnavailable(NodeError):
    """The database cannot be reached, or fails."""

    code = "database.unavailable"
    retryable = True


class DatabaseLocked(DatabaseUnavailable):
    """Somebody else has locked the database for too long."""

    code = "database.locked"


class DatabaseReadOnly(DatabaseUnavailable):
    """The database takes no writes; if another server takes over, it is found by itself."""

    code = "database.read-only"


class BrokerUnavailable(NodeError):
    """The message broker cannot be reached; work goes on as soon as it answers again."""

    code = "broker.unavailable"
    retryable = True


class SeriesChanged(NodeError):
    """The series is no longer what the job was planned on; a new plan is on its way."""

    code = "series.changed"
    retryable = True


class ModelRetired(NodeError):
    """The version that the job was planned with is no longer served; a new plan is on its way."""

    code = "model.retired"
    retryable = True


class StepTimeout(NodeError):
    """A step ran out of time."""

    code = "step.timeout"
    retryable = True


class WorkerLost(NodeError):
    """Every attempt was cut off together with its node; it is not tried again by itself."""

    code = "job.worker-lost"


class Quarantined(NodeError):
    """Two workers ended while they worked on it, so it is set aside until somebody asks for another run."""

    code = "job.quarantined"


class UnexpectedFailure(NodeError):
    """The node met something that it does not know; please report it."""

    code = "step.unexpected"


class ResultInvalid(NodeError):
    """The result did not pass the own check and is not sent."""

    code = "result.invalid"


class ResultPending(NodeError):
    """The result is being made anew; it is sent as soon as that is done."""

    code = "result.pending"
    retryable = True


class PeerUnreachable(NodeError):
    """No connection to the peer; check host, port and firewall.

    `is_met` says that the peer was there, and failed while it was being sent something.
    """

    code = "peer.unreachable"
    retryable = True
    is_met = False


class PeerTimeout(PeerUnreachable):
    """The peer did not answer in time."""

    code = "peer.timeout"


class PeerRefused(NodeError):
    """The peer rejected or aborted the association; check the AE titles on both sides.

    `is_met` says that the peer was there, and failed while it was being sent something.
    """

    code = "peer.refused"
    retryable = True
    is_met = False


class CommitmentRefused(PeerRefused):
    """The peer refused to be asked, or to be told, about storage commitment."""

    code = "commitment.refused"


class PeerTlsFailed(PeerRefused):
    """There is no secure connection to the peer."""

    code = "peer.tls-failed"


class PeerRefusedContext(NodeError):
    """The peer does not accept this SOP class."""

    code = "peer.refused-context"

    def __init__(self, message: str | None = None, *, sop_class_uid: str = "") -> None:
        super().__init__(message)
        self.sop_class_uid = sop_class_uid


class PeerTakesNothing(NodeError):
    """The destination takes nothing of its profile, and nothing in its place."""

    code = "peer.takes-nothing"
    retryable = True


class TransactionDuplicate(NodeError):
    """The Transaction UID of a request for storage commitment belongs to another request."""

    code = "commitment.duplicate"


class CallerAddressMissing(NodeError):
    """The sender has closed its association, and the configuration does not say where it listens."""

    code = "commitment.no-address"


class PeerRefusedInstance(NodeError):
    """The peer answered the C-STORE with a failure status."""

    code = "peer.refused-instance"

    def __init__(self, message: str | None = None, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
