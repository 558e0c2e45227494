"""The judge of a soak finds what is lost or doubled, whatever it is: a judge that never does proves nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.soak.judgement import Evidence, Job, judge
from tests.soak.ledger import Answer, Entry, Origin

STUDIES = ("1.1", "1.2")
SLICES = 3
NAMES = [
    "acknowledged with 0x0000",
    "stored, with the bytes that were sent",
    "in the index",
    "analysed, or explained",
    "delivered to pacs",
    "delivered to second",
]

Change = Callable[[Evidence], Evidence]


def an_entry(study: str, number: int, **fields: Any) -> Entry:
    """A slice of a study that was acknowledged."""
    entry = Entry(
        answer=Answer.ACKNOWLEDGED,
        origin=Origin.CHEST,
        sender="CT1",
        study_instance_uid=study,
        series_instance_uid=f"{study}.0",
        sop_instance_uid=f"{study}.{number}",
        content_hash=f"content of {study}.{number}",
        size_bytes=10,
        slices=SLICES,
        at_s=0.0,
        nodule_lps=(65.0, 0.0, 0.0),
    )
    return dataclasses.replace(entry, **fields)


def a_job(number: int, study: str, **fields: Any) -> Job:
    """The job of a whole study, with one finding."""
    job = Job(
        id=number,
        study_instance_uid=study,
        rule="chest-ct",
        inputs=frozenset((f"{study}.{n}", f"content of {study}.{n}") for n in range(SLICES)),
        reasons=(),
        findings_lps=((65.0, 0.0, 2.0),),
        results={f"2.{number}.1": f"SEG {number}", f"2.{number}.2": f"SR {number}"},
    )
    return dataclasses.replace(job, **fields)


def good() -> Evidence:
    """Two studies and a conflict that a node and two PACS have dealt with as they should."""
    entries = [an_entry(study, number) for study in STUDIES for number in range(SLICES)]
    conflict = an_entry(STUDIES[0], 0, answer=Answer.CONFLICT, content_hash="other content")
    jobs = tuple(a_job(number, study) for number, study in enumerate(STUDIES))
    held = frozenset((entry.sop_instance_uid, entry.content_hash) for entry in entries)
    taken = {uid: frozenset({sha256}) for job in jobs for uid, sha256 in job.results.items()}
    return Evidence(
        entries=(*entries, conflict),
        stored=held,
        aside=frozenset({(conflict.sop_instance_uid, conflict.content_hash)}),
        indexed=held,
        jobs=jobs,
        taken={"pacs": taken, "second": dict(taken)},
    )


def without(field: str, uid: str) -> Change:
    """One instance less among what is stored, aside or indexed."""
    return lambda evidence: dataclasses.replace(
        evidence, **{field: frozenset(content for content in getattr(evidence, field) if content[0] != uid)}
    )


def job_of(study: int, **fields: Any) -> Change:
    """The job of a study with other values."""

    def change(evidence: Evidence) -> Evidence:
        jobs = list(evidence.jobs)
        jobs[study] = dataclasses.replace(jobs[study], **fields)
        return dataclasses.replace(evidence, jobs=tuple(jobs))

    return change


def took(destination: str, uid: str, *contents: str) -> Change:
    """A PACS took these under a UID, and nothing else."""

    def change(evidence: Evidence) -> Evidence:
        taken = {**evidence.taken[destination], uid: frozenset(contents)}
        return dataclasses.replace(evidence, taken={**evidence.taken, destination: taken})

    return change


def one_more(job: Job) -> Change:
    """A job more, whose result both PACS took."""

    def change(evidence: Evidence) -> Evidence:
        results = {uid: frozenset({sha256}) for uid, sha256 in job.results.items()}
        taken = {name: {**contents, **results} for name, contents in evidence.taken.items()}
        return dataclasses.replace(evidence, jobs=(*evidence.jobs, job), taken=taken)

    return change


def late_slices_unanalysed(evidence: Evidence) -> Evidence:
    """A revision was made, and forgot a slice that the first result had."""
    whole = evidence.jobs[1]
    return one_more(dataclasses.replace(whole, id=7, inputs=frozenset(sorted(whole.inputs)[1:])))(evidence)


LOST: dict[str, tuple[Change, str, int]] = {
    "an instance without its file, or with another content": (without("stored", "1.1.2"), NAMES[1], 1),
    "an instance that is not in the index": (without("indexed", "1.1.2"), NAMES[2], 1),
    "an instance that came after the last result": (
        job_of(1, inputs=frozenset(sorted(a_job(1, "1.2").inputs)[1:])),
        NAMES[3],
        1,
    ),
    "an instance that the revision forgot": (late_slices_unanalysed, NAMES[3], 1),
    "a study without a result": (lambda e: dataclasses.replace(e, jobs=e.jobs[1:]), NAMES[3], SLICES),
    "a result without files": (job_of(0, results={"2.0.1": ""}), NAMES[3], SLICES),
    "a job that ended without any result": (job_of(0, results={}), NAMES[3], SLICES),
    "a result that one PACS has not got": (took("second", "2.0.2"), NAMES[5], SLICES),
    "a result that a PACS has with other bytes": (took("pacs", "2.1.1", "damaged"), NAMES[4], SLICES),
}
"""what is planted; the stage that misses it; how many acknowledged instances are lost by it"""

DOUBLED: dict[str, tuple[Change, str]] = {
    "two results for the same inputs": (one_more(a_job(7, "1.1")), "2 results for the same 3 inputs"),
    "a result that came with two contents": (
        took("pacs", "2.0.1", "SEG 0", "SEG 0 of another time"),
        "pacs has result 2.0.1 with other bytes",
    ),
    "a result of which the node knows nothing": (
        took("second", "2.99.1", "SEG 99"),
        "second has a result that the node knows nothing of: 2.99.1",
    ),
    "one UID for two results": (
        one_more(a_job(7, "1.3", inputs=frozenset(), results={"2.0.1": "SEG of another study"})),
        "2 files of result 2.0.1",
    ),
}
"""what is planted; what is told of it"""


def test_what_was_stored_analysed_and_delivered_once_is_neither_lost_nor_doubled() -> None:
    judgement = judge(good())
    assert judgement.is_good
    assert [(stage.name, stage.instances, stage.studies) for stage in judgement.stages] == [
        (name, 2 * SLICES, 2) for name in NAMES
    ]
    assert (judgement.analysed, judgement.explained, judgement.revised, judgement.spoiled) == (2, 0, 0, {})


@pytest.mark.parametrize("planted", LOST)
def test_what_is_lost_is_found_at_the_stage_that_lost_it(planted: str) -> None:
    change, stage, count = LOST[planted]
    judgement = judge(change(good()))
    assert not judgement.is_good
    assert [line.startswith(f"not {stage}: ") for line in judgement.lost] == [True] * count
    reached = {stage.name: (stage.instances, stage.studies) for stage in judgement.stages}
    assert reached[stage] == (2 * SLICES - count, 1)
    assert reached[NAMES[NAMES.index(stage) - 1]] == (2 * SLICES, 2)


def test_a_content_under_a_known_uid_that_was_acknowledged_is_lost_as_only_one_can_be_stored() -> None:
    evidence = good()
    other = an_entry("1.1", 1, content_hash="other content")
    judgement = judge(dataclasses.replace(evidence, entries=(*evidence.entries, other)))
    assert len(judgement.lost) == 1
    assert "1.1.1" in judgement.lost[0]


def test_a_refused_content_that_was_not_kept_aside_is_lost() -> None:
    judgement = judge(without("aside", "1.1.0")(good()))
    assert [line.partition(":")[0] for line in judgement.lost] == ["not kept aside"]


@pytest.mark.parametrize("planted", DOUBLED)
def test_what_is_doubled_is_found(planted: str) -> None:
    change, told = DOUBLED[planted]
    judgement = judge(change(good()))
    assert not judgement.is_good
    assert [line[: len(told)] for line in judgement.doubled] == [told]


def test_a_revision_after_late_slices_is_not_doubled() -> None:
    first = frozenset(sorted(a_job(0, "1.1").inputs)[:1])
    evidence = one_more(a_job(7, "1.1"))(job_of(0, inputs=first)(good()))
    judgement = judge(evidence)
    assert judgement.is_good
    assert judgement.revised == 1


def test_a_superseded_result_need_not_have_reached_a_pacs() -> None:
    evidence = one_more(a_job(7, "1.1"))(job_of(0, inputs=frozenset())(good()))
    taken = {uid: contents for uid, contents in evidence.taken["second"].items() if not uid.startswith("2.0.")}
    assert judge(dataclasses.replace(evidence, taken={**evidence.taken, "second": taken})).is_good


def test_the_same_answer_twice_counts_once() -> None:
    evidence = good()
    assert judge(dataclasses.replace(evidence, entries=evidence.entries * 2)).stages[0].instances == 2 * SLICES


def test_of_a_result_that_came_back_nothing_more_is_expected() -> None:
    evidence = good()
    back = an_entry("1.1", 9, origin=Origin.RESULT)
    content = (back.sop_instance_uid, back.content_hash)
    came = dataclasses.replace(
        evidence,
        entries=(*evidence.entries, back),
        stored=evidence.stored | {content},
        indexed=evidence.indexed | {content},
    )
    assert judge(came).is_good
    assert not judge(dataclasses.replace(came, stored=evidence.stored)).is_good


def test_a_whole_chest_that_was_not_analysed_is_told_with_its_reason() -> None:
    spoiled = job_of(0, findings_lps=(), reasons=("job.quarantined",))(good())
    partial = dataclasses.replace(spoiled, entries=spoiled.entries[1:-1])
    assert judge(spoiled).is_good
    assert judge(spoiled).spoiled == {"job.quarantined": 1}
    assert judge(partial).spoiled == {}
    assert (judge(spoiled).analysed, judge(spoiled).explained) == (1, 1)


@pytest.mark.parametrize("found", [(), ((65.0, 9.0, 0.0),), ((65.0, 0.0, 0.0), (40.0, 0.0, 0.0))])
def test_findings_other_than_the_nodule_that_was_sent_are_wrong(found: tuple[tuple[float, float, float], ...]) -> None:
    judgement = judge(job_of(0, findings_lps=found)(good()))
    assert not judgement.is_good
    assert [line.endswith("study 1.1") for line in judgement.wrong] == [True]


def test_of_a_chest_that_never_came_whole_no_finding_is_expected() -> None:
    evidence = job_of(0, findings_lps=())(good())
    assert judge(dataclasses.replace(evidence, entries=evidence.entries[1:])).is_good
