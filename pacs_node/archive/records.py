"""Rows as values: what `queries` hands out. No patient attribute; UIDs for those who may see them (CLI, web)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from inference.findings import ModelUse
from pacs_node.domain.commitment import CommitmentState, Reference
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import CommitmentId, DeliveryId, InstanceUid, JobId, SeriesUid, StudyId, StudyUid
from pacs_node.domain.job import JobState
from pacs_node.domain.rule import Reason
from pacs_node.domain.shipment import Part
from pacs_node.domain.study import StudyState


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study with the number of instances held."""

    id: StudyId
    study_instance_uid: StudyUid
    state: StudyState
    calling_ae_title: str
    first_received_at: datetime
    last_received_at: datetime
    settle_at: datetime
    checks: int
    check_until: datetime | None
    attempt: int
    strikes: int
    next_at: datetime | None
    instance_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance held, and where."""

    series_instance_uid: SeriesUid
    sop_instance_uid: InstanceUid
    sop_class_uid: str
    file_key: str
    content_hash: str
    calling_ae_title: str
    received_at: datetime
    is_own_result: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a study has come.

    Parameters
    ----------
    received, promised : instances without results of this node, and those of them that a sender was told we keep
    expected, missing : instances at the PACS, and those of them that are not here; None if it did not say
    jobs, analysed : how many, and how many of them have a result
    deliveries, delivered, committed : how many, those that their destinations have accepted, and have committed to
    """

    received: int
    promised: int
    expected: int | None
    missing: int | None
    jobs: int
    analysed: int
    deliveries: int
    delivered: int
    committed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A recorded decision."""

    series_instance_uid: SeriesUid
    verdict: str
    rule: str | None
    reasons: tuple[Reason, ...]
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be created; `reasons` is empty unless the series must not be analysed, which needs no models."""

    study_id: StudyId
    series_instance_uid: SeriesUid
    rule: str
    pipeline: str
    input_digest: str
    models: tuple[ModelUse, ...]
    model_digest: str
    destinations: tuple[str, ...]
    reasons: tuple[Reason, ...]
    is_stat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job; `findings_key` is set once it is analysed, `composed` names the parts of its result.

    `created_at` is when it was planned; `inputs_received_at` is set where its instances were deleted since, to when the
    last of them had arrived.
    """

    id: JobId
    study_id: StudyId
    study_instance_uid: StudyUid
    series_instance_uid: SeriesUid
    rule: str
    pipeline: str
    input_digest: str
    models: tuple[ModelUse, ...]
    destinations: tuple[str, ...]
    reasons: tuple[Reason, ...]
    is_stat: bool
    state: JobState
    attempt: int
    strikes: int
    next_at: datetime | None
    findings_key: str | None
    composed: tuple[Part, ...]
    supersedes_job_id: JobId | None
    inputs_received_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """One instance of a result; `deleted_at` is set where its file is gone."""

    role: str
    sop_class_uid: str
    sop_instance_uid: InstanceUid
    file_key: str
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One result on its way to one destination."""

    id: DeliveryId
    job_id: JobId
    destination: str
    state: DeliveryState
    attempt: int
    strikes: int
    next_at: datetime | None
    delivered_at: datetime | None
    is_held: bool
    sent: tuple[Reference, ...] = ()
    transaction_uid: str | None = None
    asks: int = 0
    resends: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What has to be on disk of an instance that the index names."""

    sop_class_uid: str
    file_key: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """A sender's request to keep instances."""

    id: CommitmentId
    transaction_uid: str
    calling_ae_title: str
    references: tuple[Reference, ...]
    state: CommitmentState
    attempt: int
    strikes: int
    next_at: datetime | None
    requested_at: datetime
    reported_at: datetime | None
    failed_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """SOP Class UIDs that a destination is known not to take."""

    refused: tuple[str, ...]
    learned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of history."""

    at: datetime
    event: str
    state: str
    code: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNodule:
    """What a list shows of a finding."""

    number: int
    tracking_uid: str
    centre_lps: tuple[float, float, float]
    volume_mm3: float
    equivalent_diameter_mm: float
    long_axis_mm: float
    short_axis_mm: float
    mean_hu: float
    attenuation: str
    laterality: str | None
    score: float
    malignancy: float | None
