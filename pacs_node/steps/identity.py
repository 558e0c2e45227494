"""What the UIDs of a job's result are derived from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from pacs_node.archive.content_hash import OLDER
from pacs_node.archive.records import Instance, Job, NewJob
from pacs_node.config import Config
from pacs_node.domain.identifiers import IMPLEMENTATION_VERSION
from pacs_node.domain.rule import Reason
from pacs_node.report.identity import ResultIdentity


def identity_of(job: Job, config: Config, before: Job | None) -> ResultIdentity:
    """The identity of the result of a job.

    "Not analysed because ..." is another result than findings, and so is one that is written with other options or
    supersedes another one: the same UID must never come with other bytes. Each class of the report has its own UID.

    Parameters
    ----------
    before : the job whose result this one supersedes
    """
    outcome = [_outcome(job), config.report.ohif_hydration, config.scp.ae_title, before and _outcome(before)]
    return ResultIdentity(
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        pipeline=job.pipeline,
        models=job.models,
        input_digest=digest(outcome),
    )


def with_tracking(identity: ResultIdentity, tracking_uids: Sequence[str]) -> ResultIdentity:
    """The identity of the documents: nodules that took other Tracking UIDs over are written in other bytes."""
    return dataclasses.replace(identity, input_digest=digest([identity.input_digest, *tracking_uids]))


def _outcome(job: Job) -> list[object]:
    models = sorted((use.role, use.name, use.version, use.sha256) for use in job.models)
    return [job.series_instance_uid, job.input_digest, models, sorted(reason.code for reason in job.reasons)]


def inputs_of(job: Job, instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """The instances of the job's series that were there when it was planned; later ones belong to a later job."""
    mine = (i for i in instances if i.series_instance_uid == job.series_instance_uid)
    return tuple(i for i in mine if i.received_at <= job.created_at)


def input_digest(instances: Sequence[Instance], reasons: Sequence[Reason]) -> str:
    """What a job was planned on, and why it must not be analysed if so; the order of arrival does not matter.

    Hashes of the older kind are as they were before they had a mark, so results of such instances keep their UIDs.
    """
    content = sorted((i.sop_instance_uid, i.content_hash.removeprefix(OLDER)) for i in instances)
    return digest([content, [reason.code for reason in reasons]])


def ahead_key(job: Job | NewJob) -> str:
    """Under what the findings of a job lie that were found ahead: all that they follow from."""
    models = [dataclasses.asdict(use) for use in job.models]
    return digest([IMPLEMENTATION_VERSION, job.series_instance_uid, job.pipeline, job.input_digest, models])


def digest(value: object) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
