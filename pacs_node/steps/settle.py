"""Settle: a study that has been quiet for long enough is ready to be planned."""

from __future__ import annotations

from pacs_node import log
from pacs_node.archive.queries import machine, studies
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.node import Node


def settle_studies(node: Node) -> None:
    """Settle every study whose settle time has come; the times are in the database, so a restart re-arms them."""
    now = node.now()
    with node.database.transaction() as tx:
        for study_id in studies.quiet_studies(tx, now):
            step = machine.Move(row_id=study_id, state=StudyState.RECEIVING, event=StudyEvent.QUIET, at=now)
            if machine.move(tx, machine.STUDIES, step):
                log.event("study_settled", study_id=study_id)
