"""A job is named by the content that it was planned on, however that was hashed when it was received."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from pacs_node.archive.records import Instance
from pacs_node.domain.identifiers import InstanceUid
from pacs_node.steps.identity import input_digest
from tests.support.archive import SERIES, at


def an_instance(content_hash: str, sop_instance_uid: str = "1.2.3.1.1") -> Instance:
    """One that the index holds."""
    return Instance(
        series_instance_uid=SERIES,
        sop_instance_uid=InstanceUid(sop_instance_uid),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        file_key="instances/ab/cd.dcm",
        content_hash=content_hash,
        calling_ae_title="CT1",
        received_at=at(0),
        is_own_result=False,
    )


def test_a_job_on_what_an_older_node_stored_is_the_job_that_it_was() -> None:
    """That node had no mark before the digits; a job of it must not be analysed again under other UIDs."""
    planned = json.dumps([[["1.2.3.1.1", "ab" * 32], ["1.2.3.1.2", "cd" * 32]], []])
    instances = [an_instance("sha256:" + "cd" * 32, "1.2.3.1.2"), an_instance("sha256:" + "ab" * 32)]
    assert input_digest(instances, ()) == hashlib.sha256(planned.encode()).hexdigest()


def test_other_content_or_another_hash_is_another_job() -> None:
    first = an_instance("blake3:" + "ab" * 32)
    other = dataclasses.replace(first, content_hash="blake3:" + "cd" * 32)
    older = dataclasses.replace(first, content_hash="sha256:" + "ab" * 32)
    assert len({input_digest([instance], ()) for instance in (first, other, older)}) == 3
