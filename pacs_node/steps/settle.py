"""Settle: a study that has been quiet for long enough is ready to be planned, or to be compared with the PACS."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pacs_node import log
from pacs_node.archive.queries import completeness, machine, studies
from pacs_node.domain.completeness import is_to_be_checked
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.node import Node
from pacs_node.steps.complete import query_for


def settle_studies(node: Node) -> None:
    """Settle every study whose settle time has come; the times are in the database, so a restart re-arms them."""
    now = node.now()
    with node.database.transaction() as tx:
        for study_id in studies.quiet_studies(tx, now, node.config.settle.late_factor):
            until = _check_until(tx, node, study_id, now)
            event = StudyEvent.QUIET if until is None else StudyEvent.QUERY
            step = machine.Move(row_id=study_id, state=StudyState.RECEIVING, event=event, at=now)
            if machine.move(tx, machine.STUDIES, step, **({} if until is None else {"check_until": until})):
                log.event("study_settled" if event is StudyEvent.QUIET else "study_quiet", study_id=study_id)


def _check_until(tx: Any, node: Node, study_id: StudyId, now: datetime) -> datetime | None:
    """Until when a PACS may be asked first; None if nobody is. However long the queue before it, it ends then."""
    if not node.config.query:
        return None
    study, query = studies.get(tx, study_id), query_for(node.config, completeness.senders(tx, study_id))
    if query is None or not is_to_be_checked(study.checks, study.check_until, now):
        return None
    return study.check_until or now + timedelta(seconds=query.wait_s)
