"""What a soak takes for stored is what lies on the disk, byte for byte, and what it takes for a result is, too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import JOBS, Move
from pacs_node.archive.records import StoredResult
from pacs_node.domain.document import DocumentRole
from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyUid
from pacs_node.domain.instance import Receipt
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.rule import Reason
from pacs_node.errors import InstanceConflict
from pacs_node.steps.identity import input_digest
from tests.soak.evidence import gathered
from tests.soak.judgement import Evidence
from tests.soak.ledger import Answer, Entry
from tests.soak.test_judgement import an_entry
from tests.support.archive import SERIES, STUDY, a_new_job, a_nodule, at, migrated, record
from tests.support.instances import a_file, a_request, an_instance, encoded, hash_of

DATASET = an_instance(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
LATE = an_instance(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
RESULT = an_instance()
REASONS = (Reason(code="series.gap", text="a gap"),)


def content_of(dataset: Dataset) -> tuple[str, str]:
    """Its UID and the hash of its bytes."""
    return str(dataset.SOPInstanceUID), hash_of(encoded(dataset))


def entry_of(dataset: Dataset, answer: Answer = Answer.ACKNOWLEDGED) -> Entry:
    """What the ledger has of it."""
    uid, content_hash = content_of(dataset)
    return an_entry(
        STUDY,
        1,
        answer=answer,
        series_instance_uid=SERIES,
        sop_instance_uid=uid,
        content_hash=content_hash,
        size_bytes=len(encoded(dataset)),
    )


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data of a node with an instance, one that the plan of a job has missed, a conflict, and the finished job."""
    files = InstanceFiles(tmp_path)
    other = replace_pixels(DATASET)
    receipts = [stored(files, DATASET, 0), stored(files, LATE, 4)]
    with pytest.raises(InstanceConflict):
        stored(files, other, 1)
    with migrated(f"sqlite:///{tmp_path / 'pulmonode.sqlite'}") as database:
        record(database, *receipts)
        with database.transaction() as tx:
            study = studies.find(tx, STUDY)
            seen = [i for i in studies.instances(tx, study.id) if i.sop_instance_uid == DATASET.SOPInstanceUID]
            planned = a_new_job(study.id, reasons=REASONS, input_digest=input_digest(seen, REASONS))
            job_id = jobs.create(tx, planned, at(5))
            assert job_id is not None
            jobs.claim(tx, job_id, JobEvent.COMPOSE, at(5), "holder", at(60))
            step = Move(row_id=job_id, state=JobState.COMPOSING, event=JobEvent.FINISH, at=at(6), holder="holder")
            machine.move(tx, JOBS, step, finished_at=at(6))
            jobs.replace_findings(tx, job_id, [a_nodule(1)])
            key = files.store_result("sr.dcm", a_file(tmp_path, RESULT).read_bytes())
            result = StoredResult(
                role=DocumentRole.SR,
                sop_class_uid=str(RESULT.SOPClassUID),
                sop_instance_uid=InstanceUid(str(RESULT.SOPInstanceUID)),
                file_key=key,
            )
            jobs.replace_results(tx, job_id, [result], at(6))
    yield tmp_path


def replace_pixels(dataset: Dataset) -> Dataset:
    """The same instance with other pixels."""
    return an_instance(
        str(dataset.SOPInstanceUID),
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES,
        PixelData=bytes(128),
    )


def stored(files: InstanceFiles, dataset: Dataset, at_s: float) -> Receipt:
    """Store it; its receipt."""
    draft = files.draft(a_request(dataset))
    draft.write(encoded(dataset))
    return draft.commit(StudyUid(STUDY), SeriesUid(SERIES), at(at_s))[1]


def gather(data: Path) -> Evidence:
    """Look at it, with a ledger of everything."""
    conflict = entry_of(replace_pixels(DATASET), Answer.CONFLICT)
    return gathered(data, [entry_of(DATASET), entry_of(LATE), conflict], [])


def test_everything_is_found_where_the_node_keeps_it(data: Path) -> None:
    evidence = gather(data)
    both = frozenset({content_of(DATASET), content_of(LATE)})
    assert evidence.stored == evidence.indexed == both
    assert evidence.aside == {content_of(replace_pixels(DATASET))}
    (job,) = evidence.jobs
    assert job.inputs == {content_of(DATASET)}
    assert (job.reasons, job.findings_lps) == (("series.gap",), ((1.5, -2.25, 300.125),))
    assert job.results == {RESULT.SOPInstanceUID: hashlib.sha256(encoded(RESULT)).hexdigest()}


def test_a_file_with_one_other_byte_is_not_what_was_sent(data: Path) -> None:
    for path in [*data.glob("instances/*/*.dcm"), *data.glob("conflicts/*.dcm")]:
        content = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    evidence = gather(data)
    assert evidence.stored == evidence.aside == frozenset()


def test_files_that_are_gone_are_not_there(data: Path) -> None:
    for path in [*data.glob("instances/*/*.dcm"), *data.glob("conflicts/*.dcm"), *data.glob("results/*/*")]:
        path.unlink()
    evidence = gather(data)
    assert evidence.stored == evidence.aside == frozenset()
    assert list(evidence.jobs[0].results.values()) == [""]
