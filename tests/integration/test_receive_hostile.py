"""Hostile instances through receiving and planning: refused, or stored and explained, in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pacs_node.archive import records
from pacs_node.archive.queries import jobs, studies
from pacs_node.dimse.status import status_of
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobState
from pacs_node.domain.study import StudyState
from pacs_node.errors import NodeError
from pacs_node.node import Node
from pacs_node.steps.receive import Receiver
from tests.support.hostile import HELD, REFUSED, Sent, sent_series
from tests.support.memory import forget_peak, peak_bytes
from tests.support.steps import QUIET_S, Clock, findings, inside, receive, run_all

GROWTH_BYTES = 200_000_000
"""what a worker may need for hostile files; with its decoders, limited by themselves, it stays below 600 MB"""

AMONG = ("a fragment whose length lies", "a sequence without end", "absurd rows and columns", "deep sequences")


def statuses(node: Node, sent: Sequence[Sent]) -> list[int]:
    """What each C-STORE is answered."""

    def record(receipts: Sequence[object]) -> None:
        with node.database.transaction() as tx:
            studies.record_receipts(tx, receipts, node.config.settle.quiet_for)  # type: ignore[arg-type]

    receiver = Receiver(node.files, record=record, now=node.now)
    answers = [_status(receiver, item) for item in sent]
    assert receiver.flush()
    receiver.close()
    return answers


def _status(receiver: Receiver, sent: Sent) -> int:
    try:
        draft = receiver.open(sent.request)
        draft.write(sent.dataset)
        draft.commit()
    except NodeError as error:
        draft.discard()
        return status_of(error)
    return 0


def job_of(node: Node, study: int) -> records.Job:
    """The only job of a study."""
    (job,) = inside(node, lambda tx: jobs.of_study(tx, StudyId(study)))
    return job


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_identified_is_refused(node: Node, tmp_path: Path, name: str) -> None:
    status, kind = REFUSED[name]
    sent = sent_series(tmp_path / "sent", name, kind)
    before = forget_peak()
    assert statuses(node, sent) == [status]
    assert peak_bytes() - before < GROWTH_BYTES
    assert inside(node, lambda tx: (studies.count_instances(tx),)) == (0,)


@pytest.mark.parametrize("name", HELD)
def test_what_lies_is_stored_and_its_report_says_why_it_was_not_analysed(
    node: Node, clock: Clock, tmp_path: Path, name: str
) -> None:
    code, kind = HELD[name]
    sent = sent_series(tmp_path / "sent", name, kind)
    before = forget_peak()
    assert statuses(node, sent) == [0] * kind.slices
    clock.forward(QUIET_S)
    run_all(node)
    assert peak_bytes() - before < GROWTH_BYTES
    job = job_of(node, 1)
    assert job.state is JobState.DONE
    assert code in [reason.code for reason in job.reasons]


def test_an_honest_study_among_hostile_ones_is_analysed(
    node: Node, clock: Clock, tmp_path: Path, chest: list[Path]
) -> None:
    for name in AMONG:
        statuses(node, sent_series(tmp_path / name, name, HELD[name][1]))
    receive(node, chest)
    clock.forward(QUIET_S)
    run_all(node)
    studied = inside(node, lambda tx: studies.listed(tx, 100))
    honest = job_of(node, len(AMONG) + 1)
    assert (honest.state, honest.reasons, len(findings(node, honest))) == (JobState.DONE, (), 1)
    assert {study.state for study in studied} == {StudyState.PLANNED}
