"""A destination is sent one result at a time, so that one that hangs, hangs one worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pacs_node.archive.queries import deliveries, jobs, machine, studies, urgency
from pacs_node.archive.queries.machine import DELIVERIES, Move
from pacs_node.archive.session import Database
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId
from tests.support.archive import STUDY, a_new_job, a_receipt, at, record

RIVALS = 6


def _due(database: Database, *destinations: str, count: int = 2) -> list[list[DeliveryId]]:
    """The deliveries of so many results, each to all of these destinations."""
    record(database, a_receipt(1))
    made = []
    with database.transaction() as tx:
        for number in range(count):
            job_id = jobs.create(tx, a_new_job(studies.find(tx, STUDY).id, rule=f"rule-{number}"), at(1))
            assert job_id is not None
            made.append(list(deliveries.create(tx, job_id, destinations, at(2))))
    return made


def _claim(database: Database, delivery_id: DeliveryId) -> bool:
    with database.transaction() as tx:
        return deliveries.claim(tx, delivery_id, at(3), "a", at(60))


def _end(database: Database, delivery_id: DeliveryId, event: DeliveryEvent) -> None:
    with database.transaction() as tx:
        step = Move(row_id=delivery_id, state=DeliveryState.SENDING, event=event, at=at(4), holder="a")
        assert machine.move(tx, DELIVERIES, step)


def _rung(database: Database, now_s: float = 5) -> list[DeliveryId]:
    with database.transaction() as tx:
        return list(deliveries.ring_due(tx, at(now_s), at(now_s - 60)))


def test_a_destination_that_is_sent_something_takes_no_other_and_delays_nobody_else(database: Database) -> None:
    (first, other), (second, _) = _due(database, "pacs", "archive")
    assert _claim(database, second)
    assert not _claim(database, first)
    with database.transaction() as tx:
        assert urgency.next_delivery(tx, at(3)) == other
    assert _claim(database, other)
    _end(database, second, DeliveryEvent.ACCEPT)
    assert _claim(database, first)


def test_of_several_workers_one_gets_the_destination(database: Database) -> None:
    mine = [ids[0] for ids in _due(database, "pacs", count=RIVALS)]
    with ThreadPoolExecutor(RIVALS) as pool:
        claims = [pool.submit(_claim, database, delivery_id) for delivery_id in mine]
        assert sorted(claim.result(timeout=60) for claim in claims) == [False] * (RIVALS - 1) + [True]


def test_one_message_is_enough_for_a_destination(database: Database) -> None:
    (first, other), (second, _) = _due(database, "pacs", "archive")
    assert _rung(database) == [first, other]
    assert _rung(database) == []
    assert _claim(database, second)  # whichever is the most urgent
    assert _rung(database) == []
    _end(database, second, DeliveryEvent.ACCEPT)
    assert _rung(database) == [first]
    assert _rung(database, now_s=66) == [first, other]  # the messages may be lost


def test_a_delivery_whose_time_has_not_come_is_not_rung_for(database: Database) -> None:
    ((first,),) = _due(database, "pacs", count=1)
    with database.transaction() as tx:
        deliveries.hold(tx, "pacs", at(10))
    assert _rung(database, now_s=9) == []
    assert _rung(database, now_s=10) == [first]
