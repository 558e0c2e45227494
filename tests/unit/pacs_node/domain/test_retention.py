"""What goes, what stays and why, as tables: every case is a whole study, done and delivered, with one thing changed."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pacs_node.domain.delivery import DeliveryState as D
from pacs_node.domain.identifiers import JobId, StudyId, StudyUid
from pacs_node.domain.job import JobState as J
from pacs_node.domain.retention import (
    DAY_S,
    Cause,
    DiskUse,
    JobFacts,
    Kind,
    Policy,
    StudyFacts,
    holdings_of,
    may_still_go,
    plan,
)
from pacs_node.domain.study import StudyState as S

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
POLICY = Policy(instances_s=30 * DAY_S, results_s=30 * DAY_S)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def a_job(number: int = 1, **changes: Any) -> JobFacts:
    job = JobFacts(
        id=JobId(number),
        rule="chest-ct",
        state=J.DONE,
        finished_at=ago(31),
        destinations=("pacs",),
        deliveries={"pacs": D.DELIVERED},
    )
    return dataclasses.replace(job, **changes)


def a_study(**changes: Any) -> StudyFacts:
    study = StudyFacts(
        id=StudyId(1),
        study_instance_uid=StudyUid("1.2.3"),
        state=S.PLANNED,
        received_at=ago(31),
        instance_count=40,
        instance_bytes=100,
        promised_at=None,
        jobs=(a_job(),),
        result_keys=("results/ab/job-1-sr.dcm",),
        result_bytes=10,
    )
    return dataclasses.replace(study, **changes)


def told(study: StudyFacts, policy: Policy = POLICY) -> dict[str, list[str]]:
    """For each kind of holding its cause, or the codes of the reasons why it stays."""
    holdings = holdings_of(study, policy, NOW)
    return {h.kind: [h.cause] if h.cause else [reason.code for reason in h.reasons] for h in holdings}


def test_what_is_done_delivered_and_old_enough_goes() -> None:
    assert told(a_study()) == {"instances": ["retention.expired"], "results": ["retention.expired"]}


def test_nothing_goes_by_default() -> None:
    assert told(a_study(), Policy()) == {"instances": ["retention.kept"], "results": ["retention.kept"]}
    assert Policy().is_idle


@pytest.mark.parametrize(
    "policy",
    [
        Policy(instances_s=1),
        Policy(results_s=1),
        Policy(by_rule_s={"chest-ct": 1}),
        Policy(high_fraction=0.9, low_fraction=0.8),
    ],
)
def test_whatever_may_delete_something_is_not_idle(policy: Policy) -> None:
    assert not policy.is_idle


@pytest.mark.parametrize(
    ("jobs", "codes"),
    [
        pytest.param([], [], id="no rule matched"),
        pytest.param([a_job(state=J.QUEUED)], ["job.queued"], id="queued"),
        pytest.param([a_job(state=J.RUNNING)], ["job.running"], id="running"),
        pytest.param([a_job(state=J.ANALYSED)], ["job.analysed"], id="analysed"),
        pytest.param([a_job(state=J.COMPOSING)], ["job.composing"], id="composing"),
        pytest.param([a_job(state=J.QUARANTINED)], ["job.quarantined"], id="quarantined"),
        pytest.param([a_job(state=J.FAILED, deliveries={})], ["job.failed", "delivery.failed"], id="failed"),
        pytest.param([a_job(deliveries={"pacs": D.PENDING})], ["delivery.pending"], id="waits to be sent"),
        pytest.param([a_job(deliveries={"pacs": D.SENDING})], ["delivery.sending"], id="is sent"),
        pytest.param([a_job(deliveries={"pacs": D.FAILED})], ["delivery.failed"], id="refused"),
        pytest.param([a_job(deliveries={"pacs": D.SUPERSEDED})], ["delivery.superseded"], id="never sent"),
        pytest.param([a_job(deliveries={})], ["delivery.failed"], id="no delivery"),
        pytest.param([a_job(deliveries={"pacs": D.UNCOMMITTED})], ["delivery.uncommitted"], id="not committed to"),
        pytest.param([a_job(deliveries={"pacs": D.ASKING})], ["delivery.asking"], id="is asked"),
        pytest.param([a_job(deliveries={"pacs": D.COMMITTED})], [], id="committed to"),
        pytest.param(
            [a_job(destinations=("pacs", "b"), deliveries={"pacs": D.DELIVERED, "b": D.FAILED})],
            ["delivery.failed"],
            id="one of two",
        ),
        pytest.param([a_job(destinations=(), deliveries={})], [], id="no destination"),
        pytest.param([a_job(state=J.FAILED, deliveries={}), a_job(2)], [], id="failed, then done"),
        pytest.param([a_job(deliveries={"pacs": D.SUPERSEDED}), a_job(2)], [], id="superseded by a later result"),
        pytest.param([a_job(deliveries={"pacs": D.FAILED}), a_job(2)], [], id="refused, then a later result"),
        pytest.param([a_job(deliveries={"pacs": D.PENDING}), a_job(2)], ["delivery.pending"], id="earlier on its way"),
        pytest.param(
            [a_job(deliveries={"pacs": D.FAILED}), a_job(2, state=J.SUPERSEDED, deliveries={})],
            ["delivery.failed"],
            id="the later one was superseded",
        ),
        pytest.param(
            [a_job(deliveries={"pacs": D.FAILED}), a_job(2, rule="lungs")], ["delivery.failed"], id="another rule"
        ),
    ],
)
def test_nothing_goes_while_a_job_is_open_or_a_destination_lacks_its_result(
    jobs: list[JobFacts], codes: list[str]
) -> None:
    wanted = codes or ["retention.expired"]
    full = Policy(instances_s=0, results_s=0, high_fraction=0, low_fraction=0)
    assert told(a_study(jobs=tuple(jobs)), full) == {"instances": wanted, "results": wanted}
    found = plan([a_study(jobs=tuple(jobs))], full, DiskUse(used_bytes=9, available_bytes=0), NOW)
    assert [holding.kind for holding in found.leaving] == ([] if codes else ["instances", "results"])


@pytest.mark.parametrize("state", [state for state in S if state not in (S.PLANNED, S.DELETED)])
def test_nothing_goes_before_a_study_is_planned(state: S) -> None:
    assert told(a_study(state=state)) == {"instances": [f"study.{state}"], "results": [f"study.{state}"]}


def test_of_a_deleted_study_only_results_are_left_to_go() -> None:
    assert told(a_study(state=S.DELETED, instance_count=0)) == {"results": ["retention.expired"]}
    assert told(a_study(state=S.DELETED, instance_count=0, result_keys=())) == {}


@pytest.mark.parametrize(
    ("state", "asked", "code"),
    [
        (D.DELIVERED, {"pacs"}, "delivery.uncommitted"),
        (D.DELIVERED, {"other"}, "retention.expired"),
        (D.COMMITTED, {"pacs"}, "retention.expired"),
    ],
)
def test_delivered_is_not_enough_where_commitment_is_asked(state: D, asked: set[str], code: str) -> None:
    policy = dataclasses.replace(POLICY, committing=frozenset(asked))
    assert told(a_study(jobs=(a_job(deliveries={"pacs": state}),)), policy)["instances"] == [code]


@pytest.mark.parametrize(
    ("days", "code"), [(30, "retention.expired"), (29.999, "retention.kept"), (0, "retention.kept")]
)
def test_instances_are_kept_from_the_last_one_on(days: float, code: str) -> None:
    assert told(a_study(received_at=ago(days))) == {"instances": [code], "results": ["retention.expired"]}


def test_results_are_kept_from_the_last_one_on() -> None:
    jobs = (a_job(finished_at=ago(40)), a_job(2, finished_at=ago(29)))
    assert told(a_study(jobs=jobs)) == {"instances": ["retention.expired"], "results": ["retention.kept"]}


@pytest.mark.parametrize(
    ("by_rule", "rules", "code"),
    [
        ({"chest-ct": 60}, ["chest-ct"], "retention.kept"),
        ({"chest-ct": 1}, ["chest-ct"], "retention.expired"),
        ({"chest-ct": 1, "b": 60}, ["chest-ct", "b"], "retention.kept"),
        ({"chest-ct": math.inf}, ["chest-ct"], "retention.kept"),
        ({"b": 60}, ["chest-ct"], "retention.expired"),
        ({"chest-ct": 60}, [], "retention.expired"),
    ],
)
def test_a_rule_may_keep_its_studies_for_another_time(by_rule: dict[str, float], rules: list[str], code: str) -> None:
    policy = dataclasses.replace(POLICY, by_rule_s={name: days * DAY_S for name, days in by_rule.items()})
    jobs = tuple(a_job(number, rule=rule) for number, rule in enumerate(rules, start=1))
    assert told(a_study(jobs=jobs), policy) == {"instances": [code], "results": [code]}


@pytest.mark.parametrize(
    ("promised_days", "code"), [(math.inf, "instance.promised"), (6, "instance.promised"), (5, "retention.expired")]
)
def test_instances_that_were_promised_to_a_sender_are_kept(promised_days: float, code: str) -> None:
    policy = dataclasses.replace(POLICY, promised_s=promised_days * DAY_S)
    assert told(a_study(promised_at=ago(5)), policy) == {"instances": [code], "results": ["retention.expired"]}


@pytest.mark.parametrize(
    ("used", "excess"),
    [pytest.param(90, 0, id="at the high watermark"), pytest.param(91, 21, id="above it"), (0, 0), (100, 30)],
)
def test_above_the_high_watermark_everything_down_to_the_low_one_has_to_go(used: int, excess: int) -> None:
    policy = Policy(high_fraction=0.9, low_fraction=0.7)
    assert DiskUse(used_bytes=used, available_bytes=100 - used).excess_bytes(policy) == excess


def studies(*days: float, **changes: Any) -> list[StudyFacts]:
    return [a_study(id=StudyId(n), received_at=ago(d), result_keys=(), **changes) for n, d in enumerate(days, 1)]


PRESSED = Policy(instances_s=30 * DAY_S, high_fraction=0.9, low_fraction=0.7)


@pytest.mark.parametrize(
    ("used", "causes"),
    [
        pytest.param(900, [Cause.EXPIRED, None, None, None], id="room enough"),
        pytest.param(910, [Cause.EXPIRED, Cause.PRESSURE, Cause.PRESSURE, None], id="210 bytes too many"),
        pytest.param(901, [Cause.EXPIRED, Cause.PRESSURE, Cause.PRESSURE, None], id="201 bytes too many"),
    ],
)
def test_the_oldest_go_first_until_the_low_watermark_is_reached(used: int, causes: list[Cause | None]) -> None:
    found = plan(studies(31, 20, 10, 5), PRESSED, DiskUse(used_bytes=used, available_bytes=1000 - used), NOW)
    assert [holding.cause for holding in found.holdings] == causes
    assert found.shortfall_bytes == 0


def test_what_has_had_its_time_goes_before_what_is_older_and_kept_longer_by_its_rule() -> None:
    policy = dataclasses.replace(PRESSED, by_rule_s={"long": 365 * DAY_S})
    facts = studies(50, 31)
    facts[0] = dataclasses.replace(facts[0], jobs=(a_job(rule="long"),))
    disk = DiskUse(used_bytes=950, available_bytes=50)
    found = plan(facts, dataclasses.replace(policy, low_fraction=0.85), disk, NOW)
    assert [holding.cause for holding in found.holdings] == [None, Cause.EXPIRED]


def test_if_too_little_may_go_the_plan_says_how_much_is_missing() -> None:
    facts = studies(20) + studies(10, state=S.RECEIVING)
    found = plan(facts, PRESSED, DiskUse(used_bytes=1000, available_bytes=0), NOW)
    assert [holding.cause for holding in found.holdings] == [Cause.PRESSURE, None]
    assert found.shortfall_bytes == 200


def test_results_that_nobody_was_sent_do_not_go_for_want_of_room() -> None:
    alone = a_study(received_at=ago(1), instance_count=0, jobs=(a_job(destinations=(), deliveries={}),))
    policy = dataclasses.replace(PRESSED, results_s=40 * DAY_S)
    found = plan([alone], policy, DiskUse(used_bytes=1000, available_bytes=0), NOW)
    assert [reason.code for reason in found.holdings[0].reasons] == ["retention.kept", "result.only-here"]
    assert found.leaving == ()


@pytest.mark.parametrize(
    ("cause", "now", "may"),
    [
        (Cause.EXPIRED, a_study(), True),
        (Cause.EXPIRED, a_study(received_at=NOW), False),
        (Cause.EXPIRED, a_study(state=S.RECEIVING), False),
        (Cause.EXPIRED, a_study(instance_count=0), False),
        (Cause.PRESSURE, a_study(received_at=ago(1)), True),
        (Cause.PRESSURE, a_study(state=S.RECEIVING), False),
        (Cause.PRESSURE, a_study(instance_count=0), False),
    ],
)
def test_what_has_changed_since_the_plan_counts(cause: Cause, now: StudyFacts, may: bool) -> None:
    planned = dataclasses.replace(holdings_of(a_study(), POLICY, NOW)[0], cause=cause)
    assert planned.kind is Kind.INSTANCES
    assert may_still_go(planned, holdings_of(now, POLICY, NOW)) is may
