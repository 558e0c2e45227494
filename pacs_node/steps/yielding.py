"""What an analysis does for others while it runs: it looks at every window or two whether it should give way.

An analysis takes long, and is begun on what was most urgent then. One that is ahead of its time gives way to everything
that somebody waits for. A routine one gives its worker to a STAT study that has none, and its share of the machine to
one that has. Called from `steps.anticipate` and `steps.analyse`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from inference.pipeline import Progress
from pacs_node.archive import records
from pacs_node.archive.queries import ahead, urgency
from pacs_node.domain.identifiers import StudyId
from pacs_node.node import Node
from pacs_node.steps.lease import is_of_this_machine

LOOK_S = 0.5
"""How often it looks."""
PAUSE_S = 0.1
LONGEST_PAUSE_S = 300.0
"""Then it gives way after all: the time of its step runs on while it waits, and to run out of it would be a strike."""


class GivesWay(Exception):
    """Something else is to be done."""


def to_everything(node: Node, study_id: StudyId) -> Progress:
    """For a study that is analysed ahead: raises GivesWay if it has changed, or another one waits."""

    def look() -> None:
        with node.database.transaction() as tx:
            if not ahead.is_same(tx, study_id) or ahead.is_anything_else_wanted(tx, study_id):
                raise GivesWay

    return _at_times(look)


def to_stat(node: Node, job: records.Job) -> Progress | None:
    """For a routine job: raises GivesWay if a STAT job waits for a worker, and waits while one works on this machine.

    Of several routine jobs only the last one gives way, and all others wait.
    """

    def look() -> None:
        until_s = time.monotonic() + LONGEST_PAUSE_S
        while True:
            with node.database.transaction() as tx:
                stat = urgency.stat(tx, node.now())
            if stat.is_waiting and stat.last_routine in (job.id, None):
                raise GivesWay
            if not stat.is_waiting and not any(map(is_of_this_machine, stat.holders)):
                return
            if time.monotonic() >= until_s:
                raise GivesWay
            time.sleep(PAUSE_S)

    return None if job.is_stat else _at_times(look)


def _at_times(look: Callable[[], None]) -> Progress:
    looked_s = time.monotonic()

    def tell(stage: str, share: float) -> None:
        nonlocal looked_s
        if time.monotonic() >= looked_s + LOOK_S:
            look()
            looked_s = time.monotonic()

    return tell
