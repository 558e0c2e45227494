"""Everything that the node itself raises.

    NodeError
    |- ConfigInvalid          config.invalid           permanent
    |- InstanceConflict       instance.conflict        permanent: same SOP Instance UID, other content
    |- InstanceMismatch       instance.mismatch        permanent: dataset contradicts its C-STORE command
    |- InstanceUnreadable     instance.unreadable      permanent: no usable identifiers in the dataset
    |- StorageFull            storage.full             retryable
    |- StorageFailed          storage.failed           retryable
    |- InvalidTransition      state.invalid-transition permanent: a programming error
    |- NotFound               archive.not-found        permanent
    |- DatabaseUnavailable    database.unavailable     retryable
    |- BrokerUnavailable      broker.unavailable       retryable
    |- SeriesChanged          series.changed           retryable
    |- ModelRetired           model.retired            retryable: its study is planned again
    |- WorkerLost             job.worker-lost          permanent
    |- UnexpectedFailure      step.unexpected          permanent
    |- ResultInvalid          result.invalid           permanent: the own check refused a result
    |- PeerUnreachable        peer.unreachable         retryable
    |  `- PeerTimeout         peer.timeout             retryable
    |- PeerRefused            peer.refused             retryable: association rejected or aborted
    |- PeerRefusedContext     peer.refused-context     permanent: the peer does not take this SOP class
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
        super().__init__(message or (self.__class__.__doc__ or "").strip())


class ConfigInvalid(NodeError):
    """The configuration cannot be used."""

    code = "config.invalid"


class InstanceConflict(NodeError):
    """An instance with this SOP Instance UID but other content is already stored; the stored one is kept."""

    code = "instance.conflict"


class InstanceMismatch(NodeError):
    """The dataset does not carry the SOP Class and Instance UID that its C-STORE command names."""

    code = "instance.mismatch"


class InstanceUnreadable(NodeError):
    """The dataset has no readable Study, Series and SOP Instance UID."""

    code = "instance.unreadable"


class StorageFull(NodeError):
    """There is not enough room on the disk of the archive."""

    code = "storage.full"
    retryable = True


class StorageFailed(NodeError):
    """The archive could not write to its disk."""

    code = "storage.failed"
    retryable = True


class InvalidTransition(NodeError):
    """This event is not allowed in this state."""

    code = "state.invalid-transition"


class NotFound(NodeError):
    """There is no such record."""

    code = "archive.not-found"


class DatabaseUnavailable(NodeError):
    """The database cannot be reached or is locked."""

    code = "database.unavailable"
    retryable = True


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


class WorkerLost(NodeError):
    """Every attempt at this job ended with the worker that made it; it is not tried again by itself."""

    code = "job.worker-lost"


class UnexpectedFailure(NodeError):
    """The node met something that it does not know; please report it."""

    code = "step.unexpected"


class ResultInvalid(NodeError):
    """The result did not pass the own check and is not sent."""

    code = "result.invalid"


class PeerUnreachable(NodeError):
    """No connection to the peer; check host, port and firewall."""

    code = "peer.unreachable"
    retryable = True


class PeerTimeout(PeerUnreachable):
    """The peer did not answer in time."""

    code = "peer.timeout"


class PeerRefused(NodeError):
    """The peer rejected or aborted the association; check the AE titles on both sides."""

    code = "peer.refused"
    retryable = True


class PeerRefusedContext(NodeError):
    """The peer does not accept this SOP class."""

    code = "peer.refused-context"


class PeerRefusedInstance(NodeError):
    """The peer answered the C-STORE with a failure status."""

    code = "peer.refused-instance"

    def __init__(self, message: str | None = None, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
