"""Anticipate: analyse a study while it may still get instances, if nobody waits for anything else.

What is found lies aside (`archive.ahead`) under all that it was found in. If the study settles as it is, the analysis
that its plan asks for takes it from there; if more arrives, nobody asks for it. It gives way within a window or two
to whatever else is to be done, and to instances of its own study. Nothing is recorded: that a study cannot be
analysed, or ends its worker, is for the steps that are asked for to find out and to say.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from inference.pipeline import Progress
from pacs_node import log
from pacs_node.archive import findings, records
from pacs_node.archive.queries import ahead
from pacs_node.domain.identifiers import StudyId
from pacs_node.node import Node
from pacs_node.steps.analyse import ModelsAway, analysed, answering
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import ahead_key
from pacs_node.steps.pipelines import pipeline_of
from pacs_node.steps.plan import foreseen
from pacs_node.steps.yielding import GivesWay, to_everything

FORGET_S = 3600.0
"""Nobody asks for what was found so long ago."""


def anticipate_study(node: Node, study_id: StudyId) -> bool:
    """Analyse a study as it is now; False if it has settled, was begun with as it is, or something else waits."""
    with node.database.transaction() as tx:
        if ahead.is_anything_else_wanted(tx, study_id) or not ahead.claim(tx, study_id, node.now()):
            return False
    started, outcome = time.monotonic(), "found"
    try:
        node.ahead.forget(FORGET_S)
        for job, instances in foreseen(node, study_id):
            if not job.reasons:
                _find(node, job, instances, to_everything(node, study_id))
    except GivesWay:
        outcome = "gave way"
    except ModelsAway as away:
        outcome = away.cause.code
    except Exception as error:  # noqa: BLE001 - the border of the step; the analysis proper will meet it, and say so
        outcome = failure_of(error).code
    log.event("study_anticipated", study_id=study_id, outcome=outcome, duration_s=time.monotonic() - started)
    return True


def _find(node: Node, job: records.NewJob, instances: Sequence[records.Instance], progress: Progress) -> None:
    with node.database.transaction() as tx:
        if ahead.is_known(tx, job):
            return
    with node.ahead.making(ahead_key(job)) as keep:
        pipeline = pipeline_of(node.models, job)
        paths = [node.files.path(instance.file_key) for instance in instances]
        keep(findings.encoded(analysed(paths, pipeline, answering(node, pipeline), progress=progress)))
