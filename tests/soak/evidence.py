"""What is there when all is over: read from the files and the database themselves, with no code of the node."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from tests.soak.destinations import Pacs
from tests.soak.judgement import Content, Evidence, Job
from tests.soak.ledger import Answer, Entry
from tests.soak.senders import dataset_of
from tests.support.instances import hash_of

JOBS = """
    SELECT job.id, study_instance_uid, series_instance_uid, study.id AS study_id, rule, reasons, input_digest
    FROM job JOIN study ON study.id = job.study_id
    WHERE job.state IN ('done', 'quarantined') AND finished_at IS NOT NULL ORDER BY job.id"""
FINDINGS = "SELECT centre_x_mm, centre_y_mm, centre_z_mm FROM finding WHERE job_id = ? ORDER BY number"
INPUTS = """
    SELECT sop_instance_uid, content_hash FROM instance JOIN series ON series.id = instance.series_id
    WHERE study_id = ? AND series_instance_uid = ? ORDER BY received_at"""


def gathered(data: Path, entries: Sequence[Entry], destinations: Iterable[Pacs]) -> Evidence:
    """Look at the data of a node that has stopped, and at what its PACS took."""
    acknowledged = {e for e in entries if e.answer is Answer.ACKNOWLEDGED}
    conflicts = {e for e in entries if e.answer is Answer.CONFLICT}
    with closing(sqlite3.connect(data / "pulmonode.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        indexed = connection.execute("SELECT sop_instance_uid, content_hash FROM instance")
        return Evidence(
            entries=tuple(entries),
            stored=frozenset(_content(e) for e in acknowledged if _is_in(_instance(data, e), e)),
            aside=frozenset(_content(e) for e in conflicts if _is_in(_aside(data, e), e)),
            indexed=frozenset((uid, content_hash) for uid, content_hash in indexed),
            jobs=tuple(_job(connection, data, row) for row in connection.execute(JOBS).fetchall()),
            taken={pacs.destination.name: pacs.taken() for pacs in destinations},
        )


def _content(entry: Entry) -> Content:
    return entry.sop_instance_uid, entry.content_hash


def _instance(data: Path, entry: Entry) -> Path:
    name = hashlib.sha256(entry.sop_instance_uid.encode()).hexdigest()
    return data / "instances" / name[:2] / f"{name[2:]}.dcm"


def _aside(data: Path, entry: Entry) -> Path:
    name = hashlib.sha256(entry.sop_instance_uid.encode()).hexdigest()
    return data / "conflicts" / f"{name}-{entry.content_hash.partition(':')[2]}.dcm"


def _is_in(path: Path, entry: Entry) -> bool:
    """Whether a file ends with the dataset that was sent, byte for byte."""
    if not path.exists():
        return False
    return hash_of(path.read_bytes()[-entry.size_bytes :]) == entry.content_hash


def _job(connection: sqlite3.Connection, data: Path, row: sqlite3.Row) -> Job:
    place = (row["study_id"], row["series_instance_uid"])
    reasons = tuple(code for code, _ in json.loads(row["reasons"]))
    results = connection.execute("SELECT sop_instance_uid, file_key FROM result WHERE job_id = ?", [row["id"]])
    return Job(
        id=row["id"],
        study_instance_uid=row["study_instance_uid"],
        rule=row["rule"],
        inputs=inputs_of(row["input_digest"], connection.execute(INPUTS, place).fetchall(), reasons),
        reasons=reasons,
        findings_lps=tuple((x, y, z) for x, y, z in connection.execute(FINDINGS, [row["id"]])),
        results={uid: _hash(data / key) for uid, key in results},
    )


def inputs_of(of_job: str, instances: Sequence[Sequence[str]], reasons: Sequence[str]) -> frozenset[Content]:
    """The first instances of a series that have the digest of a job; none if no number of them has.

    Not those that were received before it was planned: the index may not have had them yet.
    """
    content = [(uid, content_hash) for uid, content_hash in instances]
    for count in range(len(content), 0, -1):
        planned = [json.dumps([sorted(content[:count]), codes]) for codes in ([], list(reasons))]
        if of_job in (hashlib.sha256(text.encode()).hexdigest() for text in planned):
            return frozenset(content[:count])
    return frozenset()


def _hash(path: Path) -> str:
    return hashlib.sha256(dataset_of(path)).hexdigest() if path.exists() else ""
