"""Every state with every event: what is allowed leads where it should, and everything else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from pacs_node.domain import job
from pacs_node.domain.commitment import COMMITMENT, CommitmentEvent, CommitmentState
from pacs_node.domain.delivery import DELIVERY, DeliveryEvent, DeliveryState
from pacs_node.domain.job import JOB, JobEvent, JobState
from pacs_node.domain.study import STUDY, StudyEvent, StudyState
from pacs_node.domain.transitions import advance
from pacs_node.errors import InvalidTransition

# One line per state: event>state. What is not listed must be refused.
STUDY_LIFE = {
    "receiving": "instance>receiving quiet>settled query>unchecked",
    "unchecked": "instance>receiving check>checking retry>settled",
    "checking": "instance>receiving delay>unchecked expire>unchecked quiet>settled retry>settled",
    "settled": "instance>receiving start>planning retry>settled",
    "planning": "instance>receiving plan>planned delay>settled expire>settled set-aside>quarantined retry>settled",
    "planned": "instance>receiving retry>settled delete>deleted",
    "quarantined": "instance>receiving retry>settled",
    "deleted": "instance>receiving",
}
JOB_LIFE = {
    "queued": "start>running supersede>superseded",
    "running": "find>analysed refuse>analysed delay>queued give-way>queued expire>queued supersede>superseded",
    "analysed": "compose>composing supersede>superseded",
    "composing": "finish>done delay>analysed expire>analysed fail>failed refuse>analysed supersede>superseded "
    "set-aside>quarantined",
    "done": "retry>queued delete>done",
    "failed": "retry>queued delete>failed",
    "quarantined": "retry>queued delete>quarantined",
    "superseded": "retry>queued refuse>analysed delete>superseded",
}
DELIVERY_LIFE = {
    "pending": "send>sending supersede>superseded",
    "sending": "accept>delivered await>uncommitted delay>pending expire>pending fail>failed",
    "delivered": "retry>pending commit>committed",
    "uncommitted": "ask>asking await>uncommitted commit>committed refuse>pending accept>delivered retry>pending",
    "asking": "await>uncommitted expire>uncommitted commit>committed refuse>pending accept>delivered retry>pending",
    "committed": "retry>pending",
    "failed": "retry>pending",
    "superseded": "",
}
COMMITMENT_LIFE = {
    "pending": "request>pending report>reporting",
    "reporting": "accept>reported delay>pending expire>pending fail>failed",
    "reported": "request>pending",
    "failed": "request>pending",
}

MACHINES: dict[str, tuple[Mapping[Any, Any], type[StrEnum], type[StrEnum], dict[str, str]]] = {
    "study": (STUDY, StudyState, StudyEvent, STUDY_LIFE),
    "job": (JOB, JobState, JobEvent, JOB_LIFE),
    "delivery": (DELIVERY, DeliveryState, DeliveryEvent, DELIVERY_LIFE),
    "commitment": (COMMITMENT, CommitmentState, CommitmentEvent, COMMITMENT_LIFE),
}
CASES = [
    pytest.param(name, state, event, id=f"{name}: {state} {event}")
    for name, (_, states, events, _) in MACHINES.items()
    for state, event in product(states, events)
]


@pytest.mark.parametrize(("name", "state", "event"), CASES)
def test_every_event_in_every_state(name: str, state: StrEnum, event: StrEnum) -> None:
    table, _, _, life = MACHINES[name]
    allowed = dict(pair.split(">") for pair in life[state].split())
    if event in allowed:
        assert advance(table, state, event) == allowed[event]
    else:
        with pytest.raises(InvalidTransition, match=f"event {event} is not allowed in state {state}"):
            advance(table, state, event)


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_can_be_reached_from_the_first(name: str) -> None:
    table, states, _, _ = MACHINES[name]
    reached = {next(iter(states))}
    for _ in states:
        reached |= {new for (state, _), new in table.items() if state in reached}
    assert reached == set(states)


@pytest.mark.parametrize("name", MACHINES)
def test_every_event_is_of_use(name: str) -> None:
    table, _, events, _ = MACHINES[name]
    assert {event for _, event in table} == set(events)


def test_a_lease_that_runs_out_puts_the_job_back_where_it_can_be_claimed() -> None:
    assert {advance(JOB, state, JobEvent.EXPIRE) for state in job.LEASED} == {JobState.QUEUED, JobState.ANALYSED}


def test_exactly_the_open_jobs_can_be_superseded() -> None:
    assert {state for state, event in JOB if event is JobEvent.SUPERSEDE} == job.OPEN
