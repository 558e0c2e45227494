"""What a worker does next: a message names a row, but the most urgent one that waits for the same step goes first.

So a STAT study passes a queue of any length, and a sender that sends much does not keep the others waiting. There are
as many messages as rows that wait, so every row has its turn.
"""

from __future__ import annotations

from collections.abc import Callable

from pacs_node.archive.queries import urgency
from pacs_node.domain.job import JobState
from pacs_node.domain.step import Step
from pacs_node.node import Node

_JOBS = {Step.ANALYSE: JobState.QUEUED, Step.COMPOSE: JobState.ANALYSED}
_MOST_RIVALS = 32
"""So often another worker may be first; then whatever waits is rung for again."""


def run_next(node: Node, step: Step, row_id: int, run: Callable[[Node, int], bool]) -> int:
    """Run a step on the most urgent row that waits for it; the one that was rung for if none does.

    Parameters
    ----------
    run : the step; False if somebody else was first with the row, then the next one has its turn

    Returns
    -------
    the row that it was run on
    """
    for _ in range(_MOST_RIVALS):
        chosen = most_urgent(node, step)
        if chosen is None:
            break
        if run(node, chosen):
            return chosen
    run(node, row_id)
    return row_id


def most_urgent(node: Node, step: Step) -> int | None:
    """The row that should go first; None if none waits, or the order is that of the messages."""
    now = node.now()
    with node.database.transaction() as tx:
        if step in _JOBS:
            return urgency.next_job(tx, _JOBS[step], now)
        if step is Step.DELIVER:
            return urgency.next_delivery(tx, now)
    return None
