"""Rows for the database: receipts of instances, jobs to be created, and a migrated database to put them into."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from inference.findings import ModelUse
from pacs_node.archive.queries import studies
from pacs_node.archive.records import FoundNodule, NewJob
from pacs_node.archive.session import Database
from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyId, StudyUid
from pacs_node.domain.instance import Receipt

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
"""When the tests of the archive begin; `at(5)` is five seconds later."""
STUDY, SERIES = StudyUid("1.2.3"), SeriesUid("1.2.3.1")
QUIET_S = 30.0


def at(seconds: float) -> datetime:
    """A time of the test."""
    return NOON + timedelta(seconds=seconds)


def a_receipt(number: int, received_s: float = 0.0, **fields: Any) -> Receipt:
    """The receipt of an instance of `STUDY` and `SERIES`; every number is another instance."""
    uid = f"{SERIES}.{number}"
    digest = hashlib.sha256(uid.encode()).hexdigest()
    receipt = Receipt(
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        sop_instance_uid=InstanceUid(uid),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        file_key=f"instances/{digest[:2]}/{digest[2:]}.dcm",
        size_bytes=526_000,
        content_hash=f"sha256:{digest}",
        calling_ae_title="CT1",
        peer_address="127.0.0.1",
        received_at=at(received_s),
    )
    return dataclasses.replace(receipt, **fields)


def a_new_job(study_id: StudyId, **fields: Any) -> NewJob:
    """A job on `SERIES`, to be delivered to one PACS."""
    new = NewJob(
        study_id=study_id,
        series_instance_uid=SERIES,
        rule="chest-ct",
        pipeline="jnsc",
        input_digest="a" * 64,
        models=(ModelUse(role="detector", name="jnsc", version=3, sha256="b" * 64),),
        model_digest="c" * 64,
        destinations=("pacs",),
        reasons=(),
    )
    return dataclasses.replace(new, **fields)


def a_nodule(number: int) -> FoundNodule:
    """A nodule as the index keeps it."""
    return FoundNodule(
        number=number,
        tracking_uid=f"2.25.{number}",
        centre_lps=(1.5, -2.25, 300.125),
        volume_mm3=523.6,
        equivalent_diameter_mm=10.0,
        long_axis_mm=11.5,
        short_axis_mm=9.0,
        mean_hu=-12.5,
        attenuation="solid",
        laterality=None if number == 1 else "left",
        score=0.93,
        malignancy=None if number == 1 else 0.25,
    )


def record(database: Database, *receipts: Receipt) -> int:
    """Index receipts in a transaction of their own; every sender has the same quiet time."""
    with database.transaction() as tx:
        return studies.record_receipts(tx, receipts, lambda calling: QUIET_S)


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """An open database with the schema of today."""
    database = Database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
