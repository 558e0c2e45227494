"""The study page says received, expected, analysed, delivered, committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_node.archive.queries import commitments, completeness, progress, studies
from pacs_node.archive.records import Instance, Progress
from pacs_node.cli.study import _in_words
from pacs_node.domain.commitment import CommitmentReport, CommitmentRequest
from pacs_node.domain.identifiers import SeriesUid, StudyId
from pacs_node.node import Node
from tests.support.commitment import references_to
from tests.support.steps import LATE_S, PACS, QUIET_S, Clock, opened_node, receive, run_all, uid_of


@pytest.fixture
def committing(database_url: str, models: Path, tmp_path: Path, clock: Clock) -> Iterator[Node]:
    """Two destinations, one of which is asked to commit."""
    other = dataclasses.replace(PACS, name="other", commitment=True)
    with opened_node(database_url, models, tmp_path, clock, PACS, other) as node:
        yield dataclasses.replace(node, ask=lambda destination, request: _kept(request))


def _kept(request: CommitmentRequest) -> CommitmentReport:
    return CommitmentReport(transaction_uid=request.transaction_uid, committed=request.references, failed=())


def _progress(node: Node) -> Progress:
    with node.database.transaction() as tx:
        return progress.of_study(tx, StudyId(1))


def test_the_page_tells_how_far_a_study_has_come(committing: Node, chest: list[Path], clock: Clock) -> None:
    receive(committing, chest)
    (series,) = {SeriesUid(str(item.series_instance_uid)) for item in _instances(committing)}
    with committing.database.transaction() as tx:
        completeness.expect(tx, StudyId(1), {series: 42, SeriesUid("1.2.3"): 5}, clock())
        commitments.promise(tx, [uid_of(path) for path in chest[:3]], clock())
    before = Progress(
        received=40,
        promised=3,
        expected=47,
        missing=7,
        jobs=0,
        analysed=0,
        deliveries=0,
        delivered=0,
        committed=0,
    )
    assert _progress(committing) == before
    clock.forward(QUIET_S)
    run_all(committing)
    after = dataclasses.replace(before, jobs=1, analysed=1, deliveries=2, delivered=2, committed=1)
    assert _progress(committing) == after


def test_results_that_come_back_are_not_received_and_a_newer_result_counts_too(
    committing: Node, chest: list[Path], clock: Clock
) -> None:
    receive(committing, chest[:39])
    clock.forward(QUIET_S)
    run_all(committing)
    results = list((committing.config.data / "results").rglob("*.dcm"))
    assert len(references_to(results)) == 2
    receive(committing, [*results, chest[39]])
    clock.forward(LATE_S)
    run_all(committing)
    now = _progress(committing)
    assert (now.received, now.expected, now.missing, now.deliveries) == (40, None, None, 4)


def test_it_is_said_in_words() -> None:
    numbers = {
        "received": 38,
        "promised": 0,
        "expected": 40,
        "missing": 2,
        "jobs": 1,
        "analysed": 1,
        "deliveries": 2,
        "delivered": 2,
        "committed": 1,
    }
    assert _in_words(numbers) == {
        "received": "38 instances; 0 of them committed to their sender",
        "expected": "40 instances; 2 of them missing",
        "analysed": "1 of 1 jobs",
        "delivered": "2 of 2 deliveries",
        "committed": "1 of 2 deliveries",
    }
    assert _in_words(numbers | {"missing": 0})["expected"] == "40 instances; none of them missing"
    assert _in_words(numbers | {"expected": None})["expected"].startswith("not known")


def _instances(node: Node) -> tuple[Instance, ...]:
    with node.database.transaction() as tx:
        return studies.instances(tx, StudyId(1))
