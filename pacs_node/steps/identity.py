"""What the UIDs of a job's result are derived from."""

from __future__ import annotations

import hashlib

from inference.findings import ModelUse
from pacs_node.archive.records import Job
from pacs_node.report.identity import ResultIdentity, uid


def identity_of(job: Job) -> ResultIdentity:
    """The identity of the result of a job; "not analysed because ..." is another result than findings."""
    outcome = "|".join([job.input_digest, *sorted(reason.code for reason in job.reasons)])
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
