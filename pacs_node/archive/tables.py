"""The tables. State columns hold the words of the state machines in `domain`; every change of state adds an event row.

No table has a patient attribute; UIDs are the only values that come from DICOM files, besides the sender's AE title.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """An aware UTC time, also on databases that keep no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _of(table: str, **options: Any) -> Column[int]:
    return Column(f"{table}_id", Integer, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, **options)


def _uid(name: str, **options: Any) -> Column[str]:
    return Column(name, String(64), nullable=False, **options)


def _tries() -> tuple[Column[Any], ...]:
    """Of every table whose rows workers take: how often it was tried, by whom it is now, and when it may be next."""
    return (
        Column("attempt", Integer, nullable=False, default=0),
        Column("strikes", Integer, nullable=False, default=0),
        Column("lease_until", Utc),
        Column("lease_holder", String(128)),
        Column("next_at", Utc),
        Column("rung_at", Utc),
    )


study = Table(
    "study",
    metadata,
    _id(),
    _uid("study_instance_uid", unique=True),
    Column("state", String(16), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("first_received_at", Utc, nullable=False),
    Column("last_received_at", Utc, nullable=False),
    Column("settle_at", Utc, nullable=False),
    Column("checks", Integer, nullable=False, server_default="0"),
    Column("check_until", Utc),
    Column("anticipated_at", Utc),
    *_tries(),
    Index(None, "state", "settle_at"),
)

expectation = Table(
    "expectation",
    metadata,
    _id(),
    _of("study"),
    _uid("series_instance_uid"),
    Column("instance_count", Integer, nullable=False),
    Column("counted_at", Utc, nullable=False),
    UniqueConstraint("study_id", "series_instance_uid"),
)

study_event = Table(
    "study_event",
    metadata,
    _id(),
    _of("study", index=True),
    Column("at", Utc, nullable=False),
    Column("event", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(64)),
    Column("text", Text),
)

series = Table(
    "series",
    metadata,
    _id(),
    _of("study"),
    _uid("series_instance_uid"),
    Column("deleted_count", Integer, nullable=False, server_default="0"),
    UniqueConstraint("study_id", "series_instance_uid"),
)

instance = Table(
    "instance",
    metadata,
    _id(),
    _of("series", index=True),
    _uid("sop_instance_uid", unique=True),
    _uid("sop_class_uid"),
    _uid("transfer_syntax_uid"),
    Column("file_key", String(128), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_hash", String(80), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("peer_address", String(64), nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("is_own_result", Boolean, nullable=False),
    Column("committed_at", Utc),
)

removal = Table(
    "removal",
    metadata,
    _id(),
    Column("file_key", String(128), nullable=False, index=True),
    Column("received_at", Utc, nullable=False),
)

decision = Table(
    "decision",
    metadata,
    _id(),
    _of("study", index=True),
    _uid("series_instance_uid"),
    Column("verdict", String(16), nullable=False),
    Column("rule", String(64)),
    Column("reasons", JSON, nullable=False),
    Column("decided_at", Utc, nullable=False),
)

job = Table(
    "job",
    metadata,
    _id(),
    _of("study", index=True),
    _uid("series_instance_uid"),
    Column("rule", String(64), nullable=False),
    Column("pipeline", String(64), nullable=False),
    Column("input_digest", String(64), nullable=False),
    Column("models", JSON, nullable=False),
    Column("model_digest", String(64), nullable=False),
    Column("destinations", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    *_tries(),
    Column("findings_key", String(128)),
    Column("composed", JSON),
    Column("is_stat", Boolean, nullable=False, server_default=false()),
    Column("supersedes_job_id", Integer, ForeignKey("job.id")),
    Column("inputs_received_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    UniqueConstraint("study_id", "rule", "input_digest", "model_digest"),
    Index(None, "state", "next_at"),
)

job_event = Table(
    "job_event",
    metadata,
    _id(),
    _of("job", index=True),
    Column("at", Utc, nullable=False),
    Column("event", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(64)),
    Column("text", Text),
)

finding = Table(
    "finding",
    metadata,
    _id(),
    _of("job"),
    Column("number", Integer, nullable=False),
    _uid("tracking_uid"),
    *(Column(f"centre_{axis}_mm", Float, nullable=False) for axis in "xyz"),
    Column("volume_mm3", Float, nullable=False),
    Column("equivalent_diameter_mm", Float, nullable=False),
    Column("long_axis_mm", Float, nullable=False),
    Column("short_axis_mm", Float, nullable=False),
    Column("mean_hu", Float, nullable=False),
    Column("attenuation", String(16), nullable=False),
    Column("laterality", String(8)),
    Column("score", Float, nullable=False),
    Column("malignancy", Float),
    UniqueConstraint("job_id", "number"),
)

result = Table(
    "result",
    metadata,
    _id(),
    _of("job", index=True),
    Column("role", String(16), nullable=False),
    _uid("sop_class_uid"),
    _uid("sop_instance_uid", index=True),
    Column("file_key", String(128), nullable=False),
    Column("composed_at", Utc, nullable=False),
    Column("deleted_at", Utc),
    UniqueConstraint("job_id", "sop_instance_uid"),
)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    _of("job"),
    Column("destination", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    *_tries(),
    Column("delivered_at", Utc),
    Column("is_held", Boolean),
    Column("sent", JSON),
    Column("transaction_uid", String(64), unique=True),
    Column("asks", Integer, nullable=False, server_default="0"),
    Column("resends", Integer, nullable=False, server_default="0"),
    UniqueConstraint("job_id", "destination"),
    Index(None, "state", "next_at"),
)

delivery_event = Table(
    "delivery_event",
    metadata,
    _id(),
    _of("delivery", index=True),
    Column("at", Utc, nullable=False),
    Column("event", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(64)),
    Column("text", Text),
)

commitment = Table(
    "commitment",
    metadata,
    _id(),
    _uid("transaction_uid"),
    Column("calling_ae_title", String(16), nullable=False),
    Column("peer_address", String(64), nullable=False),
    Column("references", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    *_tries(),
    Column("requested_at", Utc, nullable=False),
    Column("reported_at", Utc),
    Column("failed_count", Integer),
    UniqueConstraint("calling_ae_title", "transaction_uid"),
    Index(None, "state", "next_at"),
)

commitment_event = Table(
    "commitment_event",
    metadata,
    _id(),
    _of("commitment", index=True),
    Column("at", Utc, nullable=False),
    Column("event", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(64)),
    Column("text", Text),
)

destination_support = Table(
    "destination_support",
    metadata,
    _id(),
    Column("destination", String(64), nullable=False, unique=True),
    Column("endpoint", String(512), nullable=False),
    Column("refused", JSON, nullable=False),
    Column("learned_at", Utc, nullable=False),
)

sender = Table(
    "sender",
    metadata,
    _id(),
    Column("calling_ae_title", String(16), nullable=False, unique=True),
    Column("served_at", Utc, nullable=False),
)
