"""What the UIDs of a job's result are derived from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from inference.findings import ModelUse
from pacs_node.archive.records import Job
from pacs_node.config import Report
from pacs_node.report.identity import ResultIdentity, uid


def identity_of(job: Job, options: Report) -> ResultIdentity:
    """The identity of the result of a job.

    "Not analysed because ..." is another result than findings, and so is one that is written with other options: the
    same UID must never come with other bytes.
    """
    outcome = json.dumps([job.input_digest, sorted(reason.code for reason in job.reasons), asdict(options)])
    return ResultIdentity(
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        pipeline=job.pipeline,
        models=tuple(ModelUse(role="", name=m.name, version=m.version, sha256=m.sha256) for m in job.models),
        input_digest=hashlib.sha256(outcome.encode()).hexdigest(),
    )


def tracking_uid(identity: ResultIdentity, number: int) -> str:
    """The Tracking UID of a finding."""
    return uid(identity, "tracking", number)
