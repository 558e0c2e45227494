"""What the UIDs of a job's result are derived from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from pacs_node.archive.records import Instance, Job
from pacs_node.config import Config
from pacs_node.domain.rule import Reason
from pacs_node.report.identity import ResultIdentity, uid


def identity_of(job: Job, config: Config) -> ResultIdentity:
    """The identity of the result of a job.

    "Not analysed because ..." is another result than findings, and so is one that is written with other options: the
    same UID must never come with other bytes.
    """
    reasons = sorted(reason.code for reason in job.reasons)
    outcome = [job.input_digest, reasons, asdict(config.report), config.scp.ae_title]
    return ResultIdentity(
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        pipeline=job.pipeline,
        models=job.models,
        input_digest=digest(outcome),
    )


def inputs_of(job: Job, instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """The instances of the job's series that were there when it was planned; later ones belong to a later job."""
    mine = (i for i in instances if i.series_instance_uid == job.series_instance_uid)
    return tuple(i for i in mine if i.received_at <= job.created_at)


def input_digest(instances: Sequence[Instance], reasons: Sequence[Reason]) -> str:
    """What a job was planned on, and why it must not be analysed if so; the order of arrival does not matter."""
    content = sorted((i.sop_instance_uid, i.sha256) for i in instances)
    return digest([content, [reason.code for reason in reasons]])


def digest(value: object) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def tracking_uid(identity: ResultIdentity, number: int) -> str:
    """The Tracking UID of a finding."""
    return uid(identity, "tracking", number)
