"""Complete: a quiet study is compared with what the PACS holds of it, and what is missing is fetched, before its plan.

A PACS that does not answer, or does not send, delays the plan for `wait_s` at most: then what is here is analysed, and
log and history say so. What is fetched arrives like anything else: the study is received again, and settles again.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import completeness, machine, studies
from pacs_node.archive.queries.machine import FRESH, STUDIES, Move
from pacs_node.config import Config, Query
from pacs_node.domain.completeness import expected, is_to_be_checked, missing
from pacs_node.domain.identifiers import SeriesUid, StudyId
from pacs_node.domain.instance import Receipt
from pacs_node.domain.retry import STRIKES
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.domain.transfers import Transfers, transfer_of
from pacs_node.errors import NodeError
from pacs_node.node import Node
from pacs_node.steps.failure import failure_of
from pacs_node.steps.lease import new_holder
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import record_new
from pacs_node.steps.retain import leaving

INCOMPLETE = "study.incomplete"
"""Code of a study of which the PACS holds more than has arrived."""
AGAIN = timedelta(seconds=3)
"""After a fetch, and after a PACS did not answer, it is asked again so much later."""
SPARE = timedelta(seconds=30)
"""A lease is so much longer than the PACS has time to answer; nobody has to renew it."""


def query_for(config: Config, calling_ae_titles: Sequence[str]) -> Query | None:
    """Whom to ask about a study of these senders; None if nobody."""
    for query in config.query:
        if not query.calling_ae_title or set(query.calling_ae_title) & set(calling_ae_titles):
            return query
    return None


def complete_study(node: Node, study_id: StudyId) -> bool:
    """Compare a study that waits for it; False if it does not (any more)."""
    holder, now = new_holder(), node.now()
    with node.database.transaction() as tx:
        query = query_for(node.config, completeness.senders(tx, study_id))
        until = now + timedelta(seconds=query.timeout_s if query else 0) + SPARE
        if not completeness.claim(tx, study_id, now, holder, until):
            return False
        study = studies.get(tx, study_id)
        held = _held(studies.instances(tx, study_id))
    if query is None or study.strikes >= STRIKES or not is_to_be_checked(study.checks - 1, study.check_until, now):
        _settle(node, study, holder)
        return True
    try:
        short = _compare(node, query, study, held)
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_silence(node, study, holder, failure_of(error).code)
        return True
    _proceed(node, query, study, holder, short)
    return True


def _compare(node: Node, query: Query, study: records.Study, held: Mapping[SeriesUid, int]) -> tuple[SeriesUid, ...]:
    """The series of which the PACS holds more; what it holds is recorded."""
    counts = node.count(query, study.study_instance_uid)
    wanted = expected(counts, query.modality, held)
    with node.database.transaction() as tx:
        completeness.expect(tx, study.id, wanted, node.now())
    return missing(wanted, held)


def _proceed(node: Node, query: Query, study: records.Study, holder: str, short: tuple[SeriesUid, ...]) -> None:
    if not short:
        _settle(node, study, holder)
    elif query.retrieve == "none" or not is_to_be_checked(study.checks, study.check_until, node.now()):
        _settle(node, study, holder, INCOMPLETE)
    elif _move(node, study, holder, StudyEvent.DELAY, INCOMPLETE, next_at=study.check_until):
        _fetch(node, query, study, short)  # without a lease: what arrives takes the study back to being received
        with node.database.transaction() as tx:
            completeness.hasten(tx, study.id, node.now() + AGAIN)


def _fetch(node: Node, query: Query, study: records.Study, short: tuple[SeriesUid, ...]) -> None:
    """Have every one of these series sent, as far as there is time."""
    transfers = Transfers(quiet_s=0)
    receiver = Receiver(node.files, record=_recorder(node, transfers), now=node.now, is_leaving=leaving(node))
    try:
        for series in short:
            remaining_s = (study.check_until - node.now()).total_seconds() if study.check_until else 0
            if remaining_s > 0:
                node.fetch(query, study.study_instance_uid, series, receiver, remaining_s)
        outcome = "asked"
    except NodeError as error:
        outcome = error.code
    finally:
        receiver.close()
        for transfer in transfers.ended(math.inf):
            node.audit.received(transfer)
    log.event("instances_fetched", study_id=study.id, count=len(short), outcome=outcome, attempt=study.checks)


def _recorder(node: Node, transfers: Transfers) -> Callable[[tuple[Receipt, ...]], None]:
    def record(receipts: tuple[Receipt, ...]) -> None:
        for transfer in transfers.stored(map(transfer_of, record_new(node, receipts)), 0.0):
            node.audit.receiving(transfer)

    return record


def _record_silence(node: Node, study: records.Study, holder: str, code: str) -> None:
    if is_to_be_checked(study.checks, study.check_until, node.now() + AGAIN):
        _move(node, study, holder, StudyEvent.DELAY, code, next_at=node.now() + AGAIN)
    else:
        _settle(node, study, holder, code)


def _settle(node: Node, study: records.Study, holder: str, code: str | None = None) -> None:
    if _move(node, study, holder, StudyEvent.QUIET, code, **FRESH) and code is not None:
        log.event("study_not_complete", level=logging.WARNING, study_id=study.id, code=code)


def _move(node: Node, study: records.Study, holder: str, event: StudyEvent, code: str | None, **values: object) -> bool:
    step = Move(row_id=study.id, state=StudyState.CHECKING, event=event, at=node.now(), holder=holder, code=code)
    with node.database.transaction() as tx:
        return machine.move(tx, STUDIES, step, **values)


def _held(instances: Sequence[records.Instance]) -> Counter[SeriesUid]:
    return Counter(instance.series_instance_uid for instance in instances if not instance.is_own_result)
