"""Settle: a study that has been quiet for long enough is ready to be planned, or to be compared with the PACS."""

from __future__ import annotations

from datetime import datetime
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
            event = StudyEvent.QUERY if _is_to_be_checked(tx, node, study_id, now) else StudyEvent.QUIET
            step = machine.Move(row_id=study_id, state=StudyState.RECEIVING, event=event, at=now)
            if machine.move(tx, machine.STUDIES, step):
                log.event("study_settled" if event is StudyEvent.QUIET else "study_quiet", study_id=study_id)


def _is_to_be_checked(tx: Any, node: Node, study_id: StudyId, now: datetime) -> bool:
    """Whether a PACS is asked first; without any in the configuration nothing has to be looked up."""
    if not node.config.query:
        return False
    study = studies.get(tx, study_id)
    return query_for(node.config, completeness.senders(tx, study_id)) is not None and is_to_be_checked(
        study.checks, study.check_until, now
    )
