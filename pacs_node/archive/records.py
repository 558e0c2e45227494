"""Rows as values: what `queries` hands out. No patient attribute; UIDs for those who may see them (CLI, web)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from inference.findings import ModelUse
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import DeliveryId, InstanceUid, JobId, SeriesUid, StudyId, StudyUid
from pacs_node.domain.job import JobState
from pacs_node.domain.rule import Reason
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
    instance_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance held, and where."""

    series_instance_uid: SeriesUid
    sop_instance_uid: InstanceUid
    sop_class_uid: str
    file_key: str
    sha256: str
    calling_ae_title: str
    received_at: datetime
    is_own_result: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job; `findings_key` is set once it is analysed."""

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
    state: JobState
    attempt: int
    next_at: datetime | None
    findings_key: str | None
    supersedes_job_id: JobId | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """One instance of a result."""

    role: str
    sop_class_uid: str
    sop_instance_uid: InstanceUid
    file_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One result on its way to one destination."""

    id: DeliveryId
    job_id: JobId
    destination: str
    state: DeliveryState
    attempt: int
    next_at: datetime | None
    delivered_at: datetime | None


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
